import { requestsTo } from "./batch-requests.ts";
import { PAGES } from "./batches.ts";
import { asCount, asObject, asText, type Json } from "./json.ts";
import type { ListedModel } from "./model-list.ts";
import type { Server } from "./server.ts";

/** The models that a server with OpenAI's protocol lists, and that answer with text. */
export async function* serverModels(server: Server, signal: AbortSignal): AsyncGenerator<ListedModel> {
  for await (const entry of requestsTo(server).list("/models", {}, PAGES, signal)) {
    const model = isOfTexts(entry) ? modelOf(entry) : null;
    if (model) yield model;
  }
}

/** The kinds of models that answer with text. Servers that name no kind list only such models, or all. */
const OF_TEXTS = new Set(["chat", "language", "code", "text", "llm", "vlm", "model", "base"]);

function isOfTexts({ type }: Json): boolean {
  return typeof type !== "string" || OF_TEXTS.has(type.toLowerCase());
}

/** The members in which servers state the context window, and the longest answer. */
const WINDOWS = ["context_length", "context_window", "max_model_len", "max_context_length", "max_input_tokens"];
const LIMITS = ["max_completion_tokens", "max_output_tokens"];

function modelOf(entry: Json): ListedModel | null {
  const id = asText(entry["id"]) ?? asText(entry["name"]);
  if (id === null || id.trim() === "") return null;
  const title = asText(entry["display_name"]) ?? asText(entry["name"]);
  const more = [entry, asObject(entry["top_provider"]) ?? {}, asObject(entry["meta"]) ?? {}];
  return {
    id,
    title: title === id ? null : title,
    contextWindow: firstCount(more, [...WINDOWS, "n_ctx"]),
    outputLimit: firstCount(more, LIMITS),
    prices: pricesIn(asObject(entry["pricing"])),
  };
}

function firstCount(objects: readonly Json[], names: readonly string[]): number | null {
  const values = objects.flatMap((object) => names.map((name) => asCount(object[name])));
  return values.find((value) => value !== null && value > 0) ?? null;
}

/**
 * The prices in a model's entry. Together states US dollars per million tokens as `input` and `output`; OpenRouter and
 * others state dollars per token as texts, `prompt` and `completion`.
 */
function pricesIn(pricing: Json | undefined): ListedModel["prices"] {
  if (!pricing) return null;
  const perMillion = (name: string) => rateOf(pricing[name]);
  const perToken = (name: string) => {
    const rate = typeof pricing[name] === "string" ? rateOf(Number(pricing[name])) : null;
    // Rates have at most six decimals.
    return rate === null ? null : Math.round(rate * 1e12) / 1e6;
  };
  const input = perMillion("input") ?? perToken("prompt");
  const output = perMillion("output") ?? perToken("completion");
  if (input === null || output === null) return null;
  return { input, cachedInput: perMillion("cached_input") ?? perToken("input_cache_read"), output };
}

function rateOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}
