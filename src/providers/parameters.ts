import type { Parameters } from "../config/parameters.ts";

/** The parameters that a config names; `extra_body` holds others, which are sent as they are. */
export type ParameterName = Exclude<keyof Parameters, "extra_body">;

/**
 * The names under which a server takes the parameters of a config; null for those that it does not take. What stands in
 * no such list is not sent: the compiler wants every parameter in each.
 */
export type BodyNames = Readonly<Record<ParameterName, string | null>>;

/** The parameters as they stand in the body of a request, `extra_body` unfolded. */
export function bodyParameters(names: BodyNames, parameters: Parameters): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const name of namesOf(names)) {
    const [sent, value] = [names[name], parameters[name]];
    if (sent !== null && value !== undefined) body[sent] = value;
  }
  return { ...body, ...parameters.extra_body };
}

/** The names of the parameters that are given and that a server does not take. */
export function refusedParameters(names: BodyNames, parameters: Parameters): ParameterName[] {
  return namesOf(names).filter((name) => names[name] === null && parameters[name] !== undefined);
}

function namesOf(names: BodyNames): ParameterName[] {
  return Object.keys(names) as ParameterName[];
}
