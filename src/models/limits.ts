import { baseName } from "./facts.ts";

/** What is known of a model's limits. */
export interface ModelFacts {
  /** The most tokens of a prompt and its answer together. */
  contextWindow: number;
  /**
   * The most completion tokens of an answer, reasoning included, when a request sets no limit; null if only the context
   * window limits it, or if it is unknown.
   */
  outputLimit: number | null;
  /** The day for which the source gives them, as YYYY-MM-DD. */
  date: string;
}

type Row = readonly [contextWindow: number, outputLimit: number | null, date: string, models: readonly string[]];

/** The days of the sources: LiteLLM 1.109.1, @pydantic/genai-prices 0.1.8, and the providers' pages of the models. */
const LITELLM = "2026-11-12";
const GENAI_PRICES = "2026-09-23";

const OPENAI: readonly Row[] = [
  [4_096, 4_096, GENAI_PRICES, ["gpt-3.5-turbo-instruct"]],
  [16_385, 4_096, LITELLM, ["gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106"]],
  [128_000, 4_096, LITELLM, ["gpt-4-turbo", "gpt-4-1106-preview", "gpt-4o-2024-05-13"]],
  [128_000, 4_096, GENAI_PRICES, ["gpt-4-turbo-preview", "gpt-4-0125-preview"]],
  [8_192, 8_192, LITELLM, ["gpt-4", "gpt-4-0613"]],
  [16_384, 16_384, GENAI_PRICES, ["davinci-002", "babbage-002"]],
  [128_000, 16_384, LITELLM, ["gpt-4o", "gpt-4o-mini", "gpt-5-chat-latest", "gpt-5.1-chat-latest"]],
  [128_000, 16_384, LITELLM, ["gpt-5.2-chat-latest", "gpt-5.3-chat-latest"]],
  [128_000, 16_384, GENAI_PRICES, ["chatgpt-4o-latest", "gpt-4.5-preview"]],
  [1_047_576, 32_768, LITELLM, ["gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano"]],
  [128_000, 32_768, GENAI_PRICES, ["o1-preview"]],
  [128_000, 65_536, GENAI_PRICES, ["o1-mini"]],
  [200_000, 100_000, LITELLM, ["o1", "o1-pro", "o3", "o3-mini", "o3-pro", "o4-mini"]],
  [400_000, 128_000, GENAI_PRICES, ["gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5.1", "gpt-5.1-codex-mini", "gpt-5.2"]],
  [400_000, 128_000, GENAI_PRICES, ["gpt-5.2-pro", "gpt-5.3-codex", "gpt-5.4-mini", "gpt-5.4-nano"]],
  [400_000, 128_000, LITELLM, ["gpt-5-codex", "gpt-5.1-codex", "gpt-5.1-codex-max", "gpt-5.2-codex"]],
  [400_000, 272_000, LITELLM, ["gpt-5-pro"]],
  [1_050_000, 128_000, LITELLM, ["gpt-5.4", "gpt-5.4-pro", "gpt-5.5", "gpt-5.5-pro", "gpt-6.1-sol", "gpt-6.1-terra"]],
  [1_050_000, 128_000, GENAI_PRICES, ["gpt-5.6", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"]],
  [1_050_000, 128_000, GENAI_PRICES, ["gpt-6-astra", "gpt-6-sol", "gpt-6-luna"]],
];

const ANTHROPIC: readonly Row[] = [
  [200_000, 4_096, GENAI_PRICES, ["claude-3-haiku", "claude-3-opus"]],
  [200_000, 8_192, GENAI_PRICES, ["claude-3-5-haiku", "claude-3-5-sonnet"]],
  [200_000, 32_000, GENAI_PRICES, ["claude-opus-4", "claude-opus-4-0", "claude-opus-4-1"]],
  [200_000, 64_000, GENAI_PRICES, ["claude-3-7-sonnet", "claude-sonnet-4", "claude-sonnet-4-0"]],
  [200_000, 64_000, LITELLM, ["claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"]],
  [1_000_000, 128_000, LITELLM, ["claude-fable-5", "claude-fable-5-1", "claude-haiku-5-5", "claude-mythos-5"]],
  [1_000_000, 128_000, LITELLM, ["claude-mythos-5-1", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8"]],
  [1_000_000, 128_000, LITELLM, ["claude-opus-5", "claude-opus-5-5", "claude-sonnet-4-6", "claude-sonnet-5"]],
  [1_000_000, 128_000, LITELLM, ["claude-sonnet-5-5", "claude-fable-5-2"]],
];

/** Gemini 4 Argon can write more in several requests; an answer of one request has at most this. */
const GEMINI: readonly Row[] = [
  [
    1_048_576,
    65_536,
    LITELLM,
    ["gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-3-flash-preview"],
  ],
  [1_048_576, 65_536, LITELLM, ["gemini-3.1-flash-lite", "gemini-3.1-flash-lite-preview", "gemini-3.1-pro-preview"]],
  [1_048_576, 65_536, LITELLM, ["gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.7-flash"]],
  [
    1_048_576,
    65_536,
    LITELLM,
    ["gemini-3.8-flash", "gemini-4-argon", "gemini-flash-latest", "gemini-flash-lite-latest"],
  ],
  [262_144, 32_768, LITELLM, ["gemma-4-26b-a4b-it", "gemma-4-31b-it"]],
];

/** Together limits prompt and answer together. */
const TOGETHER: readonly Row[] = [
  [8_192, null, LITELLM, ["google/gemma-2-27b-it", "meta-llama/Meta-Llama-3-70B-Instruct-Turbo"]],
  [32_768, null, LITELLM, ["Qwen/Qwen2.5-7B-Instruct-Turbo", "mistralai/Mixtral-8x7B-Instruct-v0.1"]],
  [32_768, null, LITELLM, ["mistralai/Mistral-7B-Instruct-v0.1", "mistralai/Mistral-Small-24B-Instruct-2501"]],
  [131_072, null, LITELLM, ["Qwen/QwQ-32B", "Qwen/Qwen2.5-72B-Instruct-Turbo", "deepseek-ai/DeepSeek-V3.1"]],
  [131_072, null, LITELLM, ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-models/Muse-Glimmer-30B"]],
  [
    131_072,
    null,
    LITELLM,
    ["meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo", "openai/gpt-oss-120b", "openai/gpt-oss-20b"],
  ],
  [131_072, null, LITELLM, ["meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"]],
  [202_752, null, LITELLM, ["zai-org/GLM-5.1"]],
  [262_144, null, LITELLM, ["Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "Qwen/Qwen3-Coder-Next-FP8", "Qwen/Qwen3.5-9B"]],
  [262_144, null, LITELLM, ["Qwen/Qwen3-Next-80B-A3B-Instruct", "Qwen/Qwen3.5-397B-A17B", "google/gemma-4-31B-it"]],
  [262_144, null, LITELLM, ["moonshotai/Kimi-K2.6", "nvidia/NVIDIA-Nemotron-3.5-Super-VL"]],
  [524_288, null, LITELLM, ["MiniMaxAI/MiniMax-M3", "thinkingmachines/Inkling"]],
  [1_000_000, null, LITELLM, ["Qwen/Qwen3.6-Plus", "Qwen/Qwen3.7-Max", "Qwen/Qwen3.7-Plus", "Qwen/Qwen3.8-Flash"]],
  [1_048_575, null, LITELLM, ["zai-org/GLM-5.2", "zai-org/GLM-5.3", "zai-org/GLM-5.3-Flash"]],
  [1_048_576, null, LITELLM, ["MiniMaxAI/MiniMax-M3.1-Flash", "deepseek-ai/DeepSeek-V4-Flash-0731"]],
  [1_048_576, null, LITELLM, ["deepseek-ai/DeepSeek-V4-Pro-0813", "deepseek-ai/DeepSeek-V4.1-Flash"]],
  [1_048_576, null, LITELLM, ["deepseek-ai/DeepSeek-V4.1-Flash-1017", "meta-llama/Llama-4-Scout-17B-16E-Instruct"]],
  [1_048_576, null, LITELLM, ["meta-models/Muse-Spark-Open-816B-A42B", "moonshotai/Kimi-K3"]],
];

const FACTS = new Map<string, ModelFacts>(
  [...OPENAI, ...ANTHROPIC, ...GEMINI, ...TOGETHER].flatMap(([contextWindow, longestAnswer, date, models]) =>
    models.map((model) => [model, { contextWindow, outputLimit: longestAnswer, date }] as const),
  ),
);

/**
 * The shortest beginning of a prompt that Anthropic caches, in tokens, where it is not the usual one (its pages of the
 * models, 2026-07-24; of two figures, the higher one).
 */
const SHORTEST_CACHED: readonly (readonly [tokens: number, models: readonly string[]])[] = [
  [512, ["claude-opus-5", "claude-fable-5", "claude-mythos-5"]],
  [2_048, ["claude-opus-4-7", "claude-sonnet-4-6", "claude-3-5-haiku", "claude-3-haiku"]],
  [4_096, ["claude-opus-4-6", "claude-opus-4-5", "claude-haiku-4-5"]],
];
const USUALLY_SHORTEST = 1_024;

/** What ends the names of snapshots: `gpt-…-YYYY-MM-DD`, `claude-…-YYYYMMDD`, `claude-3-…-latest`, `gemini-…-001`. */
const SNAPSHOTS: readonly (readonly [models: RegExp, snapshot: RegExp])[] = [
  [/^(gpt|o\d|chatgpt)-/, /-\d{4}-\d{2}-\d{2}$/],
  [/^claude-/, /-\d{8}$/],
  [/^claude-3-/, /-latest$/],
  [/^gemini-/, /(-\d{3}|(-preview)?-\d{2}-(\d{2}|\d{4}))$/],
];

/** The limits of a model; null if unknown. A snapshot has those of its model, unless it has its own. */
export function modelFacts(model: string): ModelFacts | null {
  return FACTS.get(nameOf(model)) ?? FACTS.get(familyOf(model)) ?? null;
}

/** The most completion tokens of an answer when a request sets no limit; null if unknown. */
export function outputLimit(model: string): number | null {
  return modelFacts(model)?.outputLimit ?? null;
}

/** The shortest beginning of a prompt that the model's provider may cache, in tokens. */
export function shortestCached(model: string): number {
  const family = familyOf(model);
  return SHORTEST_CACHED.find(([, models]) => models.includes(family))?.[0] ?? USUALLY_SHORTEST;
}

function nameOf(model: string): string {
  return baseName(model).replace(/^models\//, "");
}

/** The name of a model without that of the snapshot. */
function familyOf(model: string): string {
  const name = nameOf(model);
  const ending = SNAPSHOTS.find(([models, snapshot]) => models.test(name) && snapshot.test(name))?.[1];
  return ending ? name.replace(ending, "") : name;
}
