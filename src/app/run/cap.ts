import { UsageError } from "../../errors.ts";
import { completionLimit } from "../../execute/cap.ts";
import type { Budget, CapState } from "../../execute/executor.ts";
import { highestCost, type Prices, type Rates } from "../../models/cost.ts";
import { type Settings, settingsByPerspective } from "../../plan/settings.ts";
import type { ExecutorName } from "../../config/executors.ts";
import { type OpenReservation, openReservations } from "../../store/runs/money.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { deletedOf, runsOf } from "../../store/runs/experiments.ts";
import type { RunRow, RunSummaryRow } from "../../store/runs/runs.ts";

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
      `Set it, for example of a server that costs nothing: datagen prices set ${model} --input 0 --output 0`,
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
function highestLimit(asked: Iterable<Settings>): number | null {
  let highest = 0;
  for (const settings of new Set(asked)) {
    const limit = completionLimit(settings);
    if (limit === null) return null;
    highest = Math.max(highest, limit);
  }
  return highest;
}

/** What the cache keeps for an hour, as `extra_body` asks for it. */
const FOR_HOUR = /"1h"/;

/** The prices that count for the highest cost of requests with one of these settings. */
function pricesOf(prices: Prices, asked: Iterable<Settings>): Prices {
  const asksForHour = ({ parameters }: Settings) => FOR_HOUR.test(JSON.stringify(parameters.extra_body ?? {}));
  if ([...new Set(asked)].some(asksForHour)) return prices;
  const withoutHour = <R extends Rates>(rates: R) => {
    const { cache_write_1h: _, ...others } = rates;
    return others;
  };
  return { ...withoutHour(prices), long_prompts: prices.long_prompts.map(withoutHour) };
}

/** The budgets of experiments whose runs this process executes, by database and experiment. */
const shared = new Map<string, { runs: Set<number>; budget: Budget | null }>();

/** Executes a run. Meanwhile it shares one budget with the other runs of its experiment that this process executes. */
export async function sharingBudget(
  store: Store,
  { id, experimentId }: Pick<RunRow, "id" | "experimentId">,
  execute: () => Promise<void>,
): Promise<void> {
  if (experimentId === null) return await execute();
  const key = keyOf(store, experimentId);
  const entry = shared.get(key) ?? { runs: new Set(), budget: null };
  shared.set(key, entry);
  entry.runs.add(id);
  try {
    await execute();
  } finally {
    entry.runs.delete(id);
    entry.budget?.inFlight.delete(id);
    if (entry.runs.size === 0) shared.delete(key);
  }
}

function keyOf(store: Store, experimentId: number): string {
  return `${store.path}\n${experimentId}`;
}

/** The cap of a run, or of the experiment that it is part of, in billionths of a US dollar; null if there is none. */
export function capNanoUsdOf({ experiment, maxCostNanoUsd }: Pick<RunSummaryRow, "experiment" | "maxCostNanoUsd">) {
  return experiment ? experiment.maxCostNanoUsd : maxCostNanoUsd;
}

/**
 * The cap of a run. What is used of it is the cost of the run, or of all runs of its experiment, and the possible cost of
 * requests with an unknown outcome.
 * @throws UsageError as {@link checkCap} does, and when the cost of a finished request is unknown
 */
export function capOf(store: Store, run: RunRow & RunSummaryRow): CapState | null {
  const mostNanoUsd = capNanoUsdOf(run);
  if (mostNanoUsd === null) return null;
  const { experimentId } = run;
  const entry = experimentId === null ? undefined : shared.get(keyOf(store, experimentId));
  const known = entry && entry.runs.size > 1 ? entry.budget : null;
  const budget = known ?? { mostNanoUsd, usedNanoUsd: usedOf(store, run), inFlight: new Map<number, number>() };
  budget.mostNanoUsd = mostNanoUsd;
  if (run.batchesOpen > 0) budget.inFlight.set(run.id, run.batchesOpen);
  if (entry) entry.budget = budget;
  const asked = askedOf(store, run);
  const { prices, completionLimit: limit } = checkCap(run.prices, asked, run.executor);
  return { budget, completionLimit: limit, prices: pricesOf(prices, asked) };
}

function askedOf(store: Store, run: RunRow): readonly Settings[] {
  return settingsByPerspective(getSettings(store, run.settingsId), run.config.agent_perspectives);
}

/** What is spent or may be charged, of a run or of all runs of its experiment. */
function usedOf(store: Store, run: RunRow): number {
  if (run.experimentId === null) return usedByRun(store, run);
  const ofRuns = runsOf(store, run.experimentId).map((other) => usedByRun(store, other));
  const ofDeleted = deletedOf(store, run.experimentId).map(({ costNanoUsd, possiblyNanoUsd, attemptsUnpriced }) => {
    if (attemptsUnpriced === 0 && possiblyNanoUsd !== null) return costNanoUsd + possiblyNanoUsd;
    throw new UsageError(
      `a cap cannot be kept for the experiment of run ${run.publicId}: what a deleted run of it has cost is unknown`,
      "Go on without a cap.",
    );
  });
  return [...ofRuns, ...ofDeleted].reduce((sum, used) => sum + used, 0);
}

function usedByRun(store: Store, run: RunRow): number {
  const asked = askedOf(store, run);
  const { prices } = checkCap(run.prices, asked, run.executor);
  const { mostNanoUsd } = possiblyCharged(openReservations(store, run.id), prices, asked);
  if (run.attemptsUnpriced === 0 && mostNanoUsd !== null) return run.costNanoUsd + mostNanoUsd;
  const what =
    run.attemptsUnpriced > 0
      ? `the cost of ${run.attemptsUnpriced} of its requests is unknown`
      : "the highest cost of its possibly billed requests is unknown";
  throw new UsageError(
    `a cap cannot be kept for run ${run.publicId}: ${what}`,
    `Go on without a cap, or set the prices of ${run.model}, including its batch factor, with \`datagen prices set\`; then \`datagen runs reprice ${run.publicId} --apply\`.`,
  );
}

/** The most that the attempts of a run without a known charge may have cost; null if unknown. */
export function possibleCostOf(store: Store, run: RunRow): number | null {
  return possiblyCharged(openReservations(store, run.id), run.prices, askedOf(store, run)).mostNanoUsd;
}

/**
 * The number of attempts that may have been charged, and the most that they may have cost; null if that is unknown.
 * @param asked the settings of the attempts
 */
export function possiblyCharged(
  reservations: readonly OpenReservation[],
  given: Prices | null,
  asked: Iterable<Settings>,
): { attempts: number; mostNanoUsd: number | null } {
  const prices = given && pricesOf(given, asked);
  const limit = highestLimit(asked);
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
