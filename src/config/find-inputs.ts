import { statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { filesAt } from "../files/globs.ts";
import { listed } from "./problems.ts";
import type { Config } from "./schema.ts";

type InputPaths = Config["data_config"]["input_data_path"];

/**
 * The paths of the inputs of a config, as this process can open them.
 * @param named a path, a pattern, or a list of either, as the config has it
 * @param config the path of the config
 * @throws UsageError that names both places for each relative path that leads nowhere
 */
export function findInputs(named: InputPaths, config: string): InputPaths {
  const lost: string[] = [];
  const find = (path: string): string => {
    // A leading `~` is the user's home.
    if (isAbsolute(path) || /^~(?=$|[/\\])/.test(path) || mayExist(path)) return path;
    const beside = join(dirname(config), path);
    if (mayExist(beside)) return beside;
    const places = [...new Set([resolve(path), resolve(beside)])];
    lost.push(`there is no input file ${path}: looked for ${places.join(" and for ")}`);
    return path;
  };
  const found = typeof named === "string" ? find(named) : named.map(find);
  if (lost.length === 0) return found;
  throw new UsageError(
    lost.length === 1 ? String(lost[0]) : `input files are missing:\n${listed(lost)}`,
    "data_config.input_data_path is relative to the current folder, or to the folder of the config.",
  );
}

/** False only if there is no such file; other problems are reported when it is read. */
function mayExist(path: string): boolean {
  try {
    return filesAt(path).some((file) => statSync(file, { throwIfNoEntry: false }) !== undefined);
  } catch {
    return true;
  }
}
