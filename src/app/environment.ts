import { readFileSync, statSync } from "node:fs";
import { parseEnv } from "node:util";
import { errorCode, UsageError } from "../errors.ts";

/** Variables by name: where API keys and base URLs come from. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's environment, and beneath it the `.env` file of the current folder where there is one. */
export function readEnvironment(): Environment {
  // A folder of this name is a Python environment.
  const isThere = statSync(".env", { throwIfNoEntry: false })?.isDirectory() === false;
  if (!isThere) return process.env;
  try {
    return { ...parseEnv(readFileSync(".env", "utf8")), ...process.env };
  } catch (error) {
    throw new UsageError(
      `.env cannot be read (${errorCode(error) ?? String(error)})`,
      "Check its rights, or remove it.",
    );
  }
}
