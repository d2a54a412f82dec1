import { mkdirSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { DatabaseTakenError, errorMessage } from "../errors.ts";
import { copyTo } from "./backup.ts";
import type { FileMark, Store } from "./open.ts";
import { putInPlace, removeTemporary, temporaryFolder } from "./temporary.ts";

/** What a path leads to; null where there is nothing. */
export function markOf(path: string): FileMark | null {
  const file = statSync(path, { bigint: true, throwIfNoEntry: false });
  return file ? { device: file.dev, inode: file.ino } : null;
}

/** Whether the path of a store still leads to the file that is open. */
export function isInPlace({ path, file }: Store): boolean {
  if (file === null) return true;
  try {
    const now = markOf(path);
    return now !== null && now.device === file.device && now.inode === file.inode;
  } catch {
    // A folder above it may be gone, or closed to this user.
    return false;
  }
}

/**
 * Where the database is not in its place any more: writes what is in it to a new file, as the open file may have no
 * name and would be gone with this process.
 * @throws DatabaseTakenError then
 */
export function rescueIfTaken(store: Store): void {
  if (isInPlace(store)) return;
  let reason: unknown;
  for (const folder of [dirname(store.path), temporaryFolder()]) {
    try {
      mkdirSync(folder, { recursive: true });
      throw new DatabaseTakenError(store.path, rescueInto(store, folder), null);
    } catch (error) {
      if (error instanceof DatabaseTakenError) throw error;
      reason ??= error;
    }
  }
  throw new DatabaseTakenError(store.path, null, errorMessage(reason));
}

function rescueInto({ sqlite, path }: Store, folder: string): string {
  const ending = extname(path);
  const stem = join(folder, basename(path, ending));
  const copy = copyTo(sqlite, join(folder, basename(path)));
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  try {
    for (let number = 1; ; number += 1) {
      const rescued = `${stem}.rescued-${time}${number === 1 ? "" : `-${number}`}${ending}`;
      if (putInPlace(copy, rescued)) return rescued;
    }
  } finally {
    removeTemporary(copy);
  }
}
