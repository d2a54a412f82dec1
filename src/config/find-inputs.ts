import { statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { UsageError } from "../errors.ts";

/**
 * The path of the inputs of a config, as this process can open it.
 * @param named as the config has it
 * @param config the path of the config
 * @throws UsageError that names both places when a relative path leads nowhere
 */
export function findInputs(named: string, config: string): string {
  // A leading `~` is the user's home.
  if (isAbsolute(named) || /^~(?=$|[/\\])/.test(named) || mayExist(named)) return named;
  const beside = join(dirname(config), named);
  if (mayExist(beside)) return beside;
  const places = [...new Set([resolve(named), resolve(beside)])];
  throw new UsageError(
    `there is no input file ${named}: looked for ${places.join(" and for ")}`,
    "data_config.input_data_path is relative to the current folder, or to the folder of the config.",
  );
}

/** False only if there is no such file; other problems are reported when it is read. */
function mayExist(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}
