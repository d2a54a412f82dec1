import { type BatchState, newBatch } from "../../providers/batch.ts";
import { type BatchRow, updateBatch } from "../../store/runs/batches.ts";
import { collectResults } from "./results.ts";
import type { BatchRun } from "./run.ts";

export function isOver({ status }: BatchState): boolean {
  return status === "completed" || status === "failed" || status === "expired" || status === "cancelled";
}

/** Stores and reports how a batch stands, where that has changed. */
export function recordState({ job }: BatchRun, row: BatchRow, state: BatchState): void {
  const { counts, error } = state;
  const status = state.unknownStatus ?? state.status;
  const most = (count: number) => Math.min(count, row.requests);
  const known = {
    status,
    completed: counts ? most(counts.completed) : row.completed,
    failed: counts ? most(counts.failed) : row.failed,
  };
  if (status === row.status && known.completed === row.completed && known.failed === row.failed) return;
  updateBatch(job.store, job.lease, row.id, { ...known, error: error?.message ?? null });
  job.onEvent({ type: "batch", name: row.name, requests: row.requests, ...known });
}

/** Ends a batch that has not arrived: its calls are pending, and nothing of it is charged. */
export async function withdraw(run: BatchRun, row: BatchRow): Promise<void> {
  await endWithout(run, { ...row, state: "cancelling" }, { status: "cancelled" });
}

/** Ends a batch that was not created for a limit, as one that fails for it: the next ones are smaller, or come later. */
export async function refuse(run: BatchRun, row: BatchRow, message: string): Promise<void> {
  await endWithout(run, row, { status: "failed", error: { code: null, message }, isTokenLimit: true });
}

async function endWithout(run: BatchRun, row: BatchRow, more: Partial<BatchState>): Promise<void> {
  const state = { ...newBatch(row.name), ...more };
  recordState(run, row, state);
  await collectResults(run, row, state);
}
