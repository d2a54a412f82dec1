import { connectWorker } from "../../src/queue/connect.ts";
import { decodeJob, type JobMessage, newWorkerId, type ResultMessage } from "../../src/queue/messages.ts";
import { parseQueueUrl } from "../../src/queue/url.ts";
import type { Completion } from "../../src/providers/provider.ts";
import { reportedUsage } from "./usage.ts";

/** A worker that does with its jobs what a test says. `await using` lets it vanish. */
export interface StrangeWorker extends AsyncDisposable {
  readonly id: string;
  /** The jobs that it has taken, the oldest first. */
  readonly jobs: JobMessage[];
  /** Resolves when it has taken so many jobs in all. */
  hasTaken(count: number): Promise<void>;
  /** Reports an answer to a job, which stays with the worker as far as the engine knows. */
  answer(job: JobMessage, text: string): Promise<void>;
  report(job: Pick<JobMessage, "replyTo">, result: ResultMessage): Promise<void>;
  /** Ends without a word about its jobs: nothing is heard of it from now on. It can still report. */
  vanish(): Promise<void>;
}

/** @param server whose jobs it takes */
export async function strangeWorker(url: string, server: string, concurrency = 8): Promise<StrangeWorker> {
  const parsed = parseQueueUrl(url, "the test");
  const queue = await connectWorker(parsed, 1);
  const reports = await connectWorker(parsed, 0);
  const id = newWorkerId();
  const jobs: JobMessage[] = [];
  let beat = 0;
  let tell = () => {};
  const sighting = () => ({
    id,
    beat: (beat += 1),
    host: "strange",
    version: "0",
    provider: "openai" as const,
    servers: [server],
    concurrency,
    inFlight: jobs.map(({ token }) => token),
    answered: 0,
    startedAt: 0,
  });
  await queue.beat(sighting());
  const beating = setInterval(() => void queue.beat(sighting()).catch(() => {}), 500);
  queue.take({ provider: "openai", server }, concurrency, async ({ data }) => {
    jobs.push(await decodeJob(data));
    tell();
    // It never says that it is done.
    await new Promise(() => {});
  });
  let hasVanished = false;
  const vanish = async () => {
    if (hasVanished) return;
    hasVanished = true;
    clearInterval(beating);
    await queue.close(id);
  };
  const report = (job: Pick<JobMessage, "replyTo">, result: ResultMessage) => reports.report(job.replyTo, result);
  return {
    id,
    jobs,
    hasTaken: (count) =>
      new Promise((resolve) => {
        tell = () => {
          if (jobs.length >= count) resolve();
        };
        tell();
      }),
    answer: (job, text) => report(job, { token: job.token, worker: id, durationMs: 5, completion: completionOf(text) }),
    report,
    vanish,
    async [Symbol.asyncDispose]() {
      await vanish();
      await reports.close(id);
    },
  };
}

export function completionOf(text: string): Completion {
  return {
    text,
    finishReason: "stop",
    finishReasonRaw: null,
    usage: reportedUsage(10, 5),
    httpStatus: 200,
    requestId: "strange-1",
    servedModel: null,
    rateLimits: null,
  };
}
