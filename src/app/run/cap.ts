import { UsageError } from "../../errors.ts";
import { completionLimit } from "../../execute/cap.ts";
import type { CapState } from "../../execute/executor.ts";
import { highestCost, type Prices } from "../../models/cost.ts";
import type { Settings } from "../../plan/settings.ts";
import type { ExecutorName } from "../../config/executors.ts";
import { type OpenReservation, openReservations } from "../../store/runs/money.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import type { RunRow } from "../../store/runs/runs.ts";

/** @throws UsageError where a cap cannot be kept, as it is not known what a request may cost */
export function checkCap(
  prices: Prices | null,
  settings: Settings,
  executor: ExecutorName,
  reason = "its price is unknown",
): Prices {
  if (prices === null) {
    throw new UsageError(
      `a cap cannot be kept for ${settings.model}: ${reason}`,
      "Say what it costs with `datagen prices set`, or in the config's `prices`.",
    );
  }
  if (executor === "batch" && prices.batch_factor === null) {
    throw new UsageError(
      `a cap cannot be kept for ${settings.model}: what it costs in a batch is unknown`,
      "Say it with `datagen prices set --batch-factor`, or in the config's `prices`.",
    );
  }
  if (completionLimit(settings) === null) {
    throw new UsageError(
      `a cap cannot be kept for ${settings.model}: nothing limits the length of its answers`,
      "Set model_config.max_tokens in the config.",
    );
  }
  return prices;
}

/**
 * What a run may cost, what it has cost and what it may have cost.
 * @throws UsageError as {@link checkCap} does, and where it is not known what a request that was sent has cost
 */
export function capOf(store: Store, run: RunRow): CapState | null {
  if (run.maxCostNanoUsd === null) return null;
  const settings = getSettings(store, run.settingsId);
  const prices = checkCap(run.prices, settings, run.executor);
  const limit = completionLimit(settings);
  // The check above has refused settings that limit nothing.
  if (limit === null) throw new Error("nothing limits what a request may cost");
  const { mostNanoUsd } = possiblyCharged(openReservations(store, run.id), prices, limit);
  if (run.attemptsUnpriced > 0 || mostNanoUsd === null) {
    const what =
      run.attemptsUnpriced > 0
        ? `what ${run.attemptsUnpriced} of its requests cost is unknown`
        : "what its requests may cost that are possibly billed is unknown";
    throw new UsageError(
      `a cap cannot be kept for run ${run.publicId}: ${what}`,
      `Go on without a cap, or say what ${settings.model} costs, in batches too, with \`datagen prices set\`; then \`datagen runs reprice ${run.publicId} --apply\`.`,
    );
  }
  return {
    mostNanoUsd: run.maxCostNanoUsd,
    usedNanoUsd: run.costNanoUsd + mostNanoUsd,
    completionLimit: limit,
  };
}

/**
 * How many attempts there are of which it is not known whether they were charged, and what they may have cost at most;
 * null where that is unknown.
 * @param limit the most completion tokens of those that set no limit; null where that is unknown
 */
export function possiblyCharged(
  reservations: readonly OpenReservation[],
  prices: Prices | null,
  limit: number | null,
): { attempts: number; mostNanoUsd: number | null } {
  let attempts = 0;
  let mostNanoUsd: number | null = 0;
  for (const reserved of reservations) {
    const completionTokens = reserved.completionTokens ?? limit;
    attempts += reserved.attempts;
    const factor = reserved.isBatched ? (prices?.batch_factor ?? null) : 1;
    if (prices === null || completionTokens === null || factor === null) mostNanoUsd = null;
    else if (mostNanoUsd !== null) {
      const each = Math.ceil(highestCost(prices, reserved.promptTokens, completionTokens) * factor);
      mostNanoUsd += reserved.attempts * each;
    }
  }
  return { attempts, mostNanoUsd };
}
