import { isDeepStrictEqual } from "node:util";
import { isObject } from "../../config/members.ts";
import type { Config, Perspective } from "../../config/schema.ts";

/** A place where the configs of two runs differ. If a run has no value there, `a` or `b` is missing. */
export interface ConfigDifference {
  /** Such as `model_config.temperature`, or `agent_perspectives["Original"].strategy`. */
  path: string;
  a?: unknown;
  b?: unknown;
}

/**
 * The differences of two configs. Perspectives are matched by their conditions; those that only one config has are left
 * out. The order of the others counts as one place, with the conditions as its value. Other arrays are compared whole.
 */
export function configDifferences(a: Config, b: Config): ConfigDifference[] {
  const { agent_perspectives: perspectivesA, ...restA } = a;
  const { agent_perspectives: perspectivesB, ...restB } = b;
  const place = "agent_perspectives";
  return [
    ...differences("", restA, restB),
    ...perspectivesA.flatMap((perspective) => {
      const other = perspectivesB.find(({ condition }) => condition === perspective.condition);
      return other ? differences(`${place}[${JSON.stringify(other.condition)}]`, perspective, other) : [];
    }),
    ...differences(place, shared(perspectivesA, perspectivesB), shared(perspectivesB, perspectivesA)),
  ];
}

/** The conditions of one list that the other has too. */
function shared(list: readonly Perspective[], others: readonly Perspective[]): string[] {
  const known = new Set(others.map(({ condition }) => condition));
  return list.map(({ condition }) => condition).filter((condition) => known.has(condition));
}

function differences(path: string, a: unknown, b: unknown): ConfigDifference[] {
  if (isDeepStrictEqual(a, b)) return [];
  if (!isObject(a) || !isObject(b)) {
    return [{ path, ...(a !== undefined && { a }), ...(b !== undefined && { b }) }];
  }
  const [membersA, membersB] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return [...new Set([...membersA.keys(), ...membersB.keys()])].flatMap((name) =>
    differences(memberOf(path, name), membersA.get(name), membersB.get(name)),
  );
}

function memberOf(path: string, name: string): string {
  if (!/^\w+$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === "" ? name : `${path}.${name}`;
}
