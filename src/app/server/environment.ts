import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { parseEnv } from "node:util";
import { PROVIDERS } from "../../config/providers.ts";
import { errorCode, UsageError } from "../../errors.ts";

/** Variables by name: where API keys and base URLs come from. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where a variable can come from. The two are kept apart, as the `.env` of a folder may be somebody else's; see
 * docs/security.md.
 */
export interface Variables {
  /** What the user's shell exports, or what a caller of the library gives. */
  shell: Environment;
  /** The file `.env` of the current folder. */
  file: Environment;
}

/** @param given what a caller of the library gives in the place of the process's environment and `.env` */
export function readVariables(given?: Environment): Variables {
  return given ? { shell: given, file: {} } : { shell: process.env, file: readDotEnv() };
}

/** The value of a variable: that of the shell, else that of the file. */
export function valueOf({ shell, file }: Variables, name: string): string | undefined {
  return setValue(shell, name) ?? setValue(file, name);
}

/**
 * The value of a variable, without spaces and quotes around it: programs that read such files for others leave quotes
 * in. An empty value counts as none.
 */
export function setValue(environment: Environment, name: string): string | undefined {
  const value = environment[name]?.trim() ?? "";
  return value.replace(/^(["'])(.*)\1$/, "$2").trim() || undefined;
}

/** What a file of a few variables never reaches. */
const LARGEST_BYTES = 1024 * 1024;

function readDotEnv(): Environment {
  const bytes = readSmallFile(".env");
  if (bytes === null) return {};
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff) || bytes.includes(0)) {
    throw new UsageError(".env is not UTF-8 text", "It is UTF-16, it seems. Save it as UTF-8.");
  }
  // The decoder leaves a byte-order mark out.
  const text = new TextDecoder().decode(bytes);
  const variables = parseEnv(text);
  for (const [at, line] of text.split("\n").entries()) {
    const name = NAMED.exec(line)?.[1];
    if (name === undefined || name in variables) continue;
    throw new UsageError(
      `line ${at + 1} of .env names ${name} and does not set it`,
      `Write it as ${name}=VALUE, with nothing before the name.`,
    );
  }
  return variables;
}

/** What the names of variables of datagen and of its providers begin with. */
const PREFIXES = ["DATAGEN", ...PROVIDERS.map((name) => name.toUpperCase())].join("|");

/** A line that sets such a variable in the way of some other program. */
const NAMED = new RegExp(`^\\s*(?:export\\s+|setx?\\s+|setenv\\s+|\\$env:|-\\s*)?["']?((?:${PREFIXES})_[A-Z_]+)\\b`);

/** Null where there is no file, or a folder: Python's environments have that name too. */
function readSmallFile(path: string): Buffer | null {
  let file: number | undefined;
  try {
    // A pipe would keep whoever opens it waiting.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const kind = fstatSync(file);
    if (kind.isDirectory()) return null;
    if (!kind.isFile()) throw new UsageError(`${path} is no regular file`, "Make it a file with NAME=VALUE lines.");
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
    // Windows opens no folder.
    if (code === "ENOENT" || code === "EISDIR") return null;
    throw new UsageError(`${path} cannot be read (${code ?? String(error)})`, "Check its rights, or remove it.", error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
