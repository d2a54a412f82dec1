import type { Prices } from "../../models/cost.ts";
import { allPrices, continuing, findPrices, listedModels, type PriceRow } from "../listed-prices.ts";

const SOURCE = { source: "Anthropic's list, by @pydantic/genai-prices 0.1.8", date: "2026-09-23" };

/** Names in that package that Anthropic's API does not know, and models that were retired before it had batches. */
const LEFT_OUT = [
  /[.@]/,
  /^claude-(2|v\d|instant)/,
  /^claude-[45]-/,
  /^claude-sonnet-3-7$/,
  /^claude-3-sonnet$/,
  /-2025/,
];

/** All models since Claude 3.5 are served in batches, at half the price of all tokens (Anthropic's documentation). */
const BATCH_FACTOR = 0.5;

const LITELLM = "Anthropic's list, by LiteLLM 1.109.1";

interface OwnRow {
  model: string;
  input: number;
  cachedInput: number;
  output: number;
  /** The rates are this many times as high for prompts from so many tokens. */
  long?: { from: number; times: number };
  source: string;
  date: string;
}

/** Prices that the package lacks, in US dollars per million tokens. */
const OWN: readonly OwnRow[] = [
  {
    model: "claude-haiku-5-5",
    input: 0.1,
    cachedInput: 0.01,
    output: 0.5,
    long: { from: 100_001, times: 5 },
    source: LITELLM,
    date: "2026-11-12",
  },
  { model: "claude-sonnet-5-5", input: 2, cachedInput: 0.1, output: 10, source: LITELLM, date: "2026-11-12" },
  { model: "claude-mythos-5", input: 10, cachedInput: 1, output: 50, source: LITELLM, date: "2026-11-12" },
  { model: "claude-mythos-5-1", input: 10, cachedInput: 0.25, output: 50, source: LITELLM, date: "2026-11-12" },
  {
    model: "claude-fable-5-2",
    input: 8,
    cachedInput: 0.2,
    output: 40,
    source: "Anthropic's list, by its documentation",
    date: "2026-11-10",
  },
];

/**
 * The prices of a model; null if the list does not have it. A snapshot, `NAME-YYYYMMDD`, costs what NAME does.
 */
export async function anthropicPrice(model: string, day: string): Promise<Prices | null> {
  return findPrices(await anthropicPrices(day), model);
}

export async function anthropicPriceList(day: string): Promise<{ model: string; prices: Prices }[]> {
  return allPrices(await anthropicPrices(day));
}

async function anthropicPrices(day: string): Promise<PriceRow[]> {
  const models = await listedModels({ provider: "anthropic", leftOut: LEFT_OUT, snapshotsOf }, day);
  const rows = models.map(({ names, patterns, rates }) => ({
    names,
    patterns: [...patterns, ...names.map(snapshotsOf)],
    prices: { ...rates, batch_factor: BATCH_FACTOR, ...SOURCE },
  }));
  return [...OWN.map(ownRow), ...rows];
}

function ownRow({ model, input, cachedInput, output, long, source, date }: OwnRow): PriceRow {
  // What the cache keeps for five minutes costs 1.25 times as much as input to write, and for an hour twice as much.
  const rates = (times: number) => ({
    input: times * input,
    cached_input: times * cachedInput,
    cache_write: times * 1.25 * input,
    cache_write_1h: times * 2 * input,
    output: times * output,
  });
  return {
    names: [model],
    patterns: [snapshotsOf(model)],
    prices: {
      ...rates(1),
      long_prompts: long ? [{ from: long.from, ...rates(long.times) }] : [],
      batch_factor: BATCH_FACTOR,
      source,
      date,
    },
  };
}

/** The dated names of a model. Only models of Claude 3 had names that end in `latest`. */
function snapshotsOf(name: string): RegExp {
  return continuing(name, name.startsWith("claude-3-") ? "-(\\d{8}|latest)" : "-\\d{8}");
}
