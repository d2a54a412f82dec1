import { baseName } from "../../models/facts.ts";

/** Whether only OpenAI's legacy completions endpoint serves a model. */
export function isLegacyCompletionsModel(model: string): boolean {
  return /^(text-)?davinci-/.test(baseName(model));
}

/** Whether a model of this name is OpenAI's. */
export function isOpenAiModel(model: string): boolean {
  return /^(gpt-|chatgpt-|ft:|text-davinci-|davinci-|o[134](-|$))/.test(model);
}

/** The most completion tokens of an answer, and the models with this limit (from OpenAI's pages of the models). */
const OUTPUT_LIMITS: readonly (readonly [tokens: number, models: readonly string[]])[] = [
  [4_096, ["gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-instruct"]],
  [4_096, ["gpt-4-turbo", "gpt-4-turbo-preview", "gpt-4-0125-preview", "gpt-4-1106-preview", "gpt-4o-2024-05-13"]],
  [8_192, ["gpt-4", "gpt-4-0613"]],
  [16_384, ["gpt-4o", "gpt-4o-mini", "chatgpt-4o-latest", "gpt-4.5-preview", "davinci-002", "babbage-002"]],
  [16_384, ["gpt-5-chat-latest", "gpt-5.1-chat-latest", "gpt-5.2-chat-latest", "gpt-5.3-chat-latest"]],
  [32_768, ["gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "o1-preview"]],
  [65_536, ["o1-mini"]],
  [100_000, ["o1", "o1-pro", "o3", "o3-mini", "o3-pro", "o4-mini"]],
  [128_000, ["gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-codex", "gpt-5.1", "gpt-5.1-codex", "gpt-5.1-codex-max"]],
  [
    128_000,
    ["gpt-5.1-codex-mini", "gpt-5.2", "gpt-5.2-codex", "gpt-5.2-pro", "gpt-5.3-codex", "gpt-5.4", "gpt-5.4-mini"],
  ],
  [128_000, ["gpt-5.4-nano", "gpt-5.4-pro", "gpt-5.5", "gpt-5.5-pro", "gpt-5.6", "gpt-5.6-sol", "gpt-5.6-terra"]],
  [128_000, ["gpt-5.6-luna", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra"]],
  [272_000, ["gpt-5-pro"]],
];

/**
 * The most completion tokens of an answer, reasoning included, when a request sets no limit; null if unknown. A snapshot,
 * `NAME-YYYY-MM-DD`, has the limit of NAME, unless it has its own in the table.
 */
export function outputLimit(model: string): number | null {
  const name = baseName(model);
  const limitOf = (wanted: string) => OUTPUT_LIMITS.find(([, models]) => models.includes(wanted))?.[0];
  return limitOf(name) ?? limitOf(name.replace(/-\d{4}-\d{2}-\d{2}$/, "")) ?? null;
}
