import type { Queue, Worker } from "bullmq";
import { jobsQueue } from "../destination.ts";
import { encode } from "../messages.ts";
import { BEAT_MS, type WorkerQueue } from "../queue.ts";
import { type Engine, patiently, RECONNECT_MS, within } from "./engine.ts";
import { Roster } from "./roster.ts";

/**
 * How long the engine waits for a sign of life of a worker that has a job. Nobody gives the job to another worker after
 * that: the coordinator decides what becomes of it.
 */
const JOB_LOCK_MS = 30_000;

/** How long a result waits for an engine that is away. Until then, the worker keeps its place for another job. */
const REPORT_PATIENCE_MS = 3_600_000;

/** The most queues of results that are kept open. */
const MOST_REPLIES = 50;

/** See {@link WorkerQueue}. */
export function workerQueue(engine: Engine): WorkerQueue {
  const roster = new Roster(engine);
  const readers: Worker[] = [];
  /** The one that was used last is last. */
  const replies = new Map<string, Queue>();

  function replyQueue(name: string): Queue {
    const queue = replies.get(name) ?? engine.queue(name);
    replies.delete(name);
    replies.set(name, queue);
    const [oldest] = replies;
    if (replies.size > MOST_REPLIES && oldest) {
      replies.delete(oldest[0]);
      void oldest[1].close().catch(() => {});
    }
    return queue;
  }

  return {
    take(destination, concurrency, perform) {
      const reader = engine.worker(
        jobsQueue(destination),
        ({ id = "", data }) => perform({ id, data: data as unknown }),
        {
          concurrency,
          lockDuration: JOB_LOCK_MS,
          skipStalledCheck: true,
          removeOnComplete: { count: 0 },
          removeOnFail: { count: 0 },
          runRetryDelay: RECONNECT_MS,
        },
      );
      readers.push(reader);
    },
    async report(replyTo, result) {
      const data = await encode(result);
      // The coordinator removes a result when it has taken it.
      const options = { jobId: result.token, removeOnComplete: true, removeOnFail: true };
      await patiently(engine.url, REPORT_PATIENCE_MS, () => replyQueue(replyTo).add("result", data, options));
    },
    async beat(sighting) {
      await within(BEAT_MS, roster.write(sighting.id, await encode(sighting)));
    },
    async drain() {
      await Promise.all(readers.map((reader) => reader.close()));
    },
    async close(id) {
      await within(BEAT_MS, roster.remove(id)).catch(() => {});
      const queues = [...replies.values(), roster];
      await within(BEAT_MS, Promise.all(queues.map((queue) => queue.close()))).catch(() => {});
      await within(BEAT_MS, engine.close()).catch(() => {});
    },
  };
}
