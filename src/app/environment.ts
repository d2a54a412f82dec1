import { readFileSync, statSync } from "node:fs";
import { parseEnv } from "node:util";

/** Variables by name: where API keys and base URLs come from. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's environment, and beneath it the `.env` file of the current folder where there is one. */
export function readEnvironment(): Environment {
  // A folder of this name is a Python environment.
  const isThere = statSync(".env", { throwIfNoEntry: false })?.isDirectory() === false;
  return isThere ? { ...parseEnv(readFileSync(".env", "utf8")), ...process.env } : process.env;
}
