import { closeSync, existsSync, fsyncSync, openSync, readSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { errorCode, StoppedError } from "../../errors.ts";
import { removeTemporary, temporaryPath } from "./temporary.ts";
import { diskError, isDiskError } from "./space.ts";

/**
 * Copies a database to `PATH.vVERSION.backup` beside it. The backup appears only when it is complete. If there is an earlier
 * complete backup, that stays, and the new one is `PATH.vVERSION.2.backup`.
 * @throws StoppedError when the disk is full or fails
 */
export function backUp(sqlite: Database.Database, path: string, version: number): void {
  const copy = copyTo(sqlite, path);
  try {
    for (let number = 1; ; number += 1) {
      const backup = `${path}.v${version}${number === 1 ? "" : `.${number}`}.backup`;
      if (existsSync(backup)) {
        // An identical backup exists, as after a kill between backup and migration.
        if (isSame(backup, copy)) return;
        if (isWhole(backup)) continue;
        rmSync(`${backup}-journal`, { force: true });
      }
      renameSync(copy, backup);
      flush(dirname(path));
      return;
    }
  } finally {
    removeTemporary(copy);
  }
}

/** Copies a database to a temporary path beside a path. @throws StoppedError when the disk is full or fails */
export function copyTo(sqlite: Database.Database, path: string): string {
  const copy = temporaryPath(dirname(path));
  try {
    closeSync(openSync(copy, "wx", 0o600));
    sqlite.prepare("vacuum into ?").run(copy);
    flush(copy);
    if (!isWhole(copy)) throw new StoppedError(`the copy of ${path} could not be read back`, "Check the disk.");
    return copy;
  } catch (error) {
    removeTemporary(copy);
    rmSync(`${copy}-journal`, { force: true });
    if (!isDiskError(error)) throw error;
    const { message } = diskError({ path }, error);
    const megabytes = Math.ceil(sizeOf(sqlite) / 1024 / 1024);
    const hint = message.endsWith("is full")
      ? `A copy of it needs ${megabytes} MB. Make room, then try again.`
      : "Check the disk.";
    throw new StoppedError(message, hint, error);
  }
}

function sizeOf(sqlite: Database.Database): number {
  const read = (name: string) => sqlite.pragma(name, { simple: true }) as number;
  return read("page_count") * read("page_size");
}

/** Whether a file is a complete database. */
function isWhole(path: string): boolean {
  if (existsSync(`${path}-journal`) || statSync(path).size === 0) return false;
  let copy: Database.Database | undefined;
  try {
    copy = new Database(path, { readonly: true, fileMustExist: true });
    return copy.pragma("quick_check(1)", { simple: true }) === "ok";
  } catch {
    return false;
  } finally {
    copy?.close();
  }
}

function isSame(one: string, other: string): boolean {
  if (statSync(one).size !== statSync(other).size) return false;
  const files = [openSync(one, "r"), openSync(other, "r")] as const;
  const pieces = [Buffer.alloc(1 << 20), Buffer.alloc(1 << 20)] as const;
  try {
    for (;;) {
      const read = files.map((file, at) => readSync(file, pieces[at]!));
      if (!pieces[0].subarray(0, read[0]).equals(pieces[1].subarray(0, read[1]))) return false;
      if (read[0] === 0) return true;
    }
  } finally {
    files.forEach(closeSync);
  }
}

/** Waits until a file, or the list of names in a folder, is on the disk. */
function flush(path: string): void {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    fsyncSync(file);
  } catch (error) {
    // Not every system can flush folders.
    if (isDiskError(error) && errorCode(error) !== "EROFS") throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
