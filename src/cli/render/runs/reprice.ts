import type { Repricing } from "../../../app/runs/reprice-run.ts";
import { renderRates } from "../lines.ts";
import { money, oneLine } from "../text.ts";

/** The cost of a run at its own prices and at today's. */
export function renderRepricing({ run, before, after, applied }: Repricing): string {
  const line = ({ prices, cost_usd: cost }: Repricing["before"]) =>
    `${money(cost)}${prices === null ? "" : `: ${renderRates(prices)} (${prices.source}, ${prices.date})`}`;
  return [
    `run     ${run}`,
    `before  ${oneLine(line(before))}`,
    `today   ${oneLine(line(after))}`,
    applied ? "The run has today's prices now." : "Nothing was changed; --apply gives the run today's prices.",
  ].join("\n");
}
