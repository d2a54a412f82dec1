import { appendFileSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { errorCode, errorMessage } from "../../errors.ts";
import type { Store } from "../../store/file/store.ts";

/**
 * A server that this user has named on this machine. The list of such servers is stored outside of databases and project
 * folders, because those may be somebody else's; see docs/security.md.
 */
export interface Binding {
  /** The variable whose key may go there, such as OPENAI_API_KEY. */
  variable: string;
  baseUrl: string;
}

/** Room for far more servers than anybody names. */
const LARGEST_BYTES = 4 * 1024 * 1024;

/** The servers that were bound in this process. They count even if the file cannot be written. */
const boundHere = new WeakMap<Store, Set<string>>();

/**
 * Remembers a server, for this process and in the user's state folder.
 * @returns why it could not be stored there; null if it is stored
 */
export function bindServer(store: Store, binding: Binding): string | null {
  if (isBound(store, binding)) return null;
  const line = lineOf(binding);
  const here = boundHere.get(store) ?? new Set();
  boundHere.set(store, here.add(line));
  const path = bindingsFile();
  if (path === null) return "there is no home folder";
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // A single write to the end of the file keeps the lines of concurrent processes apart. The line break in front ends a
    // line that a crash has cut off; that line is then not valid JSON, and is skipped.
    appendFileSync(path, `\n${line}\n`, { mode: 0o600 });
  } catch (error) {
    return `${path} cannot be written (${errorCode(error) ?? errorMessage(error)})`;
  }
  return isOurs(path) ? null : `${path} can be written by other users, or is somebody else's`;
}

export function isBound(store: Store, binding: Binding): boolean {
  const line = lineOf(binding);
  return boundHere.get(store)?.has(line) === true || readLines().includes(line);
}

function lineOf({ variable, baseUrl }: Binding): string {
  return JSON.stringify([variable, baseUrl]);
}

function readLines(): string[] {
  const path = bindingsFile();
  try {
    return path !== null && isOurs(path) ? readFileSync(path, "utf8").split("\n") : [];
  } catch {
    // A file that cannot be read binds no server.
    return [];
  }
}

/** Whether only this user can have written a file. */
function isOurs(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size > LARGEST_BYTES) return false;
  // Node reports no owners or modes on Windows, where the folder belongs to the user.
  const user = process.getuid?.();
  return user === undefined || (stat.uid === user && (stat.mode & 0o022) === 0);
}

/** Null if the user has no home folder. */
function bindingsFile(): string | null {
  const folder = stateFolder();
  return folder === null ? null : join(folder, "datagen", "servers.jsonl");
}

function stateFolder(): string | null {
  const { XDG_STATE_HOME: state = "", LOCALAPPDATA: local = "" } = process.env;
  // A relative path would depend on the current folder.
  if (isAbsolute(state)) return state;
  if (process.platform === "win32" && isAbsolute(local)) return local;
  let home: string;
  try {
    home = homedir();
  } catch {
    return null;
  }
  if (!isAbsolute(home)) return null;
  return process.platform === "darwin" ? join(home, "Library", "Application Support") : join(home, ".local", "state");
}
