import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { StoppedError, UsageError } from "../../errors.ts";
import { connectWorker } from "../../queue/connect.ts";
import { MOST_JOBS_OF_WORKER } from "../../queue/messages.ts";
import { BEAT_MS, type WorkerQueue } from "../../queue/queue.ts";
import { type Environment, readVariables } from "../server/environment.ts";
import { ServerGroup } from "./connections.ts";
import { JobWorker, NOTHING_DONE, type WorkerReport } from "./job-worker.ts";
import type { QueueUrl } from "../../queue/url.ts";
import { queueUrlOf } from "./queue-url.ts";
import { servedBy, type ServedOptions } from "./served.ts";

export interface AnswerJobsOptions extends ServedOptions {
  /** The URL of the queue. Default: DATAGEN_QUEUE. */
  queue?: string | undefined;
  /** The most requests in flight at each server. */
  concurrency: number;
  /** Aborted when the worker takes no more jobs, and ends once those that it has are answered. */
  signal: AbortSignal;
  /** Where keys come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  onEvent: (event: WorkerEvent) => void;
}

/** Reports of a worker. */
export type WorkerEvent =
  /** It takes jobs. The queue is shown without credentials. */
  | { type: "started"; queue: string; servers: readonly string[]; concurrency: number }
  | { type: "warning"; message: string }
  /** The queue no longer answers, or answers again. */
  | { type: "away" | "back"; queue: string };

/**
 * Answers jobs of a queue until `signal` is aborted. While the queue does not answer, the worker waits for it.
 * @throws UsageError when something in the options does not fit, a key or a package is missing, or the queue refuses the user
 */
export async function answerJobs(options: AnswerJobsOptions): Promise<WorkerReport> {
  const { signal, onEvent } = options;
  const variables = readVariables(options.environment);
  const url = queueUrlOf(options.queue, variables);
  const served = servedBy(options, variables);
  const places = served.map(({ servers }) => servers.length * options.concurrency);
  const concurrency = places.reduce((sum, one) => sum + one, 0);
  if (concurrency > MOST_JOBS_OF_WORKER) {
    throw new UsageError(
      `${concurrency} requests in flight are too many for one worker`,
      `Lower --concurrency: a worker has at most ${MOST_JOBS_OF_WORKER} in all. Start more workers for more.`,
    );
  }
  const groups = served.map((one) => new ServerGroup(one, variables, onEvent));
  const queue = await connect(url, served.length, options);
  if (queue === null) return NOTHING_DONE;
  const worker = new JobWorker(queue, {
    provider: served[0]!.destination.provider,
    servers: served.map(({ destination }) => destination.server),
    concurrency,
    onEvent,
  });
  const pulse = startPulse(queue, worker, (type) => onEvent({ type, queue: url.shown }));
  for (const [at, group] of groups.entries()) {
    queue.take(group.destination, places[at] ?? 1, (received) => worker.perform(received, group));
  }
  onEvent({ type: "started", queue: url.shown, servers: groups.flatMap(({ names }) => names), concurrency });
  if (!signal.aborted) await once(signal, "abort");
  await queue.drain();
  await pulse.end();
  await queue.close(worker.id);
  return worker.report;
}

/** How long to wait before the next try to connect. */
const RECONNECT_MS = 2_000;

/** @returns null if `signal` is aborted before the queue answers */
async function connect(
  url: QueueUrl,
  most: number,
  { signal, onEvent }: Pick<AnswerJobsOptions, "signal" | "onEvent">,
): Promise<WorkerQueue | null> {
  for (let isTold = false; !signal.aborted; isTold = true) {
    try {
      return await connectWorker(url, most);
    } catch (error) {
      // A machine may start before the engine does.
      if (!(error instanceof StoppedError)) throw error;
      if (!isTold) onEvent({ type: "warning", message: `${error.message}; trying again` });
    }
    await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {});
  }
  return null;
}

/** Renews the worker's row while it lives, also while it drains, and tells when the queue is away. */
function startPulse(
  queue: WorkerQueue,
  worker: JobWorker,
  tell: (event: "away" | "back") => void,
): { end: () => Promise<void> } {
  let isAway = false;
  let isBeating = false;
  let beating = Promise.resolve();
  const beat = async () => {
    try {
      await queue.beat(worker.sighting());
      if (isAway) tell("back");
      isAway = false;
    } catch {
      if (!isAway) tell("away");
      isAway = true;
    }
    isBeating = false;
  };
  const start = () => {
    if (isBeating) return;
    isBeating = true;
    beating = beat();
  };
  start();
  const timer = setInterval(start, BEAT_MS);
  return {
    async end() {
      clearInterval(timer);
      await beating;
    },
  };
}
