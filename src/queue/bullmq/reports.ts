import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Queue } from "bullmq";
import { encode, replyOf, type ResultMessage } from "../messages.ts";
import { isClaimed } from "./claim.ts";
import { type Engine, patiently } from "./engine.ts";
import type { Roster } from "./roster.ts";

/** How long a result waits for an engine that is away. Until then, the worker keeps its place for another job. */
const REPORT_PATIENCE_MS = 3_600_000;

/** After an engine has come back empty, coordinators have renewed their claims within this time. */
const CLAIM_MS = 10_000;

/** How often to look for a claim. */
const LOOK_MS = 500;

/** The most queues of results that are kept open. */
const MOST_QUEUES = 50;

/** The results that a worker reports. */
export class Reports {
  readonly #engine: Engine;
  readonly #roster: Roster;
  /** The one that was used last is last. */
  readonly #queues = new Map<string, Queue>();

  constructor(engine: Engine, roster: Roster) {
    this.#engine = engine;
    this.#roster = roster;
  }

  /** Resolves when the engine has the result. */
  async send(replyTo: string, result: ResultMessage): Promise<void> {
    const data = await encode(result);
    // The coordinator removes a result when it has taken it.
    const options = { jobId: result.token, removeOnComplete: true, removeOnFail: true };
    await patiently(this.#engine.url, REPORT_PATIENCE_MS, () => this.#queueOf(replyTo).add("result", data, options));
  }

  /**
   * Takes back the result of a job that its coordinator has removed, where no coordinator takes results of the run any
   * more: the run has probably ended, and nobody would ever remove the result.
   */
  async takeBack({ data }: Job): Promise<void> {
    const reply = await replyOf(data);
    if (reply === null) return;
    for (let waited = 0; waited < CLAIM_MS; waited += LOOK_MS) {
      if (await isClaimed(this.#roster, reply.replyTo)) return;
      await sleep(LOOK_MS);
    }
    await this.#queueOf(reply.replyTo).remove(reply.token, { removeChildren: false });
  }

  #queueOf(name: string): Queue {
    const queue = this.#queues.get(name) ?? this.#engine.queue(name);
    this.#queues.delete(name);
    this.#queues.set(name, queue);
    const [oldest] = this.#queues;
    if (this.#queues.size > MOST_QUEUES && oldest) {
      this.#queues.delete(oldest[0]);
      void oldest[1].close().catch(() => {});
    }
    return queue;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }
}
