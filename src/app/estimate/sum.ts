import type { Estimate, EstimatedCost } from "../../estimate/estimate.ts";
import { exactly, plus, type Range, sum } from "../../estimate/range.ts";

/** What several estimates add up to. */
export type EstimateSum = Pick<Estimate, "calls" | "prompt_tokens" | "completion_tokens" | "cost_usd">;

/** The sum of the estimates of several models. A cost is null if that of any is unknown. */
export function sumOf(estimates: readonly Estimate[]): EstimateSum {
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
