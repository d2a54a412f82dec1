import { Worker } from "node:worker_threads";
import type { Computing } from "../../view/rows.ts";
import { ViewError } from "../../view/view-error.ts";
import { statisticsWorkerFile } from "./built-files.ts";

/** What a thread of statistics is to do. */
export interface StatisticsTask {
  database: string;
  run: string;
}

/** What it says. The JSON is that of `Figures`. */
export type StatisticsReply =
  | { progress: Omit<Computing, "state"> }
  | { json: string }
  | { /** Something that is no bug. */ refusal: string };

interface ThreadOptions {
  onProgress?: (progress: Omit<Computing, "state">) => void;
  /** Ends the thread. */
  signal?: AbortSignal | undefined;
}

/** Computes the figures of a run in a thread. @returns their JSON @throws ViewError if the database cannot be read now */
export async function computeFigures(
  task: StatisticsTask,
  { onProgress = () => {}, signal }: ThreadOptions,
): Promise<string> {
  signal?.throwIfAborted();
  const worker = new Worker(statisticsWorkerFile(), { workerData: task });
  try {
    return await new Promise((resolve, reject) => {
      worker.on("message", (reply: StatisticsReply) => {
        if ("progress" in reply) onProgress(reply.progress);
        else if ("json" in reply) resolve(reply.json);
        else reject(new ViewError(503, reply.refusal, "Try again."));
      });
      worker.on("error", reject);
      worker.on("exit", (code) => reject(new Error(`the thread of statistics has ended with ${code}`)));
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  } finally {
    await worker.terminate();
  }
}

interface Job {
  run: string;
  progress: Omit<Computing, "state">;
  askedAt: number;
  abort: AbortController;
}

/** What came of a job. */
interface Result {
  version: string;
  json: string | null;
  error: unknown;
  at: number;
  isTold: boolean;
}

/** A job that nobody has asked for in this time makes room for another one. */
const FORGOTTEN_MS = 10_000;

/** In this time, the page that waits for a result has asked again, also if the browser hides it. */
const TOLD_MS = 70_000;

/** How many runs have their results kept. */
const MOST_RESULTS = 4;

/** The statistics of runs for the page: those of one run are computed at a time, and kept until the run changes. */
export class StatisticsThreads {
  readonly #database: string;
  readonly #results = new Map<string, Result>();
  #job: Job | null = null;

  constructor(database: string) {
    this.#database = database;
  }

  /**
   * Begins to compute what is not there yet.
   * @param version changes when the run does
   * @returns JSON of `Statistics`
   * @throws what went wrong
   */
  answer(run: string, version: string): string {
    const now = performance.now();
    const result = this.#results.get(run);
    // While a run goes on, its figures are old when they are there. They are told once all the same.
    if (result && (result.version === version || (!result.isTold && now - result.at < TOLD_MS))) {
      result.isTold = true;
      if (result.json !== null) return `{"state":"ready","figures":${result.json}}`;
      this.#results.delete(run);
      throw result.error;
    }
    const isFree = this.#job === null || now - this.#job.askedAt > FORGOTTEN_MS;
    if (this.#job?.run === run) this.#job.askedAt = now;
    else if (isFree) this.#begin(run, version);
    const progress = this.#job?.run === run ? this.#job.progress : { step: "waiting" as const, done: 0, total: 0 };
    return JSON.stringify({ state: "computing", ...progress } satisfies Computing);
  }

  close(): void {
    this.#job?.abort.abort();
    this.#job = null;
  }

  #begin(run: string, version: string): void {
    this.close();
    const abort = new AbortController();
    const job: Job = { run, progress: { step: "reading", done: 0, total: 0 }, askedAt: performance.now(), abort };
    this.#job = job;
    const end = (json: string | null, error: unknown) => {
      if (this.#job !== job) return;
      this.#job = null;
      this.#results.delete(run);
      this.#results.set(run, { version, json, error, at: performance.now(), isTold: false });
      const [oldest] = this.#results.keys();
      if (this.#results.size > MOST_RESULTS && oldest !== undefined) this.#results.delete(oldest);
    };
    computeFigures(
      { database: this.#database, run },
      {
        signal: abort.signal,
        onProgress: (progress) => {
          job.progress = progress;
        },
      },
    ).then(
      (json) => end(json, null),
      (error: unknown) => end(null, error),
    );
  }
}
