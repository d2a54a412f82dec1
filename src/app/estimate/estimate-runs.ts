import type { Config } from "../../config/schema.ts";
import type { Estimate, EstimatedCost } from "../../estimate/estimate.ts";
import { exactly, plus, type Range, sum } from "../../estimate/range.ts";
import type { Store } from "../../store/file/store.ts";
import { estimateRun, type EstimateRunOptions } from "./estimate-run.ts";

/** What several estimates add up to. */
export type EstimateSum = Pick<Estimate, "calls" | "prompt_tokens" | "completion_tokens" | "cost_usd">;

/** The estimates of a config's models. */
export interface Estimates {
  models: { model: string; estimate: Estimate }[];
  total: EstimateSum;
}

/**
 * Estimates the runs of several models as `estimateRun` does, one after the other.
 * @param configs one for each model
 * @param options.pilots the ids of the models' pilots, in the same order
 * @throws UsageError when anything is wrong with a config or its inputs
 */
export async function estimateRuns(
  store: Store,
  configs: readonly Config[],
  { pilots = [], ...options }: Omit<EstimateRunOptions, "pilot"> & { pilots?: readonly string[] },
): Promise<Estimates> {
  const models: Estimates["models"] = [];
  for (const [at, config] of configs.entries()) {
    const estimate = await estimateRun(store, config, { ...options, pilot: pilots[at] });
    models.push({ model: config.model_config.model_name, estimate });
  }
  return { models, total: sumOf(models.map(({ estimate }) => estimate)) };
}

/** The sum of the estimates of several models. A cost is null if that of any is unknown. */
function sumOf(estimates: readonly Estimate[]): EstimateSum {
  const calls = { total: 0, readings: 0, strategies: 0, reused: 0, to_send: 0 };
  for (const estimate of estimates) {
    for (const name of Object.keys(calls) as (keyof typeof calls)[]) calls[name] += estimate.calls[name];
  }
  const cost = (way: keyof EstimatedCost): Range | null => {
    const known = estimates.map(({ cost_usd: costs }) => costs[way]).filter((range) => range !== null);
    return known.length < estimates.length ? null : known.reduce(plus, exactly(0));
  };
  return {
    calls,
    prompt_tokens: sum(estimates.map((estimate) => estimate.prompt_tokens)),
    completion_tokens: sum(estimates.map((estimate) => estimate.completion_tokens)),
    cost_usd: { live: cost("live"), batch: cost("batch") },
  };
}
