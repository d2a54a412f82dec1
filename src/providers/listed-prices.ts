import type { MatchLogic, ModelInfo, ModelPrice } from "@pydantic/genai-prices";
import type { Prices, Rates } from "../models/cost.ts";

/*
 * Reads the price lists of @pydantic/genai-prices. A provider says which of the names are its own, and adds what the
 * package lacks.
 */

/** Names of models, in full or as patterns, and their prices. */
export interface PriceRow {
  names: string[];
  patterns: RegExp[];
  prices: Prices;
}

type PromptRates = Rates & Pick<Prices, "long_prompts">;

/** A model in the package. */
interface ListedModel {
  names: string[];
  patterns: RegExp[];
  rates: PromptRates;
}

interface ListRules {
  /** The provider's id in the package. */
  provider: string;
  /** Names that are left out. */
  leftOut: readonly RegExp[];
  /** The pattern of the snapshots of a model. */
  snapshotsOf: (name: string) => RegExp;
  /** The shortest prompt of a tier. In the package, a tier is for prompts of more than `start` tokens. */
  firstOf?: (start: number) => number;
  /** Whether a price that began on the day `start` has ended. Prices end when the next one begins. */
  hasEnded?: (id: string, start: string, day: string) => boolean;
}

/**
 * The models of a provider that have a price per token.
 * @param day the day of the prices, as YYYY-MM-DD
 */
export async function listedModels(rules: ListRules, day: string): Promise<ListedModel[]> {
  const { findProvider } = await import("@pydantic/genai-prices");
  const models = findProvider({ providerId: rules.provider })?.models ?? [];
  return models.flatMap(({ id, match, prices }) => {
    const { names, patterns } = namesOf(match, rules);
    const rates = pricesOf(id, prices, day, rules);
    return rates && names.length > 0 ? [{ names, patterns, rates }] : [];
  });
}

/** The prices of a model: those of its name, else those of the pattern that it fits. */
export function findPrices(rows: readonly PriceRow[], model: string): Prices | null {
  const row =
    rows.find(({ names }) => names.includes(model)) ??
    rows.find(({ patterns }) => patterns.some((pattern) => pattern.test(model)));
  return row?.prices ?? null;
}

export function allPrices(rows: readonly PriceRow[]): { model: string; prices: Prices }[] {
  return rows.flatMap(({ names, prices }) => names.map((model) => ({ model, prices })));
}

/** A pattern of the names that begin with this one, and go on as `rest` says. */
export function continuing(name: string, rest: string): RegExp {
  return new RegExp(`^${name.replaceAll(".", "\\.")}${rest}$`);
}

/** The names of a rule. If it has only the beginning of a name, the rest may be nothing, or that of a snapshot. */
function namesOf(match: MatchLogic, rules: ListRules): Omit<ListedModel, "rates"> {
  const isLeftOut = (name: string) => rules.leftOut.some((pattern) => pattern.test(name));
  if ("regex" in match) return { names: [], patterns: [new RegExp(match.regex)] };
  if ("equals" in match) return { names: isLeftOut(match.equals) ? [] : [match.equals], patterns: [] };
  if ("starts_with" in match) {
    const name = match.starts_with.replace(/-$/, "");
    return isLeftOut(name) ? { names: [], patterns: [] } : { names: [name], patterns: [rules.snapshotsOf(name)] };
  }
  // The further conditions of an `and` exclude names that are left out here, too.
  if ("and" in match) return namesOf(match.and[0] as MatchLogic, rules);
  if (!("or" in match)) return { names: [], patterns: [] };
  const all = match.or.map((one) => namesOf(one, rules));
  return { names: [...new Set(all.flatMap(({ names }) => names))], patterns: all.flatMap(({ patterns }) => patterns) };
}

function pricesOf(
  id: string,
  prices: ModelInfo["prices"],
  day: string,
  { firstOf = (start) => start + 1, hasEnded = () => false }: ListRules,
): PromptRates | null {
  const rows = Array.isArray(prices) ? prices : [{ prices }];
  const current = rows.findLast(({ constraint }) => {
    if (constraint === undefined) return true;
    if (constraint.type !== "start_date" || constraint.start_date > day) return false;
    return !hasEnded(id, constraint.start_date, day);
  });
  return current ? ratesOf(current.prices, firstOf) : null;
}

function ratesOf(price: ModelPrice, firstOf: (start: number) => number): PromptRates | null {
  const { input_mtok: input, output_mtok: output } = price;
  if (input === undefined || output === undefined) return null;
  const { cache_read_mtok: cachedInput = input, cache_write_mtok: cacheWrite = input } = price;
  const hourlyWrite = price["cache_write_1h_mtok"];
  const ratesFor = (promptTokens: number): Rates => ({
    input: rateFor(promptTokens, input),
    cached_input: rateFor(promptTokens, cachedInput),
    cache_write: rateFor(promptTokens, cacheWrite),
    ...(hourlyWrite !== undefined && { cache_write_1h: rateFor(promptTokens, hourlyWrite) }),
    output: rateFor(promptTokens, output),
  });
  const starts = [input, cachedInput, cacheWrite, hourlyWrite, output].flatMap((rate) =>
    rate === undefined || typeof rate === "number" ? [] : rate.tiers.map(({ start }) => start),
  );
  return {
    ...ratesFor(0),
    long_prompts: [...new Set(starts)].map((start) => ({ from: firstOf(start), ...ratesFor(start + 1) })),
  };
}

function rateFor(promptTokens: number, rate: NonNullable<ModelPrice[string]>): number {
  if (typeof rate === "number") return rate;
  return rate.tiers.findLast(({ start }) => promptTokens > start)?.price ?? rate.base;
}
