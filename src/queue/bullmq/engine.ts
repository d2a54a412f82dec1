import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Queue, Worker, WorkerOptions } from "bullmq";
import { errorCode, errorMessage, StoppedError, UsageError } from "../../errors.ts";
import { MessageError } from "../messages.ts";
import { type QueueUrl, withoutCredentials } from "../url.ts";

/** A connection to an engine: Redis, Valkey or PostgreSQL. BullMQ makes all of them look alike. */
export interface Engine {
  url: QueueUrl;
  queue(name: string): Queue;
  /** Calls `perform` for each job of a queue. */
  worker(name: string, perform: Perform, options: Omit<WorkerOptions, "connection">): Reader;
  /** Breaks the lock with which a process holds a job, so that the job can be removed. */
  unlock(queue: string, id: string): Promise<void>;
  /** Removes a queue with all that is in it. */
  drop(queue: string): Promise<void>;
  /** Disconnects, after all its queues and workers are closed. */
  close(): Promise<void>;
}

/** What reads a queue. */
export interface Reader extends Worker {
  /** Called when a job that was performed is not in the engine any more. */
  onGone: (job: Job) => Promise<void>;
  /** Stops what it does for its jobs, also where it cannot close because the engine is away. */
  abandon(): Promise<void>;
}

/** @param lock the engine's word that this process has the job */
export type Perform = (job: Job, lock: string | undefined) => Promise<void>;

/** How long BullMQ waits before it tries again to read a queue whose engine is away. */
export const RECONNECT_MS = 500;

/** Nobody reads the events that the engine keeps of a queue. */
export const FEW_EVENTS = { streams: { events: { maxLen: 10 } } };

/** How long a command waits for a connection when it starts. */
export const START_PATIENCE_MS = 5_000;

/** After this time an operation has no answer yet because the engine is away. */
const SILENT_MS = 3_000;

/** How long after a failure an operation is tried again. */
const RETRY_MS = 200;

/** What a process does with an engine. */
export interface EngineUse {
  /** The most queues that it reads at the same time. */
  reads: number;
  /** How many other operations PostgreSQL gets at the same time. Each takes a connection, of which it has few. */
  queries: number;
}

/**
 * Connects to the engine of a URL, and loads its packages.
 * @throws UsageError when a package is missing, or the engine refuses the user or is not fit for a queue
 * @throws StoppedError when it does not answer
 */
export async function connectEngine(url: QueueUrl, use: EngineUse): Promise<Engine> {
  if (url.engine === "redis") return await (await import("./redis.ts")).connectRedis(url);
  return await (await import("./postgres.ts")).connectPostgres(url, use);
}

/**
 * Loads packages that are optional.
 * @throws UsageError when one is not installed
 */
export async function loadOptional<T>(engine: string, names: readonly string[], load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (errorCode(error) !== "ERR_MODULE_NOT_FOUND" && errorCode(error) !== "MODULE_NOT_FOUND") throw error;
    throw new UsageError(
      `a queue on ${engine} needs the packages ${names.join(" and ")}, and they are not installed`,
      `Install them where datagen is installed: npm install ${names.join(" ")}`,
      error,
    );
  }
}

/**
 * Tries an operation again while the engine is away.
 * @param onSilent called once, if it takes long
 * @throws StoppedError after `patienceMs`, MessageError at once
 */
export async function patiently<T>(
  url: QueueUrl,
  patienceMs: number,
  work: () => Promise<T>,
  onSilent: () => void = () => {},
): Promise<T> {
  const until = performance.now() + patienceMs;
  const silent = setTimeout(onSilent, SILENT_MS);
  try {
    for (;;) {
      try {
        return await within(until - performance.now(), work());
      } catch (error) {
        if (error instanceof MessageError) throw error;
        if (performance.now() + RETRY_MS >= until) throw away(url, error);
      }
      await sleep(RETRY_MS);
    }
  } finally {
    clearTimeout(silent);
  }
}

/** Removes a job, whoever has it. */
export async function removeJob(engine: Engine, queue: Queue, id: string): Promise<void> {
  await engine.unlock(queue.name, id);
  await queue.remove(id, { removeChildren: false });
}

/** @throws Error when the work takes longer */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("no answer in time")), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The error for an engine that does not answer. */
export function away(url: QueueUrl, error: unknown): StoppedError {
  return new StoppedError(
    `the queue ${url.shown} does not answer (${reasonOf(url, error)})`,
    "See that it runs and can be reached from here, then try again.",
  );
}

/** The error for an engine that does not let the user in. */
export function refused(url: QueueUrl, error: unknown): UsageError {
  return new UsageError(
    `the queue ${url.shown} refuses the connection (${reasonOf(url, error)})`,
    "Check the user, the password and the database in its URL.",
  );
}

const LONGEST_REASON = 200;

/** Why the engine failed, in a few words, without credentials. */
function reasonOf(url: QueueUrl, error: unknown): string {
  const said = errorMessage(error).split("\n", 1)[0]?.trim() ?? "";
  const reason = withoutCredentials(said === "" ? (errorCode(error) ?? "unknown") : said, url);
  return reason.length > LONGEST_REASON ? `${reason.slice(0, LONGEST_REASON)}…` : reason;
}

/** BullMQ reports errors of the connection as events, and goes on by itself. */
export function quietly<T extends { on(event: "error", listener: () => void): unknown }>(part: T): T {
  part.on("error", () => {});
  return part;
}
