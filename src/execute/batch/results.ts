import { StoppedError } from "../../errors.ts";
import { CallError } from "../../providers/provider.ts";
import type { BatchState } from "../../providers/batch.ts";
import { type BatchRow, endBatch, giveUpBatch, listBatches, openBatches } from "../../store/runs/batches.ts";
import { hasOpenCalls } from "../../store/runs/calls.ts";
import { kindOf } from "../retry.ts";
import { stopped } from "../stops.ts";
import { ask, MISSING_TIMES } from "./ask.ts";
import { Collector } from "./collector.ts";
import { removeFiles } from "./files.ts";
import { FIRST_POLL_MS, isOverdue, LONGEST_MS, LONGEST_POLL_MS } from "./polls.ts";
import type { BatchRun } from "./run.ts";
import { cancelledElsewhere, lostResults, nameOf, noRoom } from "./stops.ts";

/** After a refusal, batches are smaller. With each completed batch, the next ones may be larger by this factor. */
const REGROWTH = 1.25;

/** The state of a batch that was given up. */
const GIVEN_UP = "given up";

/**
 * Stores the results of a batch that has ended, from both of its files. A request that is in neither is sent again. Where
 * the batch says that it has done more than its files give, it stays open, to be looked at again for a while.
 */
export async function collectResults(run: BatchRun, row: BatchRow, state: BatchState): Promise<void> {
  const { job } = run;
  const { mode, waits } = job.batches;
  const isLong = waits ? run.sightings.lasting(row, "ended") >= job.giveUpAfterMs : isOverdue(row, state);
  const isLast = isLong || mode === "give_up";
  const collector = new Collector(run, row, state);
  const unread = await readFiles(collector, { run, row, state, isLast });
  if (unread === null) return;
  const missing = collector.missing(unread);
  if (missing && !isLast) {
    if (run.sightings.lasting(row, "missing") > 0) return;
    const message = `batch ${nameOf(row)} is ${state.status}, and not all of its results are there: ${missing.what}. Looking again.`;
    job.onEvent({ type: "warning", message });
    return;
  }
  if (missing?.isPaid) {
    loseRest(run, row, missing.what);
  } else {
    await collector.addMissing();
    const fileId = endBatch(job.store, job.lease, row.id);
    resize(run, row, state);
    run.taken.delete(row.id);
    run.stop ??= stopOf(run, row, state);
    await removeFiles(run, [fileId, state.outputFileId, state.errorFileId]);
  }
  run.stop ??= collector.stop;
}

/**
 * Reads the files of a batch, and stores what is in them.
 * @returns why one of them could not be read, as it is not there; empty where all is read, null where the run is stopping
 */
async function readFiles(
  collector: Collector,
  { run, row, state, isLast }: { run: BatchRun; row: BatchRow; state: BatchState; isLast: boolean },
): Promise<string | null> {
  const { job, provider } = run;
  const { files } = collector.taken;
  let unread = "";
  for (const file of ["output", "error"] as const) {
    const fileId = file === "output" ? state.outputFileId : state.errorFileId;
    // What was read whole is not read again for a file that is still to come.
    if (fileId === null || (files.has(fileId) && !isLast)) continue;
    const read = async () => {
      try {
        for await (const line of provider.lines(fileId, row.requests, job.drain)) {
          const { customId, ...said } = provider.result(line);
          const callId = callIdOf(customId);
          if (callId === null) continue;
          await collector.add(callId, "completion" in said ? said.completion : ownFault(said.error), file);
        }
      } finally {
        // Of a file that breaks off, too, all that came is kept.
        await collector.flush();
      }
      return "";
    };
    const onMissing = (message: string) => `the file ${fileId} is not there: ${message}`;
    const reading = ask(job, read, { missingTimes: MISSING_TIMES.known, onMissing });
    // What cannot be read, and never will be, keeps no batch from being given up.
    const why = await (job.batches.mode === "give_up" ? reading.catch(unlessStopped) : reading);
    if (why === null) return null;
    if (why === "") files.add(fileId);
    else if (!files.has(fileId)) unread ||= why;
  }
  return unread;
}

/** @throws the error itself where it is none that a person can mend */
function unlessStopped(error: unknown): string {
  if (error instanceof StoppedError) return error.message;
  throw error;
}

/** Ends a batch without the results that it has not given: their requests are possibly billed. */
export function loseRest(run: BatchRun, row: BatchRow, why: string): void {
  const { job } = run;
  const requests = giveUpBatch(job.store, job.lease, row.id, { status: GIVEN_UP, error: why });
  if (job.batches.mode === "submit" || job.batches.mode === "collect") {
    run.stop ??= lostResults(job, row, requests, why);
    return;
  }
  const message = `batch ${nameOf(row)} was given up (${why}): ${requests} of its requests are possibly billed, and pending again`;
  job.onEvent({ type: "warning", message });
}

/** Why no more batches are to be sent after this one; null where nothing speaks against it. */
function stopOf({ job }: BatchRun, row: BatchRow, state: BatchState): StoppedError | null {
  const { status, failure, error } = state;
  if (!hasOpenCalls(job.store, job.runId)) return null;
  if (status === "failed" && failure !== null && (kindOf(failure) === "stop" || kindOf(failure) === "doubtful")) {
    return stopped(failure, error?.message ?? "", job);
  }
  const isOwn = row.state === "cancelling" || job.batches.mode === "cancel" || job.batches.mode === "give_up";
  return status === "cancelled" && !isOwn ? cancelledElsewhere(job, row, state) : null;
}

/** Decides, by the end of a batch, how large the next ones may be. */
function resize(run: BatchRun, row: BatchRow, state: BatchState): void {
  const { job } = run;
  // A batch that was taken shows that there was room, however it has ended.
  if (!state.isTokenLimit) run.refusedSince = null;
  if (state.isTokenLimit) {
    const requests = Math.max(1, Math.floor(row.requests / 2));
    const delayMs = Math.min(LONGEST_POLL_MS, 2 * (run.largest?.delayMs || FIRST_POLL_MS / 2));
    const openBelow = openBatches(job.store, job.runId).length;
    const refusal = state.error?.message ?? "too many tokens are waiting";
    run.largest = { requests, openBelow, delayMs, refusal };
    if (row.requests === 1 && openBelow === 0) awaitRoom(run, refusal);
  } else if (state.status === "failed" && isLarge(run, row)) {
    // Its size may be the cause. The next batches are smaller, and do not grow again.
    const requests = Math.max(1, Math.ceil(row.requests / 2));
    run.largest = { requests, openBelow: 0, delayMs: 0, refusal: null };
  } else if (state.status === "completed" && run.largest && run.largest.refusal !== null) {
    const requests = Math.ceil(run.largest.requests * REGROWTH);
    run.largest = { ...run.largest, requests, openBelow: Number.POSITIVE_INFINITY, delayMs: 0 };
  }
}

/** Waits for other batches of the account to end, where a limit refuses even a batch of one request; not for ever. */
function awaitRoom(run: BatchRun, message: string): void {
  const { job } = run;
  const now = performance.now();
  if (run.refusedSince === null) {
    const what = `${job.server} refuses even a batch of one request: ${message}. Sending it again until other batches of the account have ended.`;
    job.onEvent({ type: "warning", message: what });
  }
  run.refusedSince ??= now;
  if (now - run.refusedSince > LONGEST_MS) run.stop ??= noRoom(job, message);
}

/** The call that a custom id names; null if datagen did not write the id, which has only one form. */
function callIdOf(customId: string | null): number | null {
  return customId !== null && /^[1-9]\d{0,15}$/.test(customId) ? Number(customId) : null;
}

/** Whether a batch is one of the larger ones of its run, or of those that are sent at the present limit. */
function isLarge({ job, largest }: BatchRun, row: BatchRow): boolean {
  const most = largest?.requests ?? Math.max(...listBatches(job.store, job.runId).map(({ requests }) => requests));
  return row.requests * 2 > most;
}

/** A rate limit for one request of a batch does not slow the run: it counts as a request that was not processed. */
function ownFault(error: CallError): CallError {
  return error.reason === "rate_limited" ? new CallError("not_processed", error.message, error.details) : error;
}
