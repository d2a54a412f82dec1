import { StoppedError } from "../../errors.ts";
import type { WorkerSighting } from "../../queue/messages.ts";
import { type CoordinatorQueue, WORKER_LOST_MS } from "../../queue/queue.ts";
import type { Dispatcher } from "../dispatcher.ts";
import type { Job, QueueOptions } from "../executor.ts";
import type { Lane } from "../lane.ts";
import type { Flight, Flights } from "./flights.ts";
import { windowOf } from "./window.ts";

/** How often to look at the workers and the jobs. */
const LOOK_MS = 1_000;
/** A look that comes so late, or takes so long, says nothing about jobs: this process, or the engine, was away. */
const AWAY_MS = 5_000;
/** A job that no worker names for so long is looked up in the queue. */
const SILENT_MS = 5_000;
/** A job whose worker has gone is lost after this time, in which its result may arrive. */
const GONE_MS = 3_000;
/** Waiting jobs of a server without workers are taken back after this time. */
const UNATTENDED_MS = 10_000;

interface Patrol {
  job: Job;
  options: QueueOptions;
  connected: CoordinatorQueue;
  flights: Flights;
  dispatcher: Dispatcher;
  /** Lets the turns look for work. */
  wake: () => void;
}

/**
 * Looks, again and again, at the workers that live and at the jobs in flight: sets how many jobs may be in flight, notices
 * jobs that are lost, and takes back jobs that no worker has begun when the run stops.
 */
export function startPatrol(patrol: Patrol): { end: () => void } {
  const { job, flights, dispatcher, wake } = patrol;
  const watch = new Watch(patrol);
  let timer: NodeJS.Timeout | undefined;
  let isLooking = false;
  let isOver = false;
  const look = async () => {
    if (isLooking || isOver) return;
    isLooking = true;
    clearTimeout(timer);
    try {
      await watch.look();
    } catch (error) {
      // The queue is gone for long, or belongs to somebody else.
      dispatcher.fail(error);
      flights.giveUp(error);
    }
    isLooking = false;
    if (isOver) return;
    if (dispatcher.failure !== undefined) wake();
    timer = setTimeout(() => void look(), LOOK_MS);
  };
  const onDrain = () => void look();
  job.drain.addEventListener("abort", onDrain);
  void look();
  return {
    end() {
      isOver = true;
      clearTimeout(timer);
      job.drain.removeEventListener("abort", onDrain);
    },
  };
}

class Watch {
  readonly #patrol: Patrol;
  /** The end of the last look. */
  #lookedAt = performance.now();
  /** Since when each server has no worker. */
  readonly #unattended = new Map<Lane, number>();
  /** Whether the user was told that there is no worker. */
  #isTold = false;

  constructor(patrol: Patrol) {
    this.#patrol = patrol;
  }

  async look(): Promise<void> {
    const { job, connected, flights, dispatcher } = this.#patrol;
    const workers = await connected.workers();
    const now = performance.now();
    if (now - this.#lookedAt > AWAY_MS) for (const flight of flights.waiting) flight.seenAt = now;
    this.#setWindows(workers, now);
    await this.#hear(workers, now);
    if (dispatcher.failure !== undefined || job.drain.aborted) await this.#takeBackAll();
    await Promise.all(
      flights.waiting.filter((flight) => isSilent(flight, now)).map((flight) => this.#find(flight, workers)),
    );
    this.#lookedAt = performance.now();
  }

  #setWindows(workers: readonly WorkerSighting[], now: number): void {
    const { job, dispatcher, wake } = this.#patrol;
    let all = 0;
    for (const lane of dispatcher.lanes) {
      const window = windowOf(workers, { provider: job.settings.provider, server: lane.name });
      if (window > 0) this.#unattended.delete(lane);
      else this.#unattended.set(lane, this.#unattended.get(lane) ?? now);
      all += window;
      lane.setWindow(window);
    }
    if (all === 0) this.#wait(now);
    else if (this.#isTold) {
      this.#isTold = false;
      job.onEvent({ type: "waiting", for: "workers", untilMs: Date.now() });
    }
    wake();
  }

  /** No worker takes the run's jobs. */
  #wait(now: number): void {
    const { job, options, dispatcher } = this.#patrol;
    const waitedMs = now - Math.max(...this.#unattended.values());
    const [lane] = dispatcher.lanes;
    const command = options.workerCommand(lane?.name ?? "");
    if (waitedMs >= job.giveUpAfterMs) {
      dispatcher.fail(
        new StoppedError(
          `no worker has taken the calls of ${job.server} for ${Math.round(waitedMs / 1_000)} seconds`,
          `Start one with \`${command}\`, then resume the run; give_up_after_s in the config says how long to wait for one.`,
        ),
      );
      return;
    }
    if (this.#isTold) return;
    this.#isTold = true;
    const message = `the run waits for a worker that takes the calls of ${job.server}: start one with \`${command}\``;
    job.onEvent({ type: "warning", message });
    job.onEvent({ type: "waiting", for: "workers", untilMs: Date.now() + job.giveUpAfterMs - waitedMs });
  }

  /** Notes which jobs the workers have. */
  async #hear(workers: readonly WorkerSighting[], now: number): Promise<void> {
    const { job, flights } = this.#patrol;
    const holders = new Map(workers.flatMap(({ id, inFlight }) => inFlight.map((token) => [token, id] as const)));
    for (const flight of flights.waiting) {
      const worker = holders.get(flight.token);
      if (worker === undefined) continue;
      flight.worker = worker;
      flight.seenAt = now;
      flight.begunAt ??= now;
      const heldMs = now - flight.begunAt;
      if (heldMs > longestMs(job))
        await this.#lose(flight, `worker ${worker} has it for ${seconds(heldMs)}, and gives no result`);
    }
  }

  /** Looks up a job that no worker names. */
  async #find(flight: Flight, workers: readonly WorkerSighting[]): Promise<void> {
    const { job, connected, flights, dispatcher } = this.#patrol;
    const state = await connected.stateOf(flight.token, flight.destination);
    const now = performance.now();
    if (state === "waiting") {
      flight.seenAt = now;
      const lane = dispatcher.lanes.find(({ name }) => name === flight.destination.server);
      const isUnattended = now - (this.#unattended.get(lane!) ?? now) > UNATTENDED_MS;
      const waitedMs = now - flight.putAt;
      if (!isUnattended && waitedMs <= longestMs(job)) return;
      if (!(await connected.takeBack(flight.token, flight.destination))) return;
      flights.end(flight, isUnattended ? { as: "taken_back" } : { as: "left_waiting", waitedMs });
      return;
    }
    // Its result is on its way to this process.
    if (state === "reported" && now - flight.putAt <= longestMs(job)) {
      flight.seenAt = now;
      return;
    }
    const { worker } = flight;
    const isGone = worker !== null && workers.every(({ id }) => id !== worker);
    const silentMs = now - flight.seenAt;
    if (silentMs < (isGone ? GONE_MS : WORKER_LOST_MS)) return;
    const what = worker === null ? "the queue has lost it, or the worker that had it" : `worker ${worker} was lost`;
    await this.#lose(flight, `${what}: nothing was heard of it for ${seconds(silentMs)}`);
  }

  async #lose(flight: Flight, message: string): Promise<void> {
    const { connected, flights } = this.#patrol;
    await connected.discard(flight.token, flight.destination);
    flights.end(flight, { as: "lost", message });
  }

  async #takeBackAll(): Promise<void> {
    const { connected, flights } = this.#patrol;
    const unbegun = flights.waiting.filter(({ worker }) => worker === null);
    await Promise.all(
      unbegun.map(async (flight) => {
        const isBack = await connected.takeBack(flight.token, flight.destination);
        if (isBack) flights.end(flight, { as: "taken_back" });
      }),
    );
  }
}

function isSilent({ seenAt, worker }: Flight, now: number): boolean {
  return now - seenAt >= (worker === null ? SILENT_MS : GONE_MS);
}

/** How long a job may wait for a worker, and how long a worker may have it. */
function longestMs({ timeoutMs }: Job): number {
  return 2 * timeoutMs + 60_000;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} seconds`;
}
