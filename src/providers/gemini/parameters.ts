import type { Parameters } from "../../config/parameters.ts";
import { type BodyNames, bodyParameters, refusedParameters } from "../parameters.ts";
import { takesPenalties, takesSampling, thinkingOf } from "./models.ts";

/** The names in `generationConfig`. */
const NAMES = {
  max_tokens: "maxOutputTokens",
  max_completion_tokens: "maxOutputTokens",
  temperature: "temperature",
  top_p: "topP",
  seed: "seed",
  frequency_penalty: "frequencyPenalty",
  presence_penalty: "presencePenalty",
  stop: "stopSequences",
  reasoning_effort: "thinkingConfig",
} satisfies BodyNames;

/** The names under which a model takes these parameters. */
function namesOf(model: string, { reasoning_effort: effort }: Parameters): BodyNames {
  return {
    ...NAMES,
    ...(!takesSampling(model) && { temperature: null, top_p: null }),
    ...(!takesPenalties(model) && { frequency_penalty: null, presence_penalty: null }),
    ...(effort !== undefined && thinkingOf(model, effort) === null && { reasoning_effort: null }),
  };
}

/** The `generationConfig` of a request, without `extra_body`. */
export function generationConfig(model: string, parameters: Parameters): Record<string, unknown> {
  const { extra_body: _, stop, reasoning_effort: effort } = parameters;
  return {
    ...bodyParameters(namesOf(model, parameters), { ...parameters, extra_body: undefined }),
    ...(stop !== undefined && { stopSequences: [stop].flat() }),
    ...(effort !== undefined && thinkingOf(model, effort) && { thinkingConfig: thinkingOf(model, effort) }),
  };
}

/** The parameters that a model refuses, with the value of an effort that it does not have. */
export function refusedByGemini(model: string, parameters: Parameters): string[] {
  return refusedParameters(namesOf(model, parameters), parameters).map((name) =>
    name === "reasoning_effort" ? `reasoning_effort "${parameters.reasoning_effort}"` : name,
  );
}
