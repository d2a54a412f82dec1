import type { Endpoint } from "../../config/schema.ts";
import { isReasoningModel } from "../../models/facts.ts";
import { type BodyNames, OPENAI_NAMES } from "../parameters.ts";

/** Reasoning models refuse sampling parameters, and know the token limit only by its newer name. */
const NAMES_OF_REASONING_MODELS: BodyNames = {
  ...OPENAI_NAMES,
  max_tokens: "max_completion_tokens",
  temperature: null,
  top_p: null,
  stop: null,
  frequency_penalty: null,
  presence_penalty: null,
};

/** The names under which a model takes the parameters of a config. */
export function bodyNames(model: string, endpoint: Endpoint): BodyNames {
  return endpoint === "chat" && isReasoningModel(model) ? NAMES_OF_REASONING_MODELS : OPENAI_NAMES;
}

/** Reasoning models call system messages developer messages (OpenAI API reference, "Chat Completions"). */
export function systemRole(model: string): "system" | "developer" {
  return isReasoningModel(model) ? "developer" : "system";
}
