import type { Destination } from "./destination.ts";
import type { JobMessage, ResultMessage, WorkerSighting } from "./messages.ts";

/** Where a job is: in the queue, with a worker (as the engine says), with its result in the queue of results, or nowhere. */
export type JobState = "waiting" | "begun" | "reported" | "absent";

/**
 * The queue as the coordinator of a run uses it. While the engine is away, every operation is tried again for a bounded
 * time; after that, it throws a StoppedError that names the queue without credentials.
 */
export interface CoordinatorQueue {
  /** Aborted, with a StoppedError as reason, when another process takes over the run, from a copy of the database. */
  readonly lost: AbortSignal;
  /**
   * Resolves when the engine has the job. A second job with the token of one that is there changes nothing.
   * @throws MessageError when the job is too large for the queue; it is not sent
   */
  put(job: JobMessage): Promise<void>;
  /**
   * Calls `take` for each result of the run, also for those that came before. Several calls run at the same time. A result
   * is removed when its promise resolves; if it rejects, or the process ends first, the result comes again.
   * What is no result message is removed, with a warning.
   */
  onResult(take: (result: ResultMessage) => Promise<void>): void;
  /** Takes back a job that no worker has begun. False if one has, or if the job is not there. */
  takeBack(token: string, destination: Destination): Promise<boolean>;
  /** Removes a job whose worker is lost. A worker that still has it can report its result. */
  discard(token: string, destination: Destination): Promise<void>;
  stateOf(token: string, destination: Destination): Promise<JobState>;
  /**
   * The workers that live. This process measures by its own clock how long a worker's beat has not changed, so a worker
   * that ended before the first call may be listed for `WORKER_LOST_MS`.
   */
  workers(): Promise<WorkerSighting[]>;
  /**
   * Removes what the run has in the queues: its jobs for these destinations, and its results. For the end of a run. Tries it
   * for some seconds: what is left then does no harm.
   */
  remove(destinations: readonly Destination[]): Promise<void>;
  /** Takes no more results, waits for those that are being taken, and disconnects. */
  close(): Promise<void>;
}

/** The queue as a worker uses it. */
export interface WorkerQueue {
  /**
   * Calls `perform` for each job of a destination, for at most `concurrency` at the same time. The job is removed when the
   * promise resolves.
   */
  take(destination: Destination, concurrency: number, perform: (received: ReceivedJob) => Promise<void>): void;
  /** Resolves when the engine has the result. @param replyTo the queue that the job names */
  report(replyTo: string, result: ResultMessage): Promise<void>;
  /** Renews the worker's row. It is not tried again. */
  beat(sighting: WorkerSighting): Promise<void>;
  /** Takes no more jobs, and resolves when those that it has are done. */
  drain(): Promise<void>;
  /** Removes the worker's row, and disconnects. */
  close(id: string): Promise<void>;
}

/** A job as it came out of the queue: anybody who can write to the queue may have made it. */
export interface ReceivedJob {
  /** The engine's id of the job: its token, if it is a job of ours. */
  id: string;
  data: unknown;
}

/** How often a worker and a coordinator renew their rows. */
export const BEAT_MS = 2_000;

/**
 * A worker is lost when its row has not changed for so long. A lost call is paid twice if its worker lives, and waiting costs
 * only time. A network that was away for 10 seconds may be silent for 20, because TCP doubles its waits.
 */
export const WORKER_LOST_MS = 30_000;
