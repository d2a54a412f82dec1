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

/** @throws UsageError when a cap cannot be kept because the highest cost of a request is unknown */
export function checkCap(
  prices: Prices | null,
  settings: Settings,
  executor: ExecutorName,
  reason = "its price is unknown",
): Prices {
  if (prices === null) {
    throw new UsageError(
      `a cap cannot be kept for ${settings.model}: ${reason}`,
      "Set the price with `datagen prices set`, or in the config's `prices`.",
    );
  }
  if (executor === "batch" && prices.batch_factor === null) {
    throw new UsageError(
      `a cap cannot be kept for ${settings.model}: its price in a batch is unknown`,
      "Set it with `datagen prices set --batch-factor`, or in the config's `prices`.",
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
 * The cap of a run, its cost, and the possible cost of its requests with an unknown outcome.
 * @throws UsageError as {@link checkCap} does, and when the cost of a finished request is unknown
 */
export function capOf(store: Store, run: RunRow): CapState | null {
  if (run.maxCostNanoUsd === null) return null;
  const settings = getSettings(store, run.settingsId);
  const prices = checkCap(run.prices, settings, run.executor);
  const limit = completionLimit(settings);
  // The check above has refused settings without a limit.
  if (limit === null) throw new Error("the cost of a request has no limit");
  const { mostNanoUsd } = possiblyCharged(openReservations(store, run.id), prices, limit);
  if (run.attemptsUnpriced > 0 || mostNanoUsd === null) {
    const what =
      run.attemptsUnpriced > 0
        ? `the cost of ${run.attemptsUnpriced} of its requests is unknown`
        : "the highest cost of its possibly billed requests is unknown";
    throw new UsageError(
      `a cap cannot be kept for run ${run.publicId}: ${what}`,
      `Go on without a cap, or set the prices of ${settings.model}, including its batch factor, with \`datagen prices set\`; then \`datagen runs reprice ${run.publicId} --apply\`.`,
    );
  }
  return {
    mostNanoUsd: run.maxCostNanoUsd,
    usedNanoUsd: run.costNanoUsd + mostNanoUsd,
    completionLimit: limit,
  };
}

/**
 * The number of attempts that may have been charged, and the most that they may have cost; null if that is unknown.
 * @param limit the most completion tokens of attempts that set no limit; null if unknown
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
