import { CallError } from "../../src/providers/provider.ts";
import type { JobMessage, ResultMessage, WorkerSighting } from "../../src/queue/messages.ts";
import type { CoordinatorQueue } from "../../src/queue/queue.ts";
import { ask, type Asked, type Simulated } from "./live-provider.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

/** A job that a worker has. */
interface Held {
  job: JobMessage;
  asked: Asked;
}

interface Worker {
  id: string;
  held: Map<string, Held>;
  /** Whether it is heard. What it finishes while it is not comes late. */
  isHeard: boolean;
}

/** A result that the queue has until it is taken. */
interface Reported {
  result: ResultMessage;
  /** Null if nobody waits for it any more. */
  asked: Asked | null;
}

/** How long a worker is not heard: the coordinator takes some for lost, and some not. */
const UNHEARD_MS = [1_000, 8_000, 40_000, 90_000];

/**
 * An engine with its workers, which go on while the process of the run is gone. Messages come late, twice and in another
 * order; workers end and are cut off for a while; the engine loses all that it has.
 */
export class QueueServer {
  readonly #random: Random;
  readonly #world: World;
  readonly #plan: Plan;
  readonly #maxTokens: number;
  readonly #waiting = new Map<string, JobMessage>();
  /** The tokens that workers have begun, as the engine knows it. */
  readonly #begun = new Set<string>();
  readonly #results = new Map<string, Reported>();
  #workers: Worker[] = [];
  #made = 0;
  /** The process that is connected. */
  #simulated: Simulated | null = null;
  #take: ((result: ResultMessage) => Promise<void>) | null = null;

  constructor(random: Random, world: World, plan: Plan, maxTokens: number) {
    this.#random = random;
    this.#world = world;
    this.#plan = plan;
    this.#maxTokens = maxTokens;
  }

  connect(simulated: Simulated, server: string): CoordinatorQueue {
    this.#simulated = simulated;
    this.#take = null;
    this.#begin();
    const answer = async <T>(what: string, deed: () => T): Promise<T> => {
      if (this.#world.isDead) return await new Promise(() => {});
      this.#world.point(`before ${what}`);
      if (this.#world.isDead) return await new Promise(() => {});
      if (this.#random.chance(this.#plan.faultRate / 100)) this.#empty();
      const done = deed();
      this.#world.point(`after ${what}`);
      if (this.#world.isDead) return await new Promise(() => {});
      return done;
    };
    return {
      lost: new AbortController().signal,
      put: (job) =>
        answer(`the job ${job.token}`, () => {
          this.#waiting.set(job.token, job);
          this.#work();
        }),
      onResult: (take) => {
        this.#take = take;
        for (const token of this.#results.keys()) this.#deliver(token, this.#random.whole(0, 5));
      },
      takeBack: (token) => answer("taking back", () => this.#waiting.delete(token)),
      discard: (token) => answer("discarding", () => void this.#begun.delete(token)),
      stateOf: (token) =>
        answer("a look", () => {
          if (this.#waiting.has(token)) return "waiting";
          if (this.#results.has(token)) return "reported";
          return this.#begun.has(token) ? "begun" : "absent";
        }),
      workers: () => answer("the workers", () => this.#sightings(server)),
      remove: () => Promise.resolve(this.#results.clear()),
      close: () => {
        this.#take = null;
        return Promise.resolve();
      },
    };
  }

  /** A process connects: time has passed, and workers have gone on. */
  #begin(): void {
    for (const worker of this.#workers) {
      worker.isHeard = true;
      for (const { job, asked } of worker.held.values()) this.#finishLater(worker, job, asked);
    }
    this.#hire();
  }

  #hire(): void {
    while (this.#workers.length < this.#plan.workers) {
      this.#made += 1;
      const id = `w-${String(this.#made).padStart(32, "0")}`;
      this.#workers.push({ id, held: new Map(), isHeard: true });
    }
  }

  #sightings(server: string): WorkerSighting[] {
    if (this.#random.chance(0.05)) this.#hire();
    return this.#workers
      .filter(({ isHeard }) => isHeard)
      .map(({ id, held }) => ({
        id,
        beat: 1,
        host: "simulated",
        version: "0",
        provider: "openai",
        servers: [server],
        concurrency: this.#plan.concurrency,
        inFlight: [...held.keys()],
        answered: 0,
        startedAt: 0,
      }));
  }

  /** The workers take jobs, in any order. */
  #work(): void {
    for (const worker of this.#workers) {
      while (worker.isHeard && worker.held.size < this.#plan.concurrency && this.#waiting.size > 0) {
        if (this.#world.isDead || !this.#simulated) return;
        const job = this.#random.pick([...this.#waiting.values()]);
        this.#waiting.delete(job.token);
        this.#begun.add(job.token);
        const { messages } = job.question;
        const asked = ask(this.#simulated, { prompt: { messages }, timeoutMs: job.timeoutMs }, this.#maxTokens);
        worker.held.set(job.token, { job, asked });
        this.#finishLater(worker, job, asked);
      }
    }
  }

  #finishLater(worker: Worker, job: JobMessage, asked: Asked): void {
    setTimeout(() => {
      if (!worker.held.has(job.token) || this.#world.isDead) return;
      if (this.#random.chance(this.#plan.faultRate / 10)) this.#disturb(worker);
      if (worker.held.has(job.token)) this.#finish(worker, job, asked);
      this.#work();
    }, asked.latency);
  }

  #finish(worker: Worker, { token }: JobMessage, asked: Asked): void {
    worker.held.delete(token);
    this.#begun.delete(token);
    const isLate = !worker.isHeard;
    if (isLate) asked.entry.state = "abandoned";
    const from = { token, worker: worker.id, durationMs: asked.latency };
    try {
      this.#results.set(token, { result: { ...from, completion: asked.reply() }, asked: isLate ? null : asked });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const { reason, message, details } = error;
      this.#results.set(token, {
        result: { ...from, error: { reason, message, details } },
        asked: isLate ? null : asked,
      });
    }
    this.#deliver(token, isLate ? this.#random.pick(UNHEARD_MS) : this.#random.whole(0, 500));
    if (this.#random.chance(this.#plan.faultRate / 2)) this.#deliver(token, this.#random.whole(0, 2_000));
  }

  /** Hands a result to the process: again, if it does not take it. */
  #deliver(token: string, afterMs: number): void {
    setTimeout(() => {
      const reported = this.#results.get(token);
      const take = this.#take;
      if (!reported || !take || this.#world.isDead) return;
      this.#world.point(`the result ${token}`);
      if (this.#world.isDead) return;
      const { asked } = reported;
      // It may be stored before the promise says so.
      if (asked) asked.entry.state = "abandoned";
      take(reported.result).then(
        () => this.#taken(token, reported),
        () => {
          if (asked && this.#results.get(token) === reported) asked.entry.state = "in_flight";
          if (this.#take === take) this.#deliver(token, 1_000);
        },
      );
    }, afterMs);
  }

  #taken(token: string, { result, asked }: Reported): void {
    if (this.#world.isDead || !this.#results.delete(token) || !asked) return;
    asked.entry.state = "completion" in result ? "answered" : "failed";
    asked.entry.execution = this.#simulated?.execution ?? 0;
    asked.entry.answeredAt = performance.now();
  }

  /** A worker ends, or is not heard for a while. */
  #disturb(worker: Worker): void {
    for (const { asked } of worker.held.values()) asked.entry.state = "abandoned";
    if (this.#random.chance(0.5)) {
      this.#world.log.push(`${worker.id} ends`);
      worker.held.clear();
      this.#workers = this.#workers.filter((other) => other !== worker);
      setTimeout(() => this.#hire(), this.#random.pick(UNHEARD_MS));
      return;
    }
    const ms = this.#random.pick(UNHEARD_MS);
    this.#world.log.push(`${worker.id} is not heard for ${ms} ms`);
    worker.isHeard = false;
    setTimeout(() => {
      worker.isHeard = true;
      this.#work();
    }, ms);
  }

  /** The engine is restarted, and has nothing. */
  #empty(): void {
    this.#world.log.push("the engine is empty");
    for (const { asked } of this.#results.values()) {
      if (asked && asked.entry.state === "in_flight") asked.entry.state = "abandoned";
    }
    this.#waiting.clear();
    this.#begun.clear();
    this.#results.clear();
  }
}
