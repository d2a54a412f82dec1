import type { BatchState } from "../../providers/batch.ts";
import { CallError } from "../../providers/provider.ts";
import type { BatchRow } from "../../store/runs/batches.ts";
import { collectResults, loseRest } from "./results.ts";
import type { BatchRun } from "./run.ts";
import { isOver, recordState, withdraw } from "./state.ts";

/** Ends a batch now, whatever the provider does: asks it once to cancel the batch, and takes in what is done by then. */
export async function endBatchNow(run: BatchRun, row: BatchRow): Promise<null> {
  const { job } = run;
  const last = await lastWord(run, row).catch((error: unknown) => {
    if (job.drain.aborted || error instanceof CallError) return null;
    throw error;
  });
  if (job.drain.aborted) return null;
  // Nothing is asked for before its file is there.
  if (last === "never arrived" || (last === null && row.state === "prepared")) await withdraw(run, row);
  else if (last !== null && isOver(last)) {
    recordState(run, row, last);
    await collectResults(run, row, last);
  } else loseRest(run, row, last === null ? "the provider does not know how it stands" : `it was still ${last.status}`);
  return null;
}

/** @throws CallError where the provider does not say how the batch stands */
async function lastWord({ job, provider }: BatchRun, row: BatchRow): Promise<BatchState | "never arrived" | null> {
  const found = row.batchId === null ? await provider.find(row, job.drain) : null;
  // It may be another's: it is not cancelled.
  if (found?.candidate) return null;
  const batchId = row.batchId ?? found?.batch?.id;
  if (batchId === undefined) return "never arrived";
  return await provider.cancel(batchId, job.drain).catch(() => provider.get(batchId, job.drain));
}
