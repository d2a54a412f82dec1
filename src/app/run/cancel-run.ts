import { InterruptedError } from "../../errors.ts";
import { rescueIfTaken } from "../../store/file/rescue.ts";
import type { Store } from "../../store/file/store.ts";
import { openBatches } from "../../store/runs/batches.ts";
import { findRun, getRun } from "../../store/runs/runs.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { type Confirmation, connectionsOfRun } from "../server/server-of-run.ts";
import { executeJob, type JobOptions } from "./execute-job.ts";
import { withLease } from "./with-lease.ts";

export interface CancelRunOptions extends Confirmation, Pick<JobOptions, "signal" | "environment" | "onEvent"> {
  /** Ends the batches here at once. Calls without a result by then are possibly billed, and pending again. */
  giveUp?: boolean | undefined;
}

/**
 * Cancels the batches of a run at the provider, and stores the results that are ready. The other calls become pending.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the run after that
 * @throws UsageError and InterruptedError as `executeRun` does, StoppedError if a batch does not end
 */
export async function cancelRun(store: Store, run: string, options: CancelRunOptions = {}): Promise<RunSummary> {
  const runId = findRun(store, run);
  const row = getRun(store, runId);
  const connections = await connectionsOfRun(store, row, options);
  try {
    await withLease(store, runId, options, (lease) =>
      executeJob(store, lease, connections, options.giveUp ? "give_up" : "cancel", options),
    );
  } finally {
    rescueIfTaken(store);
  }
  if (openBatches(store, runId).length > 0)
    throw new InterruptedError(`the batches of run ${row.publicId} are being cancelled`);
  return summaryOf(getRun(store, runId));
}
