import { jobsQueue } from "../destination.ts";
import { encode } from "../messages.ts";
import { BEAT_MS, type WorkerQueue } from "../queue.ts";
import { away, type Engine, type Reader, RECONNECT_MS, within } from "./engine.ts";
import { Reports } from "./reports.ts";
import { Roster } from "./roster.ts";

/**
 * How long the engine waits for a sign of life of a worker that has a job. Nobody gives the job to another worker after
 * that: the coordinator decides what becomes of it.
 */
const JOB_LOCK_MS = 30_000;

/** How long a result waits for an engine that is away, once the worker is to end. */
const LAST_PATIENCE_MS = 60_000;

/** How long the engine is waited for after the last job, and for each step of disconnecting. */
const CLOSING_MS = 3_000;

/** See {@link WorkerQueue}. */
export function workerQueue(engine: Engine): WorkerQueue {
  const roster = new Roster(engine);
  const reports = new Reports(engine);
  const readers: Reader[] = [];
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  let performing = 0;
  let tellIdle = () => {};

  /** Keeps the worker from disconnecting. */
  async function busily(work: () => Promise<void>): Promise<void> {
    performing += 1;
    try {
      await work();
    } finally {
      performing -= 1;
      if (performing === 0) tellIdle();
    }
  }

  return {
    take(destination, concurrency, perform) {
      const reader = engine.worker(
        jobsQueue(destination),
        async ({ id = "", data }) => {
          await busily(() => perform({ id, data: data as unknown }));
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
      // Where the engine is away, the end of the worker does not wait for it.
      reader.onGone = (job) => busily(() => Promise.race([reports.takeBack(job), ended.promise]));
      readers.push(reader);
    },
    async report(replyTo, result) {
      await Promise.race([reports.send(replyTo, result), ended.promise]);
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
      await within(CLOSING_MS, Promise.all([reports.close(), roster.close()])).catch(() => {});
      await within(CLOSING_MS, engine.close()).catch(() => {});
    },
  };
}
