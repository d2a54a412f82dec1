import { isDeepStrictEqual } from "node:util";
import { isObject } from "../../config/members.ts";
import type { Config, Perspective } from "../../config/schema.ts";

/** A place where the configs of several runs differ. */
export interface ConfigValues {
  /** Such as `model_config.temperature`, or `agent_perspectives["Original"].strategy`. */
  path: string;
  /** In the order of the runs; undefined for a run that has no value there. In JSON, that is null. */
  values: unknown[];
}

/**
 * The differences of two or more configs. Perspectives are matched by their conditions; those that not all configs have are
 * left out. The order of the others counts as one place, with the conditions as its value. Other arrays are compared whole.
 */
export function configDifferences(configs: readonly Config[]): ConfigValues[] {
  const place = "agent_perspectives";
  const lists = configs.map(({ agent_perspectives: perspectives }) => byCondition(perspectives));
  const [first = new Map<string, Perspective>()] = lists;
  const shared = [...first.keys()].filter((condition) => lists.every((list) => list.has(condition)));
  const orders = lists.map((list) => [...list.keys()].filter((condition) => shared.includes(condition)));
  return [
    ...differences(
      "",
      configs.map((config) => ({ ...config, agent_perspectives: undefined })),
    ),
    ...shared.flatMap((condition) =>
      differences(
        `${place}[${JSON.stringify(condition)}]`,
        lists.map((list) => list.get(condition)),
      ),
    ),
    ...differences(place, orders),
  ];
}

function byCondition(perspectives: readonly Perspective[]): Map<string, Perspective> {
  return new Map(perspectives.map((perspective) => [perspective.condition, perspective]));
}

function differences(path: string, values: readonly unknown[]): ConfigValues[] {
  if (values.every((value) => isDeepStrictEqual(value, values[0]))) return [];
  if (!values.every((value) => isObject(value))) return [{ path, values: [...values] }];
  const members = values.map((value) => new Map(Object.entries(value)));
  return [...new Set(members.flatMap((each) => [...each.keys()]))].flatMap((name) =>
    differences(
      memberOf(path, name),
      members.map((each) => each.get(name)),
    ),
  );
}

function memberOf(path: string, name: string): string {
  if (!/^\w+$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === "" ? name : `${path}.${name}`;
}
