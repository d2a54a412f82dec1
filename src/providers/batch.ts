import type { Endpoint } from "../config/schema.ts";
import type { CallError, Completion, Question } from "./provider.ts";

/**
 * The batches of a provider: files of requests that it answers in its own time, usually for less. Nothing here retries
 * or waits. Every function but `line` and `result` throws a CallError where the provider gives no good answer, the signal's
 * own reason where it was aborted, and errors of the disk as they are.
 *
 * A submission has a name, which is that of its file (ending in `.jsonl`) and the mark of its batch: a new one for each,
 * so that `find` can tell what has become of one that may or may not have arrived.
 */
export interface BatchProvider {
  /** The most that one file may hold; a line's bytes include its line feed. */
  limits: { requests: number; bytes: number };
  /** A request as one line of a file, without the line feed; its parameters are those of a live request. */
  line(request: BatchRequest): string;
  /** Sends a file, read from disk as it goes, and gives its id. */
  upload(path: string, name: string, signal: AbortSignal): Promise<string>;
  create(fileId: string, options: { endpoint: Endpoint; name: string }, signal: AbortSignal): Promise<BatchState>;
  /** What the provider has of a submission. The file is that of the batch, where there is one. */
  find(name: string, signal: AbortSignal): Promise<{ fileId: string | null; batch: BatchState | null }>;
  get(batchId: string, signal: AbortSignal): Promise<BatchState>;
  /** Asks for the end of a batch; one that has ended stays as it is. */
  cancel(batchId: string, signal: AbortSignal): Promise<BatchState>;
  /** The lines of a file as they arrive, without empty ones. */
  lines(fileId: string, signal: AbortSignal): AsyncIterable<string>;
  /** What a line of an output or error file says. */
  result(line: string): BatchResult;
}

export interface BatchRequest extends Question {
  /** Tells the request's result from others: at most 64 characters, used once in a file. */
  customId: string;
}

export type BatchStatus =
  | "validating"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "failed"
  | "expired"
  | "cancelling"
  | "cancelled";

export interface BatchState {
  id: string;
  status: BatchStatus;
  /** Requests; null where the provider does not say. */
  counts: { total: number; completed: number; failed: number } | null;
  /** Share of the requests that are done, from 0 to 1; null where the provider does not say. */
  progress: number | null;
  /** Answers that came; null where there are none, or none yet. */
  outputFileId: string | null;
  /** Requests that failed; null where there are none, or none yet. */
  errorFileId: string | null;
  /** Why the batch failed whole. */
  error: { code: string | null; message: string } | null;
  /** Whether it failed because too many tokens are waiting already: the same requests are taken once there are fewer. */
  isTokenLimit: boolean;
}

/** The result of one request, or, where the line does not say whose it is, an error without an id. */
export type BatchResult = { customId: string; completion: Completion } | { customId: string | null; error: CallError };
