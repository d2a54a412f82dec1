import type { Prices } from "../../models/cost.ts";

const SOURCES = {
  catalog: "Together's model catalog",
  litellm: "Together's list, by LiteLLM 1.109.1",
  registry: "Together's list, by durable-llm-registry",
};

type Row = readonly [
  model: string,
  input: number,
  /** Null if Together lists no separate price for cached input. */
  cachedInput: number | null,
  output: number,
  date: string,
  source: keyof typeof SOURCES,
];

/**
 * Prices of Together's serverless text models, in US dollars per million tokens. The date is that of the source, or the
 * last day of a retired model.
 */
const ROWS: readonly Row[] = [
  ["MiniMaxAI/MiniMax-M3", 0.3, 0.06, 1.2, "2026-11-06", "litellm"],
  ["MiniMaxAI/MiniMax-M3.1-Flash", 0.15, 0.015, 0.6, "2026-11-12", "litellm"],
  ["Prism-ML/Ternary-Bonsai-27B", 0, 0, 0, "2026-11-12", "litellm"],
  ["Qwen/QwQ-32B", 1.2, null, 1.2, "2025-11-13", "litellm"],
  ["Qwen/Qwen2.5-72B-Instruct-Turbo", 1.2, null, 1.2, "2026-02-06", "litellm"],
  ["Qwen/Qwen2.5-7B-Instruct-Turbo", 0.3, null, 0.3, "2026-01-24", "registry"],
  ["Qwen/Qwen2.5-Coder-32B-Instruct", 0.8, null, 0.8, "2025-11-13", "litellm"],
  ["Qwen/Qwen3-235B-A22B-Instruct-2507-tput", 0.2, null, 0.6, "2026-01-24", "registry"],
  ["Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", 2, null, 2, "2026-06-04", "litellm"],
  ["Qwen/Qwen3-Coder-Next-FP8", 0.5, null, 1.2, "2026-05-14", "litellm"],
  ["Qwen/Qwen3-Next-80B-A3B-Instruct", 0.15, null, 1.5, "2026-04-02", "litellm"],
  ["Qwen/Qwen3.5-397B-A17B", 0.6, 0.35, 3.6, "2026-06-29", "litellm"],
  ["Qwen/Qwen3.5-9B", 0.17, null, 0.25, "2026-11-12", "litellm"],
  ["Qwen/Qwen3.6-Plus", 0.5, null, 3, "2026-11-12", "litellm"],
  ["Qwen/Qwen3.7-Max", 1.5, 0.3, 4.5, "2026-11-12", "litellm"],
  ["Qwen/Qwen3.7-Plus", 0.32, null, 1.28, "2026-11-12", "litellm"],
  ["Qwen/Qwen3.8-2.4T-A95B", 2, 0.25, 6, "2026-11-04", "litellm"],
  ["Qwen/Qwen3.8-Flash", 0.15, null, 0.47, "2026-11-12", "litellm"],
  ["deepseek-ai/DeepSeek-R1", 3, null, 7, "2026-01-24", "registry"],
  ["deepseek-ai/DeepSeek-R1-Distill-Llama-70B", 2, null, 2, "2025-12-23", "litellm"],
  ["deepseek-ai/DeepSeek-V3", 1.25, null, 1.25, "2026-01-24", "registry"],
  ["deepseek-ai/DeepSeek-V3.1", 0.6, null, 1.7, "2026-05-14", "litellm"],
  ["deepseek-ai/DeepSeek-V4-Flash-0731", 0.14, 0.03, 0.28, "2026-10-22", "litellm"],
  ["deepseek-ai/DeepSeek-V4-Pro-0813", 1.32, 0.13, 3.96, "2026-11-12", "litellm"],
  ["deepseek-ai/DeepSeek-V4.1-Flash", 0.3, 0.006, 1.2, "2026-11-12", "litellm"],
  ["deepseek-ai/DeepSeek-V4.1-Flash-1017", 0.3, 0.006, 1.2, "2026-11-12", "litellm"],
  ["google/gemma-2-27b-it", 0.8, null, 0.8, "2025-08-28", "litellm"],
  ["google/gemma-3n-E4B-it", 0.02, null, 0.04, "2026-01-24", "registry"],
  ["google/gemma-4-31B-it", 0.39, null, 0.97, "2026-09-15", "litellm"],
  ["meta-llama/Llama-3.2-3B-Instruct-Turbo", 0.06, null, 0.06, "2026-01-24", "registry"],
  ["meta-llama/Llama-3.3-70B-Instruct-Turbo", 1.04, null, 1.04, "2026-10-07", "catalog"],
  ["meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", 0.27, null, 0.85, "2026-01-24", "registry"],
  ["meta-llama/Llama-4-Scout-17B-16E-Instruct", 0.18, null, 0.59, "2026-02-06", "litellm"],
  ["meta-llama/Meta-Llama-3-70B-Instruct-Turbo", 0.88, null, 0.88, "2025-12-23", "litellm"],
  ["meta-llama/Meta-Llama-3-8B-Instruct-Lite", 0.1, null, 0.1, "2026-01-24", "registry"],
  ["meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo", 3.5, null, 3.5, "2026-01-24", "registry"],
  ["meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo", 0.88, null, 0.88, "2026-02-25", "litellm"],
  ["meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", 0.18, null, 0.18, "2026-03-06", "litellm"],
  ["meta-models/Muse-Glimmer-30B", 0.35, 0.04, 1.5, "2026-11-12", "litellm"],
  ["meta-models/Muse-Spark-Open-816B-A42B", 1.25, 0.15, 4.25, "2026-11-12", "litellm"],
  ["mistralai/Mistral-7B-Instruct-v0.1", 0.2, null, 0.2, "2025-11-13", "litellm"],
  ["mistralai/Mistral-7B-Instruct-v0.2", 0.2, null, 0.2, "2026-01-24", "registry"],
  ["mistralai/Mistral-Small-24B-Instruct-2501", 0.1, null, 0.3, "2026-04-02", "litellm"],
  ["mistralai/Mixtral-8x7B-Instruct-v0.1", 0.6, null, 0.6, "2026-04-16", "litellm"],
  ["moonshotai/Kimi-K2.6", 1.2, 0.2, 4.5, "2026-08-19", "litellm"],
  ["moonshotai/Kimi-K3", 3, 0.3, 15, "2026-11-12", "litellm"],
  ["nvidia/NVIDIA-Nemotron-3.5-Super-VL", 0.15, 0.02, 0.5, "2026-11-12", "litellm"],
  ["openai/gpt-oss-120b", 0.15, null, 0.6, "2026-11-12", "litellm"],
  ["openai/gpt-oss-20b", 0.05, null, 0.2, "2026-09-15", "litellm"],
  ["reflection/Beam-1.0-501B-A23B", 0.4, 0.04, 1.2, "2026-11-12", "litellm"],
  ["thinkingmachines/Inkling", 1, 0.17, 4.05, "2026-11-06", "litellm"],
  ["together/Tev1-4B-experimental", 0.042, null, 0, "2026-11-12", "litellm"],
  ["zai-org/GLM-5.1", 1.4, 0.26, 4.4, "2026-07-10", "litellm"],
  ["zai-org/GLM-5.2", 1.4, 0.26, 4.4, "2026-11-12", "litellm"],
  ["zai-org/GLM-5.3", 1.4, 0.26, 4.4, "2026-11-12", "litellm"],
  ["zai-org/GLM-5.3-Flash", 0.15, 0.03, 0.5, "2026-11-12", "litellm"],
];

/** The models with half the price in batches, by Together's documentation of batches (2026-10-07). */
const HALF_PRICE_IN_BATCHES = new Set(["meta-llama/Llama-3.3-70B-Instruct-Turbo"]);

/** Together's prices, by the names of models. */
export function togetherPrices(): Map<string, Prices> {
  return new Map(
    ROWS.map(([model, input, cachedInput, output, date, source]) => [
      model,
      {
        input,
        cached_input: cachedInput ?? input,
        cache_write: input,
        output,
        long_prompts: [],
        batch_factor: HALF_PRICE_IN_BATCHES.has(model) ? 0.5 : null,
        source: SOURCES[source],
        date,
      },
    ]),
  );
}
