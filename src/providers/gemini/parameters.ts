import type { Parameters } from "../../config/parameters.ts";
import { asObject } from "../json.ts";
import { type BodyNames, bodyParameters, refusedParameters } from "../parameters.ts";
import type { Question } from "../provider.ts";
import type { Problem } from "../provider-info.ts";
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

/** Members of `generationConfig` that decide what a request may cost, with their other spelling, and what sets them. */
const SET_ELSEWHERE: readonly (readonly [name: string, spelling: string, instead: string])[] = [
  ["maxOutputTokens", "max_output_tokens", "set max_tokens"],
  ["candidateCount", "candidate_count", "set replicates to ask for several answers"],
];

/** What of a config cannot be sent, or would let a request cost more than datagen sets aside for it. */
export function problems({ model, parameters }: Pick<Question, "model" | "parameters">): Problem[] {
  const { generationConfig: given, generation_config: misspelt } = parameters.extra_body ?? {};
  const own = asObject(given);
  const texts = [
    ...(misspelt === undefined ? [] : ["generationConfig in place of generation_config"]),
    ...(given === undefined || own ? [] : ["an object as generationConfig"]),
    ...SET_ELSEWHERE.flatMap(([name, spelling, instead]) =>
      own && (name in own || spelling in own) ? [`generationConfig without ${name}: ${instead}`] : [],
    ),
  ];
  return [
    ...(/\.\.|[?&#]/.test(model)
      ? [{ key: "model_name" as const, text: "expected the name of a model, without ?, &, # and two full stops" }]
      : []),
    ...(texts.length > 0 ? [{ key: "extra_body" as const, text: `expected ${texts.join(", and ")}` }] : []),
  ];
}
