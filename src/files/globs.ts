import { globSync, statSync } from "node:fs";
import { UsageError } from "../errors.ts";

/** A pattern that matches more files is probably a mistake. */
const MOST_FILES = 100_000;

/** Whether a path has a sign of patterns: `*`, `?`, `[` or `{`. */
function isGlob(path: string): boolean {
  return /[*?[{]/.test(path);
}

/**
 * The files that a path names: itself or, if there is no such file and it has a sign of patterns, those that it matches, in
 * the order of their bytes.
 * @throws UsageError when they are too many
 */
export function filesAt(path: string): string[] {
  if (!isGlob(path) || exists(path)) return [path];
  const found = globSync(path, { withFileTypes: false }).filter(isFile);
  if (found.length > MOST_FILES) throw new UsageError(`${path} matches more than ${MOST_FILES} files`);
  const bytes = found.map((name) => Buffer.from(name));
  return bytes.toSorted((one, other) => one.compare(other)).map(String);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    // A part of the path is not a folder, for example. Reading it says so.
    return !isGlob(path);
  }
}
