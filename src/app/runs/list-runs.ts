import type { Store } from "../../store/file/store.ts";
import { usd } from "../../models/cost.ts";
import { deletedTotals } from "../../store/runs/deleted-runs.ts";
import { listRuns as listRunRows } from "../../store/runs/runs.ts";
import { type RunSummary, summaryOf } from "./summary.ts";

/** All runs of a database, the newest first. */
export function listRuns(store: Store): RunSummary[] {
  return listRunRows(store).map(summaryOf);
}

/** The runs that were deleted from a database, and what they have cost; null where any part is unknown. */
export interface DeletedRuns {
  runs: number;
  cost_usd: number | null;
}

/** What the deleted runs of a database have cost. */
export function deletedRuns(store: Store): DeletedRuns {
  const { runs, costNanoUsd, attemptsUnpriced } = deletedTotals(store);
  return { runs, cost_usd: attemptsUnpriced > 0 ? null : usd(costNanoUsd) };
}
