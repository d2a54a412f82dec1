import type { Queue, Worker } from "bullmq";
import { jobsQueue } from "../destination.ts";
import { encode } from "../messages.ts";
import { BEAT_MS, type WorkerQueue } from "../queue.ts";
import { away, type Engine, patiently, RECONNECT_MS, within } from "./engine.ts";
import { Roster } from "./roster.ts";

/**
 * How long the engine waits for a sign of life of a worker that has a job. Nobody gives the job to another worker after
 * that: the coordinator decides what becomes of it.
 */
const JOB_LOCK_MS = 30_000;

/** How long a result waits for an engine that is away. Until then, the worker keeps its place for another job. */
const REPORT_PATIENCE_MS = 3_600_000;

/** How long it waits once the worker is to end. */
const LAST_PATIENCE_MS = 60_000;

/** How long the engine is waited for after the last job, and for each step of disconnecting. */
const CLOSING_MS = 3_000;

/** The most queues of results that are kept open. */
const MOST_REPLIES = 50;

/** See {@link WorkerQueue}. */
export function workerQueue(engine: Engine): WorkerQueue {
  const roster = new Roster(engine);
  const readers: Worker[] = [];
  /** The one that was used last is last. */
  const replies = new Map<string, Queue>();
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  let performing = 0;
  let tellIdle = () => {};

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
        async ({ id = "", data }) => {
          performing += 1;
          await perform({ id, data: data as unknown });
          performing -= 1;
          if (performing === 0) tellIdle();
        },
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
      const add = () => replyQueue(replyTo).add("result", data, options);
      await Promise.race([patiently(engine.url, REPORT_PATIENCE_MS, add), ended.promise]);
    },
    async beat(sighting) {
      await within(BEAT_MS, roster.write(sighting.id, await encode(sighting)));
    },
    async drain() {
      const last = setTimeout(() => ended.reject(away(engine.url, new Error("no answer in time"))), LAST_PATIENCE_MS);
      const closed = Promise.all(readers.map((reader) => reader.close()));
      for (let isDone = false; !isDone;) {
        if (performing > 0) await new Promise<void>((resolve) => (tellIdle = resolve));
        // While the engine is away, readers do not close. A job that has just come may have begun.
        isDone = await within(CLOSING_MS, closed).then(
          () => true,
          () => performing === 0,
        );
      }
      clearTimeout(last);
    },
    async close(id) {
      await within(CLOSING_MS, roster.remove(id)).catch(() => {});
      const queues = [...replies.values(), roster];
      await within(CLOSING_MS, Promise.all(queues.map((queue) => queue.close()))).catch(() => {});
      await within(CLOSING_MS, engine.close()).catch(() => {});
    },
  };
}
