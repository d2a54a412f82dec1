import type { Config } from "../../config/schema.ts";
import { changed, type ParameterChange } from "./parameter-changes.ts";

/** A part of a config. */
export interface Lines {
  /** What it replaces in the config, such as `model_config` or `agent_perspectives[2].model_config`. */
  replaces: string;
  /** A member of a JSON object: `"model_config": {…}`. For an element of an array, its value alone. */
  json: string;
}

/**
 * The parts of a config that have to change.
 * @param isEntry whether the file has an array of models
 */
export function linesFor(
  config: Config,
  changes: readonly ParameterChange[],
  { isEntry, stripsReasoning }: { isEntry: boolean; stripsReasoning: boolean },
): Lines[] {
  const apply = <P extends object>(parameters: P): P =>
    changes.reduce<P>((rest, change) => changed(rest as Record<string, unknown>, change) as P, parameters);
  const lines: Lines[] = [];
  const { model_config: given, api_provider: provider, prices } = config;
  const model = { ...apply(given), ...(stripsReasoning && { reasoning_tags: "strip" as const }) };
  if (JSON.stringify(model) !== JSON.stringify(given)) {
    // An entry of several models has these for itself.
    const entry = { ...model, ...(provider && { api_provider: provider }), ...(prices && { prices }) };
    lines.push(
      isEntry
        ? { replaces: `the entry of ${given.model_name} in model_config`, json: JSON.stringify(entry, null, 2) }
        : { replaces: "model_config", json: member("model_config", model) },
    );
  }
  for (const [at, { model_config: own }] of config.agent_perspectives.entries()) {
    if (own === undefined) continue;
    const next = apply(own);
    if (JSON.stringify(next) === JSON.stringify(own)) continue;
    lines.push({ replaces: `agent_perspectives[${at}].model_config`, json: member("model_config", next) });
  }
  return lines;
}

function member(name: string, value: unknown): string {
  return `${JSON.stringify(name)}: ${JSON.stringify(value, null, 2)}`;
}
