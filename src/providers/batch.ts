import type { Endpoint } from "../config/schema.ts";
import type { CallError, Completion, FailureReason, Question } from "./provider.ts";

/**
 * The batch API of a provider: it takes many requests at once and answers them later, usually for a lower price. Nothing here
 * retries or waits. Every function except `line` and `result` can throw: a CallError for a bad answer of the provider, the
 * signal's reason if it was aborted, and errors of the disk as they are.
 *
 * Every submission has a new name. It names the file (ending in `.jsonl`) and marks the batch, or each of its requests, so
 * that `find` can tell whether a submission has arrived.
 */
export interface BatchProvider {
  /** The limits of one file; a line's bytes include its line feed. */
  limits: { requests: number; bytes: number };
  /** Asks for the newest batch, to see whether the server takes batches. @throws CallError if the answer is no list */
  probe(signal: AbortSignal): Promise<void>;
  /**
   * A request as one line of a file, without the line feed; its parameters are those of a live request.
   * @param name the name of the submission
   */
  line(request: BatchRequest, name: string): string;
  /** Sends a file, which is read from disk as it is sent, and returns its id. Null if the provider keeps no such files. */
  upload: ((path: string, name: string, signal: AbortSignal) => Promise<string>) | null;
  /** @param file the id of the file, or its path if there is no `upload`: it is then read from disk as it is sent */
  create(file: string, options: { endpoint: Endpoint; name: string }, signal: AbortSignal): Promise<BatchState>;
  /** What the provider has of a submission. */
  find(submission: Submission, signal: AbortSignal): Promise<Found>;
  get(batchId: string, signal: AbortSignal): Promise<BatchState>;
  /** Asks the provider to cancel a batch. A batch that has ended stays as it is. */
  cancel(batchId: string, signal: AbortSignal): Promise<BatchState>;
  /**
   * The lines of a file of results as they arrive, without empty lines.
   * @param requests the number of requests in the batch, which limits the size of the file
   * @throws CallError if the file is longer, or takes hours
   */
  lines(fileId: string, requests: number, signal: AbortSignal): AsyncIterable<string>;
  /** Deletes a file of requests, answers or errors. */
  remove(fileId: string, signal: AbortSignal): Promise<void>;
  /** Reads a line of an output or error file. */
  result(line: string): BatchResult;
}

/** What tells a submission from others. */
export interface Submission {
  name: string;
  /** The id of its file; null if it is not known to be there. */
  fileId: string | null;
  /** The number of its requests. */
  requests: number;
  /** When it was prepared, in milliseconds since 1970 by the clock of this machine. */
  createdAt: number;
}

export interface Found {
  /** The file of the submission; that of the batch, if there is one. */
  fileId: string | null;
  batch: BatchState | null;
  /** A batch that may be the submission's, if nothing but its results can tell, and these are still to come. */
  candidate?: BatchState;
}

export interface BatchRequest extends Question {
  /** Identifies the request's result: at most 64 characters, unique within a file. */
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
  /** The provider's word for a status that datagen does not know; the batch is then treated as in progress. */
  unknownStatus: string | null;
  /** When it ends at the latest, in milliseconds since 1970; null if the provider does not say. */
  dueAt: number | null;
  /** Counts of requests; null if the provider does not report them. */
  counts: { total: number; completed: number; failed: number } | null;
  /** The share of requests that are done, from 0 to 1; null if the provider does not report it. */
  progress: number | null;
  /** The file of answers; null if there are none, or none yet. */
  outputFileId: string | null;
  /** The file of failed requests; null if there are none, or none yet. */
  errorFileId: string | null;
  /** Why the whole batch failed. */
  error: { code: string | null; message: string } | null;
  /** What that error would mean for a single request; null if there is none. */
  failure: FailureReason | null;
  /** Whether it failed because too many tokens are enqueued: the provider takes the same requests later. */
  isTokenLimit: boolean;
}

/** A batch that was created a moment ago: nothing of it is done. */
export function newBatch(id: string): BatchState {
  return {
    id,
    status: "in_progress",
    unknownStatus: null,
    dueAt: null,
    counts: null,
    progress: null,
    outputFileId: null,
    errorFileId: null,
    error: null,
    failure: null,
    isTokenLimit: false,
  };
}

/** The result of one request, or an error without an id if the line does not name its request. */
export type BatchResult = { customId: string; completion: Completion } | { customId: string | null; error: CallError };
