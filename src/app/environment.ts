import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";

/** Variables by name: where API keys and base URLs come from. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's environment, and beneath it the `.env` file of the current folder where there is one. */
export function readEnvironment(): Environment {
  return existsSync(".env") ? { ...parseEnv(readFileSync(".env", "utf8")), ...process.env } : process.env;
}
