import { readlinkSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { errorCode } from "../../errors.ts";

/** A path with the user's home instead of a leading `~`, as in a shell. */
export function expandHome(path: string): string {
  return path.replace(/^~(?=$|[/\\])/, () => homedir());
}

/**
 * The absolute path, without links, of a file that exists or may be created. A link to a missing file is replaced by its
 * target.
 * @throws an error of the file system, such as ELOOP
 */
export function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  const parent = dirname(absolute);
  if (parent === absolute) return absolute;
  const folder = realPath(parent);
  const target = linkTarget(absolute);
  return target === undefined ? join(folder, basename(absolute)) : realPath(resolve(folder, target));
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
