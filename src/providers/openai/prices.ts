import type { Prices } from "../../models/cost.ts";
import { allPrices, continuing, findPrices, listedModels, type PriceRow } from "../listed-prices.ts";

const SOURCE = { source: "OpenAI's list, by @pydantic/genai-prices 0.1.8", date: "2026-09-23" };

/** Names in that package that are left out here. */
const LEFT_OUT = [
  // Models that are not for text.
  /audio|realtime|image|transcribe|tts|whisper|embedding|moderation|vision/,
  // A request costs more than its tokens.
  /search|deep-research|computer-use/,
  // Prices of OpenRouter.
  /^gpt-oss-|^gpt-chat-latest$|:extended$|-high$/,
  // Names of Azure, and names that OpenAI does not list.
  /^gpt-35-|^gpt-\d-\d(-|$)|\.ft|^gpt-3\.5-0301$|^gpt-4-turbo-0125-preview$|^gpt-5\.1-mini$|^gpt-5\.3$/,
  /^codex-mini$|^gpt-5(\.\d)?-chat$|^gpt-5\.5-(chat-latest|codex|2026-04-24)$/,
  // The package lacks some fine-tuned models, and their prices for cached tokens.
  /^ft:/,
];

/** A lower price that OpenAI promised only up to `until`. After that day the earlier price counts. */
const PROMOTION = { id: "gpt-5.6-sol", from: "2026-08-21", until: "2026-11-21" };

/**
 * The models that the Batch API serves at half the price. It serves no chat or coding models, and only some old models.
 */
const BATCHED = [
  /^gpt-(6\.1-(sol|terra)|6-(astra|sol|luna)|5\.6(-(sol|terra|luna))?)$/,
  /^gpt-5(\.5(-pro)?|\.4(-(mini|nano|pro))?|\.2(-pro)?|\.1|-(mini|nano|pro))?$/,
  /^(gpt-4\.1(-(mini|nano))?|gpt-4o(-mini)?|gpt-4-turbo|o1(-pro)?|o3(-(mini|pro))?|o4-mini)$/,
  /^(gpt-4(-0613)?|gpt-3\.5-turbo(-0125)?|davinci-002|babbage-002)$/,
  /^ft:(gpt-4o-mini|gpt-4\.1(-(mini|nano))?|gpt-3\.5-turbo(-0125)?|o4-mini|davinci-002)$/,
];

type OwnRow = readonly [model: string, input: number, cachedInput: number | null, output: number, date: string];

/**
 * Prices that the package lacks, in US dollars per million tokens, from OpenAI's list as LiteLLM 1.109.1 has it. The date
 * is that of the release, or the last day of a retired model. A fine-tuned model, `ft:BASE:…`, is listed as `ft:BASE`.
 */
const OWN: readonly OwnRow[] = [
  ["gpt-6.1-sol", 2, 0.1, 10, "2026-11-12"],
  ["gpt-6.1-terra", 1, 0.05, 5, "2026-11-12"],
  ["davinci-002", 2, null, 2, "2026-09-28"],
  ["babbage-002", 0.4, null, 0.4, "2026-09-28"],
  ["ft:gpt-4.1-2025-04-14", 3, 0.75, 12, "2026-11-12"],
  ["ft:gpt-4.1-mini-2025-04-14", 0.8, 0.2, 3.2, "2026-11-12"],
  ["ft:gpt-4.1-nano-2025-04-14", 0.2, 0.05, 0.8, "2026-10-23"],
  ["ft:gpt-4o-2024-08-06", 3.75, 1.875, 15, "2026-11-12"],
  ["ft:gpt-4o-2024-11-20", 3.75, null, 15, "2026-11-12"],
  ["ft:gpt-4o-mini-2024-07-18", 0.3, 0.15, 1.2, "2026-11-12"],
  ["ft:o4-mini-2025-04-16", 4, 1, 16, "2026-10-23"],
  ["ft:gpt-3.5-turbo", 3, null, 6, "2026-10-23"],
  ["ft:gpt-3.5-turbo-0125", 3, null, 6, "2026-10-23"],
  ["ft:gpt-3.5-turbo-0613", 3, null, 6, "2026-10-23"],
  ["ft:gpt-3.5-turbo-1106", 3, null, 6, "2026-10-23"],
  ["ft:davinci-002", 12, null, 12, "2026-10-23"],
  ["ft:babbage-002", 1.6, null, 1.6, "2026-10-23"],
];

/** The prices of a model; null if the list does not have it. */
export async function openAiPrice(model: string, day: string): Promise<Prices | null> {
  // A fine-tuned model is `ft:BASE:organisation:suffix:id`.
  const name = model.startsWith("ft:") ? model.split(":", 2).join(":") : model;
  return findPrices(await openAiPrices(day), name);
}

export async function openAiPriceList(day: string): Promise<{ model: string; prices: Prices }[]> {
  return allPrices(await openAiPrices(day));
}

/**
 * OpenAI's prices of text models.
 * @param day the day of the prices, as YYYY-MM-DD
 */
async function openAiPrices(day: string): Promise<PriceRow[]> {
  const rules = { provider: "openai", leftOut: LEFT_OUT, snapshotsOf, firstOf, hasEnded };
  const models = await listedModels(rules, day);
  // One row for each name, because batches may serve one name but not another.
  const rows = models.flatMap(({ names, patterns, rates }) =>
    names.map((name, index) => ({
      names: [name],
      patterns: index === 0 ? patterns : [],
      prices: { ...rates, batch_factor: batchFactor(name), ...SOURCE },
    })),
  );
  return [...OWN.map(ownRow), ...rows];
}

/**
 * The shortest prompt of a tier. In OpenAI's list, prompts of fewer than 272,000 tokens have the lower rates. Most rows of
 * the package start the tier at 271,999, those of gpt-6-sol and gpt-6-luna at 272,000.
 */
function firstOf(start: number): number {
  return start % 1_000 === 0 ? start : start + 1;
}

function hasEnded(id: string, start: string, day: string): boolean {
  return id === PROMOTION.id && start === PROMOTION.from && day > PROMOTION.until;
}

function ownRow([model, input, cachedInput, output, date]: OwnRow): PriceRow {
  const rates = { input, cached_input: cachedInput ?? input, cache_write: input, output };
  const isNewest = model.startsWith("gpt-6.1-");
  // All models since gpt-5.6 charge this for cache writes.
  if (isNewest) rates.cache_write = 1.25 * input;
  const long = {
    from: 272_000,
    input: 2 * rates.input,
    cached_input: 2 * rates.cached_input,
    cache_write: 2 * rates.cache_write,
    output: 1.5 * output,
  };
  return {
    names: [model],
    patterns: isNewest ? [snapshotsOf(model)] : [],
    prices: {
      ...rates,
      long_prompts: isNewest ? [long] : [],
      batch_factor: batchFactor(model),
      source: "OpenAI's list, by LiteLLM 1.109.1",
      date,
    },
  };
}

function snapshotsOf(name: string): RegExp {
  return continuing(name, "-\\d{4}(-\\d{2}-\\d{2})?");
}

function batchFactor(model: string): number | null {
  const name = model.replace(/-\d{4}-\d{2}-\d{2}$/, "");
  return BATCHED.some((names) => names.test(name)) ? 0.5 : null;
}
