import { createHash } from "node:crypto";
import { createReadStream, lstatSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCode, errorMessage, UsageError } from "../errors.ts";

const OTHER_FOLDER = "Move it away, or choose another folder with --output.";

/**
 * Makes the folders of files in a folder. Below it, nothing follows a link: a link could lead anywhere.
 * @throws UsageError when something else stands where a file or a folder belongs
 */
export function makeFolders(root: string, paths: readonly string[]): void {
  makeFolder(root);
  const made = new Set<string>();
  for (const path of paths) {
    const segments = path.split("/");
    for (let depth = 1; depth <= segments.length; depth += 1) {
      const part = join(root, ...segments.slice(0, depth));
      if (made.has(part)) continue;
      made.add(part);
      const found = lstatSync(part, { throwIfNoEntry: false });
      const isFile = depth === segments.length;
      if (found && !(isFile ? found.isFile() : found.isDirectory())) {
        throw new UsageError(`${part} is not a ${isFile ? "regular file" : "folder"}`, OTHER_FOLDER);
      }
      if (!isFile && !found) makeFolder(part);
    }
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    if (/^(?:ENOSPC|EDQUOT|EIO)$/.test(errorCode(error) ?? "")) throw error;
    throw new UsageError(
      `the folder ${path} cannot be made (${errorCode(error) ?? errorMessage(error)})`,
      `Check the permissions of ${dirname(path)}, or choose another folder with --output.`,
      error,
    );
  }
}

/** The size and the SHA-256 of a file; null if there is none. */
export async function fileOnDisk(path: string, signal: AbortSignal): Promise<{ size: number; sha256: string } | null> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return null;
  const hash = createHash("sha256");
  let size = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20, signal })) {
    hash.update(piece as Buffer);
    size += (piece as Buffer).length;
  }
  return { size, sha256: hash.digest("hex") };
}
