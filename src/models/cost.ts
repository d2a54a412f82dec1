/** USD per million tokens. */
export interface Rates {
  /** Prompt tokens that are neither read from the provider's cache nor written to it. */
  input: number;
  /** Prompt tokens that are read from the cache. */
  cached_input: number;
  /** Prompt tokens that are written to the cache, where the provider reports and charges that. */
  cache_write: number;
  /** The same for tokens that the cache keeps for an hour, where they have their own price. */
  cache_write_1h?: number;
  /** Completion tokens, reasoning included. */
  output: number;
}

/** The prices of a model, as they are stored with a run. */
export interface Prices extends Rates {
  /** The rates for the whole request if its prompt has at least `from` tokens; the largest `from` that fits counts. */
  long_prompts: (Rates & { from: number })[];
  /** The price of a batch request divided by that of a live one; null if unknown or if there are no batches. */
  batch_factor: number | null;
  /** The same for tokens that are read from the cache, where it differs. */
  cached_batch_factor?: number;
  /** The source of the prices. */
  source: string;
  /** The day for which the source gives them, as YYYY-MM-DD. */
  date: string;
}

/** The tokens of a request that have prices. Cached and written tokens are disjoint parts of the prompt. */
export interface PricedUsage {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  cacheWriteTokens: number;
  /** The part of the written tokens that the cache keeps for an hour. */
  cacheWrite1hTokens: number;
}

/** US dollars as a stored cost: in whole billionths of a dollar. */
export function nanoUsd(dollars: number): number {
  return Math.round(dollars * 1e9);
}

/** A stored cost in US dollars. */
export function usd(cost: number): number {
  return cost / 1e9;
}

export const FREE: Omit<Prices, "source" | "date"> = {
  input: 0,
  cached_input: 0,
  cache_write: 0,
  output: 0,
  long_prompts: [],
  batch_factor: 1,
};

/**
 * The cost of a request, in whole billionths of a US dollar; null if the price of any of its tokens is unknown.
 * @param factor the batch factor, or 1
 * @param cachedFactor the same for tokens that are read from the cache
 */
export function costOf(
  prices: Prices | null,
  usage: PricedUsage,
  factor = 1,
  cachedFactor: number = factor,
): number | null {
  const { promptTokens, completionTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens } = usage;
  if (promptTokens === 0 && completionTokens === 0) return 0;
  if (prices === null) return null;
  const rates = ratesOf(prices, promptTokens);
  const sum =
    (promptTokens - cachedTokens - cacheWriteTokens) * perToken(rates.input) +
    (cacheWriteTokens - cacheWrite1hTokens) * perToken(rates.cache_write) +
    cacheWrite1hTokens * perToken(hourlyWrite(rates)) +
    completionTokens * perToken(rates.output);
  const cached = cachedTokens * perToken(rates.cached_input);
  const cost = Math.round((sum * factor + cached * cachedFactor) / 1_000);
  // A cost that cannot be added up exactly counts as unknown.
  return Number.isSafeInteger(cost) ? cost : null;
}

/** The cost of a live request, or of one in a batch, where the batch factor may be unknown. */
export function attemptCost(prices: Prices | null, usage: PricedUsage, isBatched: boolean): number | null {
  if (!isBatched) return costOf(prices, usage);
  const factor = prices?.batch_factor ?? null;
  return factor === null ? costOf(null, usage) : costOf(prices, usage, factor, prices?.cached_batch_factor);
}

/** The most that a request can cost, in billionths of a US dollar: its whole prompt is written to the cache. */
export function highestCost(prices: Prices, promptTokens: number, completionTokens: number): number {
  const dearest = (rates: Rates) =>
    promptTokens * perToken(Math.max(rates.input, rates.cached_input, rates.cache_write, hourlyWrite(rates))) +
    completionTokens * perToken(rates.output);
  const tiers = prices.long_prompts.filter(({ from }) => promptTokens >= from);
  return Math.ceil(Math.max(...[prices, ...tiers].map(dearest)) / 1_000);
}

function hourlyWrite({ cache_write, cache_write_1h = cache_write }: Rates): number {
  return cache_write_1h;
}

function ratesOf(prices: Prices, promptTokens: number): Rates {
  const tiers = prices.long_prompts.filter(({ from }) => promptTokens >= from);
  return tiers.reduce<Rates & { from?: number }>((best, tier) => (tier.from > (best.from ?? 0) ? tier : best), prices);
}

/** Trillionths of a US dollar for a token. All but the smallest prices give whole numbers, so that sums are exact. */
function perToken(usdPerMillion: number): number {
  return Math.round(usdPerMillion * 1e12) / 1e6;
}

/** The UTC day of a date, as YYYY-MM-DD. */
export function dayOf(at: Date): string {
  return at.toISOString().slice(0, 10);
}
