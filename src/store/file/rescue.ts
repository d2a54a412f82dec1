import { mkdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { DatabaseTakenError, errorMessage } from "../../errors.ts";
import { copyTo } from "./backup.ts";
import type { FileMark, Store } from "./store.ts";
import { putInPlace, removeTemporary, temporaryFolder } from "./temporary.ts";

/** Identifies the file at a path; null if there is none. */
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
    // A parent folder may be missing or closed to this user.
    return false;
  }
}

/** Identifies the write-ahead log of a database; null if there is none. */
export const walMarkOf = (path: string): FileMark | null => markOf(`${path}-wal`);

function isSameFile(one: FileMark | null, other: FileMark | null): boolean {
  return one !== null && other !== null && one.device === other.device && one.inode === other.inode;
}

/**
 * If the database is no longer at its path, writes its content to a new file: the open file may have lost its name, and
 * would disappear with this process.
 * @throws DatabaseTakenError in that case
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

/** Removes the log, because SQLite would write it into whatever file is at the database's path at the next open. */
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
