import { UsageError } from "../../errors.ts";
import { completionLimit } from "../../execute/cap.ts";
import type { CapState } from "../../execute/executor.ts";
import { highestCost, type Prices } from "../../models/cost.ts";
import { type Settings, settingsByPerspective } from "../../plan/settings.ts";
import type { ExecutorName } from "../../config/executors.ts";
import { type OpenReservation, openReservations } from "../../store/runs/money.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import type { RunRow } from "../../store/runs/runs.ts";

/** @throws UsageError when a cap cannot be kept because the highest cost of a request is unknown */
export function checkCap(
  prices: Prices | null,
  asked: readonly Settings[],
  executor: ExecutorName,
  reason = "its price is unknown",
): { prices: Prices; completionLimit: number } {
  const { model } = asked[0]!;
  if (prices === null) {
    throw new UsageError(
      `a cap cannot be kept for ${model}: ${reason}`,
      "Set the price with `datagen prices set`, or in the config's `prices`.",
    );
  }
  if (executor === "batch" && prices.batch_factor === null) {
    throw new UsageError(
      `a cap cannot be kept for ${model}: its price in a batch is unknown`,
      "Set it with `datagen prices set --batch-factor`, or in the config's `prices`.",
    );
  }
  const limit = highestLimit(asked);
  if (limit === null) {
    const isLimited = (settings: Settings) => completionLimit(settings) !== null;
    const position = asked.findIndex((settings) => !isLimited(settings));
    const where = asked.some(isLimited) ? `agent_perspectives[${position}].` : "";
    throw new UsageError(
      `a cap cannot be kept for ${model}: nothing limits the length of its answers`,
      `Set ${where}model_config.max_tokens in the config.`,
    );
  }
  return { prices, completionLimit: limit };
}

/** The most completion tokens of any request with one of these settings; null if one of them has no limit. */
export function highestLimit(asked: Iterable<Settings>): number | null {
  let highest = 0;
  for (const settings of new Set(asked)) {
    const limit = completionLimit(settings);
    if (limit === null) return null;
    highest = Math.max(highest, limit);
  }
  return highest;
}

/**
 * The cap of a run, its cost, and the possible cost of its requests with an unknown outcome.
 * @throws UsageError as {@link checkCap} does, and when the cost of a finished request is unknown
 */
export function capOf(store: Store, run: RunRow): CapState | null {
  if (run.maxCostNanoUsd === null) return null;
  const asked = settingsByPerspective(getSettings(store, run.settingsId), run.config.agent_perspectives);
  const { prices, completionLimit: limit } = checkCap(run.prices, asked, run.executor);
  const { mostNanoUsd } = possiblyCharged(openReservations(store, run.id), prices, limit);
  if (run.attemptsUnpriced > 0 || mostNanoUsd === null) {
    const what =
      run.attemptsUnpriced > 0
        ? `the cost of ${run.attemptsUnpriced} of its requests is unknown`
        : "the highest cost of its possibly billed requests is unknown";
    throw new UsageError(
      `a cap cannot be kept for run ${run.publicId}: ${what}`,
      `Go on without a cap, or set the prices of ${run.model}, including its batch factor, with \`datagen prices set\`; then \`datagen runs reprice ${run.publicId} --apply\`.`,
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
