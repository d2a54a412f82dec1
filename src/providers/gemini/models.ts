import type { Parameters } from "../../config/parameters.ts";

type Effort = NonNullable<Parameters["reasoning_effort"]>;

/** How much a model thinks: newer ones take a level, those of Gemini 2.5 a budget of tokens; 0 turns thinking off. */
type Thinking = { thinkingLevel: "MINIMAL" | "LOW" | "MEDIUM" | "HIGH" } | { thinkingBudget: number };

const MINIMAL: Thinking = { thinkingLevel: "MINIMAL" };
const LOW: Thinking = { thinkingLevel: "LOW" };
const MEDIUM: Thinking = { thinkingLevel: "MEDIUM" };
const HIGH: Thinking = { thinkingLevel: "HIGH" };

const BUDGETS = {
  minimal: { thinkingBudget: 1_024 },
  low: { thinkingBudget: 1_024 },
  medium: { thinkingBudget: 8_192 },
  high: { thinkingBudget: 24_576 },
};

/**
 * What `reasoning_effort` means for a model, as Google maps it where Gemini speaks OpenAI's protocol. The first row that
 * fits counts. Models without an effort in their row refuse it: only Flash models of Gemini 2.5 can be told not to think.
 */
const EFFORTS: readonly (readonly [models: RegExp, efforts: Partial<Record<Effort, Thinking>>])[] = [
  [/^gemini-2\.5-pro/, BUDGETS],
  [/^gemini-2\.5-/, { none: { thinkingBudget: 0 }, ...BUDGETS }],
  [/^gemini-3-pro/, { minimal: LOW, low: LOW, medium: HIGH, high: HIGH }],
  [/^gemini-3(?:\.[56])?-flash|^gemini-3\.1-flash-lite/, { minimal: MINIMAL, low: LOW, medium: MEDIUM, high: HIGH }],
  // Gemini 3.1 Pro, 3.7 Flash and 3.8 Flash, Gemini 4, and what comes after them.
  [/^gemini-(?:[3-9]|[1-9]\d|flash|pro)/, { minimal: LOW, low: LOW, medium: MEDIUM, high: HIGH }],
];

/** How a model is told how much to think; null if it does not take this effort. */
export function thinkingOf(model: string, effort: Effort): Thinking | null {
  const efforts = EFFORTS.find(([models]) => models.test(nameOf(model)))?.[1];
  return efforts?.[effort] ?? null;
}

/** Whether the Gemini API serves a model of this name. The names of Gemma at Together begin with `google/`. */
export function isGeminiModel(model: string): boolean {
  return /^gem(?:ini|ma)-/.test(nameOf(model));
}

/** Whether a model takes penalties. The others refuse each request with one. */
export function takesPenalties(model: string): boolean {
  return nameOf(model).startsWith("gemini-2.0-");
}

/** Whether the temperature of a request has an effect. Since Gemini 4, models ignore what says how to sample. */
export function takesSampling(model: string): boolean {
  return !/^gemini-(?:[4-9]|[1-9]\d)\b/.test(nameOf(model));
}

/** The name without the folder in which the API has it. */
function nameOf(model: string): string {
  return model.replace(/^models\//, "");
}
