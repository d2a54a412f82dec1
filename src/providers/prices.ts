import type { ProviderName } from "../config/providers.ts";
import { dayOf, type Prices } from "../models/cost.ts";
import { providers } from "./index.ts";

/** The prices of a model in a provider's list; null if the list does not have it. */
export function listedPrices(provider: ProviderName, model: string, at: Date = new Date()): Promise<Prices | null> {
  return providers[provider].prices.of(model, dayOf(at));
}

/** All listed prices, ordered by provider and model. A fine-tuned model is listed without its organisation and id. */
export async function priceList(
  at: Date = new Date(),
): Promise<{ provider: ProviderName; model: string; prices: Prices }[]> {
  const names = Object.keys(providers) as ProviderName[];
  const lists = names.map(async (provider) => {
    const rows = await providers[provider].prices.all(dayOf(at));
    return rows.map((row) => ({ provider, ...row }));
  });
  const all = (await Promise.all(lists)).flat();
  return all.toSorted((a, b) => compare(a.provider, b.provider) || compare(a.model, b.model));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
