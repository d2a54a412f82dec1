import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { parseEnv } from "node:util";
import { errorCode, UsageError } from "../../errors.ts";
import { KEY_ALIASES, KEY_VARIABLES } from "../../providers/index.ts";

/** Environment variables by name. API keys and base URLs come from them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The two sources of variables. They are kept apart because the `.env` of a folder may be somebody else's; see
 * docs/security.md.
 */
export interface Variables {
  /** The variables of the user's shell, or those that a caller of the library gives. */
  shell: Environment;
  /** The file `.env` of the current folder. */
  file: Environment;
}

/** @param given variables from a caller of the library, used instead of the process's environment and `.env` */
export function readVariables(given?: Environment): Variables {
  return given ? { shell: given, file: {} } : { shell: process.env, file: readDotEnv() };
}

/** The value of a variable: from the shell, else from the file. */
export function valueOf({ shell, file }: Variables, name: string): string | undefined {
  return setValue(shell, name) ?? setValue(file, name);
}

/**
 * The value of a variable, without spaces and quotes around it: some programs that load such files keep the quotes. An
 * empty value counts as not set.
 */
export function setValue(environment: Environment, name: string): string | undefined {
  const alias = KEY_ALIASES.get(name);
  return (alias && plainValue(environment[alias])) || plainValue(environment[name]) || undefined;
}

function plainValue(value = ""): string {
  return value
    .trim()
    .replace(/^(["'])(.*)\1$/, "$2")
    .trim();
}

/** Far more than a file of variables has. */
const LARGEST_BYTES = 1024 * 1024;

function readDotEnv(): Environment {
  const bytes = readSmallFile(".env");
  if (bytes === null) return {};
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff) || bytes.includes(0)) {
    throw new UsageError(".env is not UTF-8 text", "It seems to be UTF-16. Save it as UTF-8.");
  }
  // The decoder drops a byte order mark.
  const text = new TextDecoder().decode(bytes);
  const variables = parseEnv(text);
  for (const [at, line] of text.split("\n").entries()) {
    const name = NAMED.exec(line)?.[1];
    if (name === undefined || name in variables) continue;
    throw new UsageError(
      `line ${at + 1} of .env names ${name} but does not set it`,
      `Write it as ${name}=VALUE, with nothing before the name.`,
    );
  }
  return variables;
}

/** What the names of our variables begin with, such as OPENAI. */
const PREFIXES = ["DATAGEN", "HF", ...KEY_VARIABLES.map((name) => name.slice(0, name.indexOf("_")))];

/** A line that sets one of datagen's variables in the syntax of another program. */
const NAMED = new RegExp(
  String.raw`^\s*(?:export\s+|setx?\s+|setenv\s+|\$env:|-\s*)?["']?((?:${PREFIXES.join("|")})_[A-Z_]+)\b`,
);

/** Null if there is no such file, or if it is a folder: Python environments may be called `.env`, too. */
function readSmallFile(path: string): Buffer | null {
  let file: number | undefined;
  try {
    // Opening a pipe would block.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const kind = fstatSync(file);
    if (kind.isDirectory()) return null;
    if (!kind.isFile()) throw new UsageError(`${path} is not a regular file`, "Make it a file with NAME=VALUE lines.");
    const bytes = Buffer.alloc(LARGEST_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length <= LARGEST_BYTES) return bytes.subarray(0, length);
    throw new UsageError(`${path} is larger than 1 MB`, "Keep only NAME=VALUE lines in it.");
  } catch (error) {
    const code = errorCode(error);
    if (error instanceof UsageError) throw error;
    // Windows fails to open a folder.
    if (code === "ENOENT" || code === "EISDIR") return null;
    throw new UsageError(
      `${path} cannot be read (${code ?? String(error)})`,
      "Check its permissions, or remove it.",
      error,
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
