import type { Job, Queue } from "bullmq";
import { encode, replyOf, type ResultMessage } from "../messages.ts";
import { hasEnded } from "./ended.ts";
import { type Engine, patiently } from "./engine.ts";

/** How long a result waits for an engine that is away. Until then, the worker keeps its place for another job. */
const REPORT_PATIENCE_MS = 3_600_000;

/** The most queues of results that are kept open. */
const MOST_QUEUES = 50;

/** The results that a worker reports. */
export class Reports {
  readonly #engine: Engine;
  /** The one that was used last is last. */
  readonly #queues = new Map<string, Queue>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Resolves when the engine has the result. */
  async send(replyTo: string, result: ResultMessage): Promise<void> {
    const data = await encode(result);
    // The coordinator removes a result when it has taken it.
    const options = { jobId: result.token, removeOnComplete: true, removeOnFail: true };
    await patiently(this.#engine.url, REPORT_PATIENCE_MS, () => this.#queueOf(replyTo).add("result", data, options));
  }

  /** Takes back the result of a job that is not there any more, if its run has ended: nobody else would remove it. */
  async takeBack({ data }: Job): Promise<void> {
    const reply = await replyOf(data);
    if (reply === null || !(await hasEnded(this.#engine, reply.replyTo))) return;
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
