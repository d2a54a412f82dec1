import { isObject, member } from "./members.ts";
import type { Path, Problem } from "./problems.ts";

/** Each is a run of its own. */
export const MOST_MODELS = 50;

/** Keys of a config that an entry of `model_config` may have for itself. */
const KEYS_OF_ENTRY = ["api_provider", "prices"] as const;

/** The config of one model. */
export interface ModelConfig {
  value: unknown;
  /** Where a path of `value` is in the file. */
  placeOf: (path: Path) => Path;
}

/**
 * The configs of the models in a config's value: one for each entry of `model_config`, where that is an array. Whatever
 * else is wrong with the value stays in the parts.
 */
export function eachModel(value: unknown): ModelConfig[] | Problem[] {
  const entries = member(value)["model_config"];
  if (!isObject(value) || !Array.isArray(entries)) return [{ value, placeOf: (path) => path }];
  const wrong = (text: string): Problem[] => [{ path: ["model_config"], text }];
  if (entries.length === 0) return wrong("expected at least one model, found an empty array");
  if (entries.length > MOST_MODELS) return wrong(`expected at most ${MOST_MODELS} models, found ${entries.length}`);
  return entries.map((entry: unknown, index) => modelOf(value, entry, index));
}

function modelOf(value: Record<string, unknown>, entry: unknown, index: number): ModelConfig {
  if (!isObject(entry)) {
    return { value: { ...value, model_config: entry }, placeOf: (path) => placeIn(path, index, []) };
  }
  const own = KEYS_OF_ENTRY.filter((key) => entry[key] !== undefined);
  const rest = Object.entries(entry).filter(([key]) => !own.some((name) => name === key));
  const moved = Object.fromEntries(own.map((key) => [key, entry[key]]));
  return {
    value: { ...value, model_config: Object.fromEntries(rest), ...moved },
    placeOf: (path) => placeIn(path, index, own),
  };
}

function placeIn(path: Path, index: number, own: readonly string[]): Path {
  const [key, ...rest] = path;
  if (key === "model_config") return [key, index, ...rest];
  return own.includes(String(key)) ? ["model_config", index, ...path] : path;
}
