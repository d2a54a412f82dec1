import { mkdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { DatabaseTakenError, errorMessage } from "../../errors.ts";
import { copyTo } from "./backup.ts";
import type { FileMark, Store } from "./store.ts";
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
    return isSameFile(markOf(path), file);
  } catch {
    // A folder above it may be gone, or closed to this user.
    return false;
  }
}

/** What the write-ahead log beside a database is; null where there is none. */
export const walMarkOf = (path: string): FileMark | null => markOf(`${path}-wal`);

function isSameFile(one: FileMark | null, other: FileMark | null): boolean {
  return one !== null && other !== null && one.device === other.device && one.inode === other.inode;
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
      const rescued = rescueInto(store, folder);
      removeWal(store);
      throw new DatabaseTakenError(store.path, rescued, null);
    } catch (error) {
      if (error instanceof DatabaseTakenError) throw error;
      reason ??= error;
    }
  }
  throw new DatabaseTakenError(store.path, null, errorMessage(reason));
}

/** SQLite would write what is in the log into whatever file stands beside it at the next open. */
function removeWal({ path, wal }: Store): void {
  if (!isSameFile(walMarkOf(path), wal)) return;
  for (const ending of ["-wal", "-shm"]) rmSync(path + ending, { force: true });
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
