import { StoppedError } from "../../errors.ts";
import type { BatchState } from "../../providers/batch.ts";
import { type BatchRow, openBatches, updateBatch } from "../../store/runs/batches.ts";
import { Cap, createReservations } from "../cap.ts";
import { createEarlier } from "../earlier.ts";
import type { Executor } from "../executor.ts";
import { Outcomes } from "../outcome.ts";
import { createPrepare } from "../prepare.ts";
import { ask, givenUp, pause } from "./ask.ts";
import { pollDelay } from "./polls.ts";
import { collectResults } from "./results.ts";
import type { BatchRun } from "./run.ts";
import { submit, submitPending } from "./submission.ts";

/**
 * Sends calls with the provider's batch API: first the readings and the strategies without a reading, then the strategies
 * whose notes have arrived. Every batch is in the database before any of it is sent, so that a run that was killed at any
 * point finds its batches again.
 */
export const batch: Executor = {
  async execute(job) {
    const run: BatchRun = {
      job,
      provider: await job.batches.connect(),
      prepare: createPrepare(job),
      outcomes: new Outcomes(job),
      cap: job.cap && job.prices && new Cap(job.prices, job.cap, job.batches.factor ?? 1),
      reservationOf: await createReservations(job.settings, job.cap !== null && job.isCountExact),
      earlier: createEarlier(job),
      largest: null,
      failedWhole: 0,
      hasAnswers: job.hasAnswers,
    };
    for (let waitedMs = 0; ;) {
      const before = openBatches(job.store, job.runId);
      for (const row of before) await advanceBatch(run, row);
      const open = openBatches(job.store, job.runId);
      const hasSubmitted = job.batches.mode === "submit" && !job.drain.aborted && (await submitPending(run, open));
      const now = openBatches(job.store, job.runId);
      if (now.length === 0 && !hasSubmitted) return;
      if (!job.batches.waits) throw openStill(now);
      const hasMoved = hasSubmitted || now.length < before.length;
      const delay = pollDelay(hasMoved ? 0 : waitedMs);
      waitedMs = hasMoved ? 0 : waitedMs + delay;
      if (now.length > 0) await pause(job, delay);
      if (job.drain.aborted) return;
    }
  },
};

function openStill(open: readonly BatchRow[]): StoppedError {
  const requests = open.reduce((sum, row) => sum + row.requests, 0);
  return new StoppedError(
    `${open.length} ${open.length === 1 ? "batch is" : "batches are"} open at the provider, with ${requests} requests`,
    "The provider works on without datagen; resume the run to store the results that are ready.",
  );
}

/** Advances a batch as far as possible now: sends it, checks its state, or stores its results. */
async function advanceBatch(run: BatchRun, row: BatchRow): Promise<void> {
  const { job } = run;
  const { batchId } = row;
  if (job.batches.mode !== "submit" && batchId === null) {
    await reclaimBatch(run, row);
    return;
  }
  const state =
    batchId === null
      ? await submit(run, row)
      : await ask(job, () => run.provider.get(batchId, job.drain), {
          onMissing: () => givenUp(job, row, { ...NOTHING_DONE, id: batchId }),
        });
  if (state === null) return;
  recordState(run, row, state);
  if (isOver(state)) await collectResults(run, row, state);
  else if (job.batches.mode === "cancel" && state.status !== "cancelling") {
    const cancelled = await ask(job, () => run.provider.cancel(state.id, job.drain));
    if (cancelled === null) return;
    recordState(run, row, cancelled);
    if (isOver(cancelled)) await collectResults(run, row, cancelled);
  }
}

/** Stores and reports the state of a batch, if it has changed. */
function recordState({ job }: BatchRun, row: BatchRow, { status, counts, error }: BatchState): void {
  const known = { status, completed: counts?.completed ?? row.completed, failed: counts?.failed ?? row.failed };
  if (status === row.status && known.completed === row.completed && known.failed === row.failed) return;
  updateBatch(job.store, job.lease, row.id, { ...known, error: error?.message ?? null });
  job.onEvent({ type: "batch", name: row.name, requests: row.requests, ...known });
}

/** Removes a batch that never arrived at the provider. A batch that did arrive stays. */
async function reclaimBatch(run: BatchRun, row: BatchRow): Promise<void> {
  const { job, provider } = run;
  const found = await ask(job, () => provider.find(row.name, job.drain), {
    // A server without a batch API has no batch.
    onMissing: () => ({ fileId: null, batch: null }),
  });
  if (found === null) return;
  const { batch: arrived } = found;
  if (arrived) {
    updateBatch(job.store, job.lease, row.id, { state: "submitted", batchId: arrived.id, status: arrived.status });
    await advanceBatch(run, { ...row, state: "submitted", batchId: arrived.id });
  } else {
    const removed = { ...NOTHING_DONE, id: row.name };
    recordState(run, row, removed);
    await collectResults(run, row, removed);
  }
}

/** The state of a batch that the provider does not know. */
const NOTHING_DONE: Omit<BatchState, "id"> = {
  status: "cancelled",
  counts: null,
  progress: null,
  outputFileId: null,
  errorFileId: null,
  error: null,
  isTokenLimit: false,
};

function isOver({ status }: BatchState): boolean {
  return status === "completed" || status === "failed" || status === "expired" || status === "cancelled";
}
