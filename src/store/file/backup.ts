import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { errorCode, StoppedError } from "../../errors.ts";
import { putInPlace, removeTemporary, temporaryPath } from "./temporary.ts";
import { diskError, isDiskError } from "./space.ts";
import type { Store } from "./store.ts";

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
    throw asCopyError(error, sqlite, path);
  }
}

/** How many pages to copy before signals and timers get a turn. */
const PAGES_A_TURN = 4_096;

/**
 * Copies a database, as it is at this moment, to a new file, with SQLite's own backup. Other processes may write to the
 * database meanwhile. The copy appears only when it is complete, and only this user can read it.
 * @param path the new file, without links
 * @param signal ends the copying; nothing is left of it
 * @returns false if there is a file at the path by now
 * @throws StoppedError when the disk is full or fails
 */
export async function copyWhole({ sqlite }: Store, path: string, signal?: AbortSignal): Promise<boolean> {
  const folder = temporaryPath(dirname(path));
  const copy = join(folder, "copy.db");
  try {
    mkdirSync(folder, { mode: 0o700 });
    closeSync(openSync(copy, "wx", 0o600));
    // A backup begins again whenever another process commits, unless its connection holds a snapshot.
    sqlite.exec("begin");
    try {
      sqlite.pragma("schema_version");
      await sqlite.backup(copy, {
        progress() {
          signal?.throwIfAborted();
          return PAGES_A_TURN;
        },
      });
    } finally {
      if (sqlite.inTransaction) sqlite.exec("commit");
    }
    inOneFile(copy);
    flush(copy);
    if (!isWhole(copy)) throw new StoppedError(`the copy ${path} could not be read back`, "Check the disk.");
    signal?.throwIfAborted();
    if (!putInPlace(copy, path)) return false;
    flush(dirname(path));
    return true;
  } catch (error) {
    throw asCopyError(error, sqlite, path);
  } finally {
    removeTemporary(folder);
  }
}

/** Ends the WAL mode of a database, so that it needs no other file beside it. */
function inOneFile(path: string): void {
  const copy = new Database(path);
  try {
    copy.pragma("journal_mode = DELETE");
  } finally {
    copy.close();
  }
}

/** @param path the path of the copy, or a path beside it */
function asCopyError(error: unknown, sqlite: Database.Database, path: string): unknown {
  if (!isDiskError(error)) return error;
  const { message } = diskError({ path }, error);
  const megabytes = Math.ceil(sizeOf(sqlite) / 1024 / 1024);
  const hint = message.endsWith("is full")
    ? `A copy needs ${megabytes} MB. Make room, then try again.`
    : "Check the disk.";
  return new StoppedError(message, hint, error);
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
