import type { Parameters } from "../config/parameters.ts";

/** The parameters that a config names; `extra_body` holds others, which are sent as they are. */
export type ParameterName = Exclude<keyof Parameters, "extra_body">;

/**
 * The names under which a server accepts the parameters of a config; null for parameters that it refuses. A parameter in
 * no such list is not sent. The compiler requires every parameter in each list.
 */
export type BodyNames = Readonly<Record<ParameterName, string | null>>;

/** The names of OpenAI's protocol, which are those of configs. */
export const OPENAI_NAMES = {
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

/** The parameters in the body of a request, with the members of `extra_body`. */
export function bodyParameters(names: BodyNames, parameters: Parameters): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const name of namesOf(names)) {
    const [sent, value] = [names[name], parameters[name]];
    if (sent !== null && value !== undefined) body[sent] = value;
  }
  return { ...body, ...parameters.extra_body };
}

/** The names of the given parameters that a server refuses. */
export function refusedParameters(names: BodyNames, parameters: Parameters): ParameterName[] {
  return namesOf(names).filter((name) => names[name] === null && parameters[name] !== undefined);
}

function namesOf(names: BodyNames): ParameterName[] {
  return Object.keys(names) as ParameterName[];
}
