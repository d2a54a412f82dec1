import type { Endpoint } from "../../config/schema.ts";
import { isReasoningModel } from "../../models/facts.ts";
import type { BodyNames } from "../parameters.ts";

const NAMES = {
  max_tokens: "max_tokens",
  max_completion_tokens: "max_completion_tokens",
  temperature: "temperature",
  top_p: "top_p",
  seed: "seed",
  frequency_penalty: "frequency_penalty",
  presence_penalty: "presence_penalty",
  stop: "stop",
  reasoning_effort: "reasoning_effort",
} satisfies BodyNames;

/** Reasoning models refuse sampling parameters, and know the token limit only by its newer name. */
const NAMES_OF_REASONING_MODELS: BodyNames = {
  ...NAMES,
  max_tokens: "max_completion_tokens",
  temperature: null,
  top_p: null,
  stop: null,
  frequency_penalty: null,
  presence_penalty: null,
};

/** The names under which a model takes the parameters of a config. */
export function bodyNames(model: string, endpoint: Endpoint): BodyNames {
  return endpoint === "chat" && isReasoningModel(model) ? NAMES_OF_REASONING_MODELS : NAMES;
}

/** Reasoning models call system messages developer messages (OpenAI API reference, "Chat Completions"). */
export function systemRole(model: string): "system" | "developer" {
  return isReasoningModel(model) ? "developer" : "system";
}
