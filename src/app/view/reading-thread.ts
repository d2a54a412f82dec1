import { Worker } from "node:worker_threads";
import type { Ask, Question } from "../../view/api.ts";
import { ViewError } from "../../view/view-error.ts";
import type { RunSummary } from "../runs/summary.ts";

/** What the thread is to do. */
export type Task =
  | { question: Exclude<Question, "statistics">; args: never }
  | { versioned: string }
  | { watched: readonly string[]; /** Also if nothing has changed. */ isForced: boolean };

/** What came of it. */
export type Reply =
  | { json: string }
  | { isToRepeat: true }
  | { refusal: Pick<ViewError, "status" | "message" | "hint"> }
  | { bug: string };

interface Waiting {
  task: Task;
  isLong: boolean;
  signal: AbortSignal | null;
  resolve(json: string): void;
  reject(error: unknown): void;
}

/** The most questions that wait. */
const MOST_WAITING = 64;

/** Questions that take a whole slice of time. The others go first. */
const LONG: ReadonlySet<Question> = new Set<Question>(["matches", "distributions", "compare", "partner"]);

/** The thread that reads the database: one question at a time. */
export class ReadingThread {
  /** Rejects when the thread fails. It never resolves. */
  readonly failed: Promise<never>;
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #asked: Waiting | null = null;

  /** @param script the built file of worker.ts */
  constructor(script: URL, database: string) {
    this.#worker = new Worker(script, { workerData: database });
    this.#worker.on("message", (reply: Reply) => this.#take(reply));
    this.failed = new Promise((_, reject) => {
      this.#worker.on("error", reject);
      this.#worker.on("exit", (code) => reject(new Error(`the thread that reads the database has ended with ${code}`)));
    });
    // Nobody may be waiting for it yet.
    this.failed.catch((error: unknown) => {
      for (const waiting of [this.#asked, ...this.#waiting.splice(0)]) waiting?.reject(error);
    });
  }

  /** Statistics are not asked here: they have threads of their own. */
  readonly ask: Ask = (question, args, signal) => {
    const asked = question as Exclude<Question, "statistics">;
    return this.#add({ question: asked, args: args as never }, LONG.has(question), signal);
  };

  /** A text that changes when the statistics of a run may change. @throws ViewError when there is no such run */
  async version(run: string, signal: AbortSignal): Promise<string> {
    return await this.#add({ versioned: run }, false, signal);
  }

  /** The totals of some runs; null if nothing has changed. */
  async totals(watched: readonly string[], isForced: boolean): Promise<RunSummary[] | null> {
    return JSON.parse(await this.#add({ watched, isForced }, false, null)) as RunSummary[] | null;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #add(task: Task, isLong: boolean, signal: AbortSignal | null): Promise<string> {
    if (this.#waiting.length >= MOST_WAITING) {
      throw new ViewError(503, "too many requests are waiting", "Try again in a moment.");
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, isLong, signal, resolve, reject });
      this.#askNext();
    });
  }

  #askNext(): void {
    if (this.#asked !== null) return;
    const quick = this.#waiting.findIndex(({ isLong }) => !isLong);
    const [next] = this.#waiting.splice(Math.max(quick, 0), 1);
    if (!next) return;
    if (next.signal?.aborted) {
      next.reject(new ViewError(503, "the request was given up"));
      this.#askNext();
      return;
    }
    this.#asked = next;
    this.#worker.postMessage(next.task);
  }

  #take(reply: Reply): void {
    const asked = this.#asked;
    this.#asked = null;
    if (asked && "isToRepeat" in reply) this.#waiting.push(asked);
    else if (asked && "json" in reply) asked.resolve(reply.json);
    else if ("refusal" in reply)
      asked?.reject(new ViewError(reply.refusal.status, reply.refusal.message, reply.refusal.hint));
    else if ("bug" in reply) asked?.reject(new Error(reply.bug));
    this.#askNext();
  }
}
