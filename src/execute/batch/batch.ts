import type { StoppedError } from "../../errors.ts";
import type { BatchState } from "../../providers/batch.ts";
import { type BatchRow, openBatches, updateBatch } from "../../store/runs/batches.ts";
import { Cap, createReservations } from "../cap.ts";
import { createEarlier } from "../earlier.ts";
import type { Executor, Job } from "../executor.ts";
import { Outcomes } from "../outcome.ts";
import { createPrepare } from "../prepare.ts";
import { ask, MISSING_TIMES, pause } from "./ask.ts";
import { awaitCandidate } from "./candidate.ts";
import { endBatchNow } from "./give-up.ts";
import { dueAt, isOverdue, pollDelay } from "./polls.ts";
import { collectResults, loseRest } from "./results.ts";
import type { BatchRun } from "./run.ts";
import { Sightings } from "./sightings.ts";
import { isOver, recordState, withdraw } from "./state.ts";
import { neverCancelled, noRoom, notCancellable, openStill, overdue, unknownBatch, unknownWord } from "./stops.ts";
import { submit, submitPending } from "./submission.ts";

/** A batch whose end was asked for is waited for so many times as long as a request that fails. */
const CANCEL_PATIENCE = 3;

/**
 * Sends calls with the provider's batch API: first the readings and the strategies without a reading, then the strategies
 * whose notes have arrived. Every batch is in the database before any of it is sent, so that a run that was killed at any
 * point finds its batches again.
 */
export const batch: Executor = {
  async execute(job) {
    const run = await startRun(job);
    for (let waitedMs = 0; ;) {
      const before = openBatches(job.store, job.runId);
      run.cap?.count(job.runId, before.length);
      run.isHeldBack = false;
      const stalls: StoppedError[] = [];
      for (const row of before) {
        const stall = await advanceBatch(run, row);
        if (stall) stalls.push(stall);
      }
      if (run.stop) throw run.stop;
      const open = openBatches(job.store, job.runId);
      const hasSubmitted = job.batches.mode === "submit" && !job.drain.aborted && (await submitPending(run, open));
      const now = openBatches(job.store, job.runId);
      run.cap?.count(job.runId, now.length);
      if (now.length === 0 && !hasSubmitted && !run.isHeldBack) return;
      if (job.drain.aborted) return;
      const [stall] = stalls;
      // While another batch goes on there is something to wait for.
      if (stall && (stalls.length === now.length || !job.batches.waits)) throw stall;
      if (!job.batches.waits) {
        if (now.length > 0) throw openStill(now);
        // Smaller batches are tried at once: the next command would not know that they have to be smaller.
        if (run.refusedSince === null) continue;
        throw noRoom(job, run.largest?.refusal ?? "");
      }
      const hasMoved = hasSubmitted || now.length < before.length;
      const delay = pollDelay(hasMoved ? 0 : waitedMs);
      waitedMs = hasMoved ? 0 : waitedMs + delay;
      if (now.length > 0 || run.isHeldBack) {
        job.onEvent({ type: "waiting", for: "batches", untilMs: Date.now() + delay });
        await pause(job, delay);
      }
      if (job.drain.aborted) return;
    }
  },
};

async function startRun(job: Job): Promise<BatchRun> {
  return {
    job,
    provider: await job.batches.connect(),
    prepare: createPrepare(job),
    outcomes: new Outcomes(job),
    cap: job.cap && new Cap(job.cap, job.batches.factor ?? 1),
    isHeldBack: false,
    reservationOf: await createReservations(job.settings, job.cap !== null && job.isCountExact),
    earlier: createEarlier(job),
    sightings: new Sightings(),
    taken: new Map(),
    largest: null,
    refusedSince: null,
    failedWhole: 0,
    hasAnswers: job.hasAnswers,
    stop: null,
    hasWarnedOfFiles: false,
  };
}

/**
 * Brings a batch as far as it can be brought now: sends it, asks how it stands, takes in its results.
 * @returns why it may never end; null where nothing says so
 */
async function advanceBatch(run: BatchRun, row: BatchRow): Promise<StoppedError | null> {
  const { job } = run;
  const { batchId } = row;
  if (job.batches.mode === "give_up") return await endBatchNow(run, row);
  if (job.batches.mode !== "submit" && batchId === null) return await reclaimBatch(run, row);
  const looked = batchId === null ? await submit(run, row) : await look(run, row, batchId);
  if (looked === null || looked instanceof Error) return looked;
  recordState(run, row, looked);
  if (!isOver(looked) && job.batches.mode === "cancel") return await cancelBatch(run, row, looked);
  if (!isOver(looked)) return stallOf(run, row, looked);
  await collectResults(run, row, looked);
  return null;
}

async function look(run: BatchRun, row: BatchRow, batchId: string): Promise<BatchState | StoppedError | null> {
  const { job, provider } = run;
  return await ask<BatchState | StoppedError | null>(job, () => provider.get(batchId, job.drain), {
    missingTimes: MISSING_TIMES.known,
    onMissing: (message) => {
      if (job.batches.mode !== "cancel") return unknownBatch(job, row, message);
      loseRest(run, row, `the provider does not know it: ${message}`);
      return null;
    },
  });
}

/** Why a batch that has not ended may never do so. */
function stallOf({ job, sightings }: BatchRun, row: BatchRow, state: BatchState): StoppedError | null {
  if (isOverdue(row, state)) return overdue(job, row, state, dueAt(row, state));
  const { unknownStatus: word, counts } = state;
  if (word === null) return null;
  const ms = sightings.lasting(row, `${word} ${counts?.completed} ${counts?.failed}`);
  return ms >= job.giveUpAfterMs ? unknownWord(job, row, word, ms) : null;
}

/** Asks for the end of a batch, unless it is about to end. */
async function cancelBatch(run: BatchRun, row: BatchRow, state: BatchState): Promise<StoppedError | null> {
  const { job, provider } = run;
  const askedMs = run.sightings.lasting(row, "cancelling");
  if (askedMs >= CANCEL_PATIENCE * job.giveUpAfterMs) return neverCancelled(job, row, state, askedMs);
  if (state.status === "cancelling") return null;
  // Before it is asked for: of a batch that nobody here has cancelled the rest is not sent again.
  updateBatch(job.store, job.lease, row.id, { state: "cancelling" });
  const cancelled = await ask<BatchState | StoppedError>(job, () => provider.cancel(state.id, job.drain), {
    missingTimes: MISSING_TIMES.known,
    onMissing: (message) => notCancellable(job, row, message),
  });
  if (cancelled === null || cancelled instanceof Error) return cancelled;
  recordState(run, row, cancelled);
  if (isOver(cancelled)) await collectResults(run, row, cancelled);
  return null;
}

/** Takes back a batch of which it is not known whether it has arrived; one that has goes its way. */
async function reclaimBatch(run: BatchRun, row: BatchRow): Promise<StoppedError | null> {
  const { job, provider } = run;
  let missing: string | null = null;
  const found = await ask(job, () => provider.find(row, job.drain), {
    missingTimes: MISSING_TIMES.list,
    onMissing: (message) => {
      missing = message;
      return { fileId: null, batch: null };
    },
  });
  if (found === null) return null;
  const { batch: arrived, candidate } = found;
  if (candidate) return awaitCandidate(run, row, candidate);
  if (arrived) {
    const fileId = found.fileId ?? row.fileId;
    const known = { state: "submitted" as const, batchId: arrived.id, fileId, status: arrived.status };
    updateBatch(job.store, job.lease, row.id, known);
    return await advanceBatch(run, { ...row, ...known });
  }
  // Nothing is asked for before its file is there. A server without batches has none.
  if (missing === null || row.state === "prepared") await withdraw(run, row);
  else loseRest(run, row, `it is not known whether it has arrived: ${String(missing)}`);
  return null;
}
