import { PausedError, StoppedError } from "../../errors.ts";
import type { BatchState } from "../../providers/batch.ts";
import type { BatchRow } from "../../store/runs/batches.ts";
import { getRun } from "../../store/runs/runs.ts";
import type { Job } from "../executor.ts";

/*
 * Why a run in batches stops, and what the user can do about it.
 */

/** How to get out of waiting. */
function wayOut({ store, runId }: Job): string {
  const { publicId } = getRun(store, runId);
  return `To wait no longer, give it up with \`datagen runs cancel ${publicId} --give-up\`: its requests are possibly billed then, and pending again.`;
}

/** By which name users know a batch. */
export function nameOf({ batchId, name }: BatchRow): string {
  return batchId ?? name;
}

export function openStill(open: readonly BatchRow[]): PausedError {
  const requests = open.reduce((sum, row) => sum + row.requests, 0);
  return new PausedError(
    `${open.length} ${open.length === 1 ? "batch is" : "batches are"} open at the provider, with ${requests} requests`,
    "The provider works on without datagen. A resumed run stores the results that are ready.",
  );
}

/** A limit lets no batch through, though none of the run is open. */
export function noRoom({ server }: Job, message: string): StoppedError {
  return new StoppedError(
    `${server} takes no batch now: ${message}`,
    "Resume the run when other batches of the account have ended, or raise the account's limit. With --live each call is sent in its own request.",
  );
}

/** A request about a batch has failed for as long as the config allows. */
export function hopeless({ server, giveUpAfterMs }: Job, reason: string, message: string): StoppedError {
  return new StoppedError(
    `${server} has failed a request about a batch for ${secondsOf(giveUpAfterMs)}; the last failure was ${reason}: ${message}`,
    "Resume the run when the provider answers again. give_up_after_s in the config sets how long to wait.",
  );
}

/** The provider does not know a batch any more. */
export function unknownBatch(job: Job, row: BatchRow, message: string): StoppedError {
  return new StoppedError(
    `${job.server} does not know batch ${nameOf(row)}: ${message}`,
    `Check that the API key is of the account that sent it. ${wayOut(job)}`,
  );
}

/** It is not known whether a batch was created, and the provider does not say. */
export function unknownArrival(job: Job, row: BatchRow, message: string): StoppedError {
  return new StoppedError(
    `it is not known whether batch ${row.name} has arrived at ${job.server}: ${message}`,
    `Resume the run to look for it again. ${wayOut(job)}`,
  );
}

export function notCancellable(job: Job, row: BatchRow, message: string): StoppedError {
  return new StoppedError(
    `${job.server} does not cancel batch ${nameOf(row)}: ${message}`,
    `Resume the run to wait for it. ${wayOut(job)}`,
  );
}

/** A batch that should have ended long ago. */
export function overdue(job: Job, row: BatchRow, { status, unknownStatus }: BatchState, due: number) {
  return new StoppedError(
    `batch ${nameOf(row)} should have ended by ${new Date(due).toISOString()}, and ${job.server} still says "${unknownStatus ?? status}"`,
    `Resume the run to look at it again. ${wayOut(job)}`,
  );
}

export function unknownWord(job: Job, row: BatchRow, word: string, ms: number): StoppedError {
  return new StoppedError(
    `${job.server} has said of batch ${nameOf(row)} for ${secondsOf(ms)} that it is "${word}", a state that datagen does not know`,
    `Resume the run to wait longer. ${wayOut(job)}`,
  );
}

export function neverCancelled(job: Job, row: BatchRow, { status }: BatchState, ms: number): StoppedError {
  return new StoppedError(
    `batch ${nameOf(row)} was to end ${secondsOf(ms)} ago, and ${job.server} still says "${status}"`,
    wayOut(job),
  );
}

/** Nobody here has cancelled the batch. */
export function cancelledElsewhere(job: Job, row: BatchRow, { error }: BatchState): StoppedError {
  return new StoppedError(
    `batch ${nameOf(row)} was cancelled at ${job.server}, and not by datagen${error ? `: ${error.message}` : ""}`,
    "Find out who did it, and why. What it has answered is stored; resuming the run sends the rest again.",
  );
}

/** What a batch says that it has done has not come. */
export function lostResults(job: Job, row: BatchRow, requests: number, why: string): StoppedError {
  return new StoppedError(
    `${job.server} does not give all results of batch ${nameOf(row)}: ${why}; ${requests} of its requests are possibly billed`,
    "Ask the provider for them, if they were many. Resuming the run sends these requests again, and pays for them again.",
  );
}

function secondsOf(ms: number): string {
  return `${Math.round(ms / 1_000)} seconds`;
}
