import { UsageError } from "../../errors.ts";
import { attemptCost, type PricedUsage, type Prices, usd } from "../../models/cost.ts";
import { applyPrices, costWith } from "../../store/runs/money.ts";
import { acquireLease, releaseLease } from "../../store/runs/leases.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { runNamed } from "../../store/runs/runs.ts";
import { resolvePrices } from "../prices.ts";
import { summaryOf } from "./summary.ts";

/** The cost of a run at the prices that it was planned with, and at today's. */
export interface Repricing {
  run: string;
  before: PricedCost;
  after: PricedCost;
  /** Whether the run has today's prices now. */
  applied: boolean;
}

interface PricedCost {
  /** Null if unknown. */
  prices: Prices | null;
  /** Null if any part of it is unknown. */
  cost_usd: number | null;
}

/**
 * Computes the cost of a run at today's prices. With `apply`, stores the prices and the cost. Its usage never changes.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run, a living process executes it, or unknown prices are to be applied
 */
export async function repriceRun(
  store: Store,
  run: string,
  { apply = false }: { apply?: boolean | undefined } = {},
): Promise<Repricing> {
  const row = runNamed(store, run);
  const { id, publicId, provider, baseUrl, baseUrlSource } = row;
  const target = { provider, baseUrl, baseUrlSource, settings: getSettings(store, row.settingsId) };
  const { prices, ...unknown } = await resolvePrices(store, row.config, target);
  const cost = (usage: PricedUsage, isBatched: boolean) => attemptCost(prices, usage, isBatched);
  const total = costWith(store, id, cost);
  if (apply) {
    if (prices === null) {
      throw new UsageError(
        `run ${publicId} was not changed: ${"reason" in unknown ? unknown.reason : "no price is known"}`,
      );
    }
    const lease = acquireLease(store, id, publicId);
    try {
      applyPrices(store, id, prices, cost);
    } finally {
      releaseLease(store, lease);
    }
  }
  return {
    run: publicId,
    before: { prices: row.prices, cost_usd: summaryOf(row).cost_usd },
    after: { prices, cost_usd: total === null || row.imported !== null ? null : usd(total) },
    applied: apply,
  };
}
