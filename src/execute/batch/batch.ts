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
 * The provider's batch engine: first the readings and the strategies that need none, then, as their notes come back, the
 * others. Every batch is in the database before anything of it is sent, so that a run that was killed at any point
 * attaches to it again.
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
    `${open.length} ${open.length === 1 ? "batch is" : "batches are"} under way at the provider, with ${requests} requests`,
    "They go on without datagen; resume the run to take in what is done.",
  );
}

/** Brings a batch as far as it can be brought now: sends it, asks how it stands, takes in its results. */
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

/** Stores and reports how a batch stands, where that has changed. */
function recordState({ job }: BatchRun, row: BatchRow, { status, counts, error }: BatchState): void {
  const known = { status, completed: counts?.completed ?? row.completed, failed: counts?.failed ?? row.failed };
  if (status === row.status && known.completed === row.completed && known.failed === row.failed) return;
  updateBatch(job.store, job.lease, row.id, { ...known, error: error?.message ?? null });
  job.onEvent({ type: "batch", name: row.name, requests: row.requests, ...known });
}

/** Takes back a batch of which it is not known whether it has arrived; one that has goes its way. */
async function reclaimBatch(run: BatchRun, row: BatchRow): Promise<void> {
  const { job, provider } = run;
  const found = await ask(job, () => provider.find(row.name, job.drain), {
    // A server without batches has none.
    onMissing: () => ({ fileId: null, batch: null }),
  });
  if (found === null) return;
  const { batch: arrived } = found;
  if (arrived) {
    updateBatch(job.store, job.lease, row.id, { state: "submitted", batchId: arrived.id, status: arrived.status });
    await advanceBatch(run, { ...row, state: "submitted", batchId: arrived.id });
  } else {
    const withdrawn = { ...NOTHING_DONE, id: row.name };
    recordState(run, row, withdrawn);
    await collectResults(run, row, withdrawn);
  }
}

/** Of a batch of which the provider knows nothing. */
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
