import type { ProviderName } from "../config/providers.ts";
import { FREE, type Prices } from "./cost.ts";
import { openAiPrices } from "./openai-prices.ts";
import { togetherPrices } from "./together-prices.ts";

/**
 * What a provider's list says that a model costs, or null where no list that is known has it. A name is never taken for
 * another that looks like it.
 */
export async function listedPrices(
  provider: ProviderName,
  model: string,
  at: Date = new Date(),
): Promise<Prices | null> {
  const day = dayOf(at);
  if (provider === "offline") return { ...FREE, source: "offline provider", date: day };
  if (provider === "together") return togetherPrices().get(model) ?? null;
  // A fine-tuned model is `ft:BASE:organisation:suffix:id`.
  const name = model.startsWith("ft:") ? model.split(":", 2).join(":") : model;
  const rows = await openAiPrices(day);
  const row =
    rows.find(({ names }) => names.includes(name)) ??
    rows.find(({ patterns }) => patterns.some((pattern) => pattern.test(name)));
  return row?.prices ?? null;
}

/** All listed prices, ordered by provider and model. A fine-tuned model is listed without its organisation and id. */
export async function priceList(
  at: Date = new Date(),
): Promise<{ provider: ProviderName; model: string; prices: Prices }[]> {
  const openAi = await openAiPrices(dayOf(at));
  return [
    ...openAi.flatMap(({ names, prices }) => names.map((model) => ({ provider: "openai" as const, model, prices }))),
    ...[...togetherPrices()].map(([model, prices]) => ({ provider: "together" as const, model, prices })),
  ].toSorted((a, b) => compare(a.provider, b.provider) || compare(a.model, b.model));
}

/** A moment's day in UTC, as YYYY-MM-DD. */
export function dayOf(at: Date): string {
  return at.toISOString().slice(0, 10);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
