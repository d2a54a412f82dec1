import type { Endpoint } from "../../config/schema.ts";
import { isReasoningModel } from "../../models/facts.ts";
import type { RequestParameters } from "../provider.ts";

const REFUSED_BY_REASONING_MODELS = ["temperature", "top_p", "frequency_penalty", "presence_penalty", "stop"];

/** The parameters as the model accepts them, and the names of those that it does not take. */
export function adaptParameters(
  model: string,
  endpoint: Endpoint,
  parameters: RequestParameters,
): { accepted: RequestParameters; dropped: string[] } {
  const { extra_body: extra, ...given } = parameters;
  if (endpoint !== "chat" || !isReasoningModel(model)) {
    return { accepted: { ...given, ...(extra as RequestParameters | undefined) }, dropped: [] };
  }
  const { max_tokens: maxTokens, ...others } = given;
  const dropped = REFUSED_BY_REASONING_MODELS.filter((name) => name in others);
  const kept = Object.entries(others).filter(([name]) => !dropped.includes(name));
  return {
    accepted: {
      ...Object.fromEntries(kept),
      ...(maxTokens !== undefined && { max_completion_tokens: maxTokens }),
      ...(extra as RequestParameters | undefined),
    },
    dropped,
  };
}
