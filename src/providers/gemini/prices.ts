import type { Prices } from "../../models/cost.ts";
import { allPrices, continuing, findPrices, listedModels, type PriceRow } from "../listed-prices.ts";

const SOURCE = { source: "Google's list, by @pydantic/genai-prices 0.1.8", date: "2026-09-23" };

/** Names in that package that are left out here. */
const LEFT_OUT = [
  // Models of others, and Gemma, for which the package has OpenRouter's prices.
  /^(?!gemini-)/,
  // Models that are not for text.
  /image|tts|live|audio|embedding|omni/,
  // Retired models, and names of other services.
  /^gemini-(pro|flash|1|2\.0)(-|\.|$)|^gemini-2\.5-flash-(latest|preview)|:|-text-preview$/,
];

/** Batches cost half as much (Google's documentation). */
const BATCH_FACTOR = 0.5;

/** The same for tokens that are read from the cache, where it differs (Google's list, by LiteLLM 1.109.1). */
const CACHED_BATCH_FACTORS: readonly (readonly [models: RegExp, factor: number])[] = [
  [/^gemini-(2\.5-|3-|3\.1-pro-)/, 1],
  [/^gemini-3\.5-flash-lite$/, 2 / 3],
];

const LITELLM = { source: "Google's list, by LiteLLM 1.109.1", date: "2026-11-12" };

type OwnRow = readonly [
  model: string,
  input: number,
  cachedInput: number,
  output: number,
  /** The first and the last day of the price, where Google has named them. */
  days?: { from?: string; until?: string },
];

/**
 * Prices that the package lacks, in US dollars per million tokens. Google serves the newest model of a kind under the
 * names that end in `latest`; these are the prices of those that it was on the day of the list.
 */
const OWN: readonly OwnRow[] = [
  ["gemini-4-argon", 2, 0.1, 10, { until: "2026-11-30" }],
  ["gemini-4-argon", 4, 0.2, 20, { from: "2026-12-01" }],
  ["gemini-flash-latest", 0.75, 0.075, 3.75, { until: "2026-12-31" }],
  ["gemini-flash-latest", 1.5, 0.15, 7.5, { from: "2027-01-01" }],
  ["gemini-flash-lite-latest", 0.3, 0.03, 2.5],
  ["gemma-4-26b-a4b-it", 0, 0, 0],
  ["gemma-4-31b-it", 0, 0, 0],
];

/**
 * The prices of a model of the Gemini API; null if the list does not have it. They are those of text, and of a key with
 * billing.
 */
export async function geminiPrice(model: string, day: string): Promise<Prices | null> {
  return findPrices(await geminiPrices(day), model.replace(/^models\//, ""));
}

export async function geminiPriceList(day: string): Promise<{ model: string; prices: Prices }[]> {
  return allPrices(await geminiPrices(day));
}

async function geminiPrices(day: string): Promise<PriceRow[]> {
  const models = await listedModels({ provider: "google", leftOut: LEFT_OUT, snapshotsOf }, day);
  const rows = models.map(({ names, patterns, rates }) => ({
    names,
    patterns,
    prices: { ...rates, ...inBatches(names[0] ?? ""), ...SOURCE },
  }));
  const own = OWN.filter(([, , , , { from = day, until = day } = {}]) => from <= day && day <= until);
  return [...own.map(ownRow), ...rows];
}

function ownRow([model, input, cachedInput, output]: OwnRow): PriceRow {
  const rates = { input, cached_input: cachedInput, cache_write: input, output };
  const isFree = model.startsWith("gemma-");
  return {
    names: [model],
    patterns: [],
    prices: { ...rates, long_prompts: [], ...(isFree ? { batch_factor: null } : inBatches(model)), ...LITELLM },
  };
}

function inBatches(model: string): Pick<Prices, "batch_factor" | "cached_batch_factor"> {
  const cached = CACHED_BATCH_FACTORS.find(([models]) => models.test(model));
  return { batch_factor: BATCH_FACTOR, ...(cached && { cached_batch_factor: cached[1] }) };
}

/** The names of versions of a model: `NAME-001`, `NAME-preview-06-17`, `NAME-preview-09-2025`. */
function snapshotsOf(name: string): RegExp {
  return continuing(name, "(-\\d{3}|(-preview)?-\\d{2}-(\\d{2}|\\d{4}))");
}
