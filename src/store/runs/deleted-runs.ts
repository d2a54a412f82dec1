import { count } from "drizzle-orm";
import type { Store } from "../file/store.ts";
import { deletedRuns } from "../schema.ts";
import { wholeSum } from "./money.ts";
import type { RunRow } from "./runs.ts";

/** What deleted runs have cost. */
export interface DeletedTotals {
  runs: number;
  /** As far as it is known. */
  costNanoUsd: number;
  attemptsUnpriced: number;
}

/**
 * Keeps what a run has cost, in the transaction that deletes it. A run that was merged again is counted once.
 * @param possiblyNanoUsd the most that its attempts without a known charge may have cost; null if unknown
 */
export function keepCost(store: Store, run: RunRow, possiblyNanoUsd: number | null): void {
  const { publicId, costNanoUsd, attemptsUnpriced, experimentId } = run;
  const kept = { deletedAt: Date.now(), costNanoUsd, attemptsUnpriced, experimentId, possiblyNanoUsd };
  store.db
    .insert(deletedRuns)
    .values({ publicId, ...kept })
    .onConflictDoUpdate({ target: deletedRuns.publicId, set: kept })
    .run();
}

export function deletedTotals(store: Store): DeletedTotals {
  const row = store.db
    .select({
      runs: count(),
      costNanoUsd: wholeSum(deletedRuns.costNanoUsd),
      attemptsUnpriced: wholeSum(deletedRuns.attemptsUnpriced),
    })
    .from(deletedRuns)
    .get();
  return row ?? { runs: 0, costNanoUsd: 0, attemptsUnpriced: 0 };
}
