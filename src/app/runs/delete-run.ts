import { sharedAnswers } from "../../store/runs/answers.ts";
import { keepCost } from "../../store/runs/deleted-runs.ts";
import { possibleCostOf } from "../run/cap.ts";
import { acquireLease, releaseLease } from "../../store/runs/leases.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { findRun, getRun, hideRun, runNamed } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";

/** The effect of a deletion on answers. */
export interface Deletion {
  run: string;
  answers_lost: number;
  /** Answers that stay, because other runs have them too. */
  answers_kept: number;
  /** Batches that the provider goes on with, whose answers nothing takes in then. */
  batches_open: number;
}

/**
 * What {@link deleteRun} would remove.
 * @throws UsageError when there is no such run
 */
export function planDeletion(store: Store, run: string): Deletion {
  const { id, publicId, callsSucceeded, batchesOpen } = runNamed(store, run);
  const kept = sharedAnswers(store, id);
  return { run: publicId, answers_lost: callsSucceeded - kept, answers_kept: kept, batches_open: batchesOpen };
}

/**
 * Removes a run with its tasks, calls and attempts, and the texts and answers that no other run uses. Exported datasets
 * stay, and so does what the run has cost.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run, or a living process executes it
 */
export function deleteRun(store: Store, run: string): void {
  deleteRuns(store, [run]);
}

/**
 * Removes runs as {@link deleteRun} does: all of them, or none.
 * @throws UsageError when a living process executes one
 */
export function deleteRuns(store: Store, runs: readonly string[]): void {
  const runIds = runs.map((run) => findRun(store, run));
  inTransaction(store, () => {
    for (const runId of runIds) {
      const row = getRun(store, runId);
      const lease = acquireLease(store, runId, row.publicId);
      // What an imported run has cost was paid elsewhere.
      if (row.imported === null) keepCost(store, row, possibleCostOf(store, row));
      hideRun(store, runId);
      releaseLease(store, lease);
    }
  });
  sweep(store);
}
