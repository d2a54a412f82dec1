import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import Database from "better-sqlite3";
import { DatagenError, errorCode, errorMessage, UsageError } from "../../errors.ts";
import { fileSystemOf, isNetwork } from "./network.ts";
import { expandHome, realPath } from "./paths.ts";
import { openPrivateCopy } from "./private-copy.ts";
import { createPrivately } from "./private-file.ts";
import { markOf, walMarkOf } from "./rescue.ts";
import { diskError, isDiskError } from "./space.ts";
import { Store } from "./store.ts";
import { removeLeftovers } from "./temporary.ts";
import { ageOf, bringUpToDate, createInMemory } from "./upgrade.ts";

/** A checkpoint writes the pages of the WAL into the file when they take this many bytes. */
const CHECKPOINT_BYTES = 16 * 1024 * 1024;

/** A WAL that has grown during a long read is cut to this size afterwards. */
const MOST_WAL_BYTES = 2 * CHECKPOINT_BYTES;

/** Long, because people browse or copy a database while a run is executed. */
const BUSY_TIMEOUT_MS = 60_000;

/**
 * Opens a database to write to it. A database of an older version is upgraded, after a backup.
 * @param path may be a link; a leading `~` is the user's home
 * @param missing what to do if there is no file: with `pretend`, the store is an empty one in memory
 * @throws UsageError when it cannot be opened or written, is not one of ours, or comes from a newer version
 * @throws StoppedError when the disk is full or fails
 */
export function openStore(path: string, missing: "create" | "refuse" | "pretend" = "create"): Store {
  return opened(path, "written", (real) => {
    if (missing === "refuse" && !isThere(real)) throw noDatabase(real);
    if (missing === "pretend" && !isThere(real)) return new Store(real, createInMemory());
    mkdirSync(dirname(real), { recursive: true });
    checkFileSystem(real);
    checkWritable(real);
    removeLeftovers(dirname(real));
    createPrivately(real);
    return withFile(real, (sqlite) => {
      if (ageOf(sqlite, real) !== "current") bringUpToDate(sqlite, real);
      // A copy made by `VACUUM INTO`, such as a backup, is not in WAL mode.
      const mode = sqlite.pragma("journal_mode = WAL", { simple: true });
      if (mode !== "wal") throw withoutWal(real);
      // Temporary tables and the copy that VACUUM makes stay in files (SQLite's default), because they may be as large as
      // the database.
      const pages = Math.floor(CHECKPOINT_BYTES / Number(sqlite.pragma("page_size", { simple: true })));
      sqlite.exec(`pragma synchronous = NORMAL; pragma wal_autocheckpoint = ${pages};
        pragma journal_size_limit = ${MOST_WAL_BYTES}`);
    });
  });
}

/**
 * Opens a database to read it. Nothing is created or changed, except that a database of an older version is upgraded, after
 * a backup.
 * @param path as in {@link openStore}
 * @returns null if there is no database
 * @throws UsageError as {@link openStore} does, and when an older database cannot be upgraded because it is read-only
 */
export function openToRead(path: string): Store | null {
  return opened(path, "read", (real) => {
    if (!isThere(real)) return null;
    checkFileSystem(real);
    const store = isWritable(real) ? withFile(real, () => {}) : withoutRights(real);
    try {
      const age = ageOf(store.sqlite, real);
      if (age === "older" && !isWritable(real)) throw tooOld(real);
      if (age === "older") bringUpToDate(store.sqlite, real);
      if (age !== "empty") return store;
      store.close();
      return null;
    } catch (error) {
      store.close();
      throw error;
    }
  });
}

/** An empty store in memory, for commands that read when there is no database. */
export function emptyStore(path: string): Store {
  return opened(path, "read", (real) => new Store(real, createInMemory()));
}

/** The error for a missing database. */
export function noDatabase(path: string): UsageError {
  return new UsageError(
    `there is no database ${path}`,
    "Name another one with --db, or in DATAGEN_DB; `datagen run CONFIG` creates one.",
  );
}

/** @param wanted what the caller wants to do, for errors */
function opened<T extends Store | null>(path: string, wanted: "read" | "written", open: (real: string) => T): T {
  checkNode();
  const absolute = resolve(expandHome(path));
  try {
    const store = open(realPath(absolute));
    store?.sqlite.exec("pragma foreign_keys = ON; pragma cache_size = -12000");
    return store;
  } catch (error) {
    throw asOpenError(error, absolute, wanted);
  }
}

function withFile(path: string, prepare: (sqlite: Database.Database) => void, options: Database.Options = {}): Store {
  const sqlite = new Database(path, { timeout: BUSY_TIMEOUT_MS, ...options });
  try {
    prepare(sqlite);
    return new Store(path, sqlite, markOf(path), walMarkOf(path));
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/** Opens a database whose file or folder this user cannot write. */
function withoutRights(path: string): Store {
  // While another user writes to it, the files that SQLite needs exist. Otherwise SQLite would have to create them.
  if (existsSync(`${path}-wal`) && existsSync(`${path}-shm`)) {
    try {
      return withFile(path, (sqlite) => sqlite.pragma("schema_version"), { readonly: true });
    } catch (error) {
      if (!/^SQLITE_(READONLY|CANTOPEN)/.test(errorCode(error) ?? "")) throw error;
    }
  }
  return new Store(path, openPrivateCopy(path));
}

function isThere(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  // An empty file is a database without any tables yet.
  return file !== undefined && !(file.isFile() && file.size === 0);
}

function isWritable(path: string): boolean {
  try {
    checkWritable(path);
    return true;
  } catch {
    return false;
  }
}

function checkWritable(path: string): void {
  accessSync(dirname(path), constants.W_OK | constants.X_OK);
  // SQLite itself would open it read-only, and fail only at the first write.
  if (existsSync(path)) accessSync(path, constants.W_OK);
}

// On an older Node the native code of better-sqlite3 crashes. The bin checks this too, before it loads this module.
function checkNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 19)) return;
  throw new UsageError(`datagen needs Node 22.19 or newer, and this is Node ${process.versions.node}`);
}

function checkFileSystem(path: string): void {
  if (!isNetwork(fileSystemOf(dirname(path)))) return;
  throw new UsageError(
    `${path} is on a network file system, where a SQLite database is not safe`,
    "Name a file on a disk of this machine with --db, or in DATAGEN_DB.",
  );
}

function withoutWal(path: string): UsageError {
  return new UsageError(
    `the file system of ${path} does not support a SQLite database in WAL mode`,
    "Name a file on another disk with --db, or in DATAGEN_DB.",
  );
}

function tooOld(path: string): UsageError {
  return new UsageError(
    `${path} was written by an older datagen, and cannot be upgraded because it cannot be written`,
    "Let a user who may write it run `datagen db check` on it, or copy it and name the copy with --db.",
  );
}

function asOpenError(error: unknown, path: string, wanted: "read" | "written"): unknown {
  const code = errorCode(error) ?? "";
  if (error instanceof DatagenError) return error;
  const hints: [RegExp, string, string][] = [
    [/^SQLITE_NOTADB/, "is not a SQLite database", "Name another file with --db, or in DATAGEN_DB."],
    [/^SQLITE_CORRUPT/, "is damaged", "Restore a copy of it, or name another file with --db."],
    [
      /^(SQLITE_READONLY|EROFS|EACCES|EPERM)/,
      `cannot be ${wanted}`,
      "Check the permissions of the file and of its folder.",
    ],
    [
      /^(SQLITE_CANTOPEN|ENOTDIR|EEXIST|EISDIR|ELOOP|ENAMETOOLONG|ENOENT)/,
      "cannot be opened",
      "Is it a file in a folder that can be written?",
    ],
    [/^SQLITE_BUSY/, "is locked by another process", "Try again once that process is done."],
  ];
  const known = hints.find(([pattern]) => pattern.test(code));
  if (!known) return isDiskError(error) ? diskError({ path }, error) : error;
  const message = errorMessage(error);
  // Messages of Node begin with the code, those of SQLite do not have it.
  const reason = message.startsWith(`${code}:`) ? message : `${code}: ${message}`;
  return new UsageError(`the database ${path} ${known[1]} (${reason})`, known[2], error);
}
