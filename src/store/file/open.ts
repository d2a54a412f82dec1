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

/** Pages are taken from the WAL into the file once they take so many bytes. */
const CHECKPOINT_BYTES = 16 * 1024 * 1024;

/** What a WAL that has grown beside a long reader is cut to once that is done. */
const MOST_WAL_BYTES = 2 * CHECKPOINT_BYTES;

/** People browse a database, or copy it, while a run is executed. */
const BUSY_TIMEOUT_MS = 60_000;

/**
 * Opens a database to write to it. One of an older version is brought up to date, after a backup.
 * @param path may be a link; a leading `~` is the user's home
 * @param missing what to do where there is no file: make one, or refuse
 * @throws UsageError when it cannot be opened or written, is not one of ours, or comes from a newer version
 * @throws StoppedError when the disk is full or fails
 */
export function openStore(path: string, missing: "create" | "refuse" = "create"): Store {
  return opened(path, "written", (real) => {
    if (missing === "refuse" && !isThere(real)) throw noDatabase(real);
    mkdirSync(dirname(real), { recursive: true });
    checkFileSystem(real);
    checkWritable(real);
    removeLeftovers(dirname(real));
    createPrivately(real);
    return withFile(real, (sqlite) => {
      if (ageOf(sqlite, real) !== "current") bringUpToDate(sqlite, real);
      // A copy that `VACUUM INTO` made, as backups are, is not in WAL mode.
      const mode = sqlite.pragma("journal_mode = WAL", { simple: true });
      if (mode !== "wal") throw withoutWal(real);
      // Temporary tables, and the copy that VACUUM makes, stay in files, as they are in SQLite: they may be as large as
      // the database.
      const pages = Math.floor(CHECKPOINT_BYTES / Number(sqlite.pragma("page_size", { simple: true })));
      sqlite.exec(`pragma synchronous = NORMAL; pragma wal_autocheckpoint = ${pages};
        pragma journal_size_limit = ${MOST_WAL_BYTES}`);
    });
  });
}

/**
 * Opens a database to read it: nothing is made and nothing of it is changed, but for one of an older version, which is
 * brought up to date after a backup.
 * @param path as {@link openStore} takes it
 * @returns null where there is none
 * @throws UsageError as {@link openStore} does, and when an older one cannot be written
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

/** A store with nothing in it, in memory, for what is read where there is no database. */
export function emptyStore(path: string): Store {
  return opened(path, "read", (real) => new Store(real, createInMemory()));
}

/** Says that there is no database. */
export function noDatabase(path: string): UsageError {
  return new UsageError(
    `there is no database ${path}`,
    "Name another one with --db, or in DATAGEN_DB; `datagen run CONFIG` makes one.",
  );
}

/** @param wanted what errors say cannot be done with it */
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

/** A database of which this user cannot write the file or its folder. */
function withoutRights(path: string): Store {
  // While another user writes to it, the files that SQLite needs are there. It would make them otherwise.
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
  // An empty file is a database that nobody has written to yet.
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
  // SQLite itself would open it for reading only, and say so at the first write.
  if (existsSync(path)) accessSync(path, constants.W_OK);
}

// On an older Node the native code of better-sqlite3 crashes; the bin checks before this is loaded.
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
    `the file system of ${path} does not take a SQLite database in WAL mode`,
    "Name a file on another disk with --db, or in DATAGEN_DB.",
  );
}

function tooOld(path: string): UsageError {
  return new UsageError(
    `${path} was written by an older datagen, and cannot be brought up to date here as it cannot be written`,
    "Let a user who may write it run `datagen db check` on it, or copy it and name the copy with --db.",
  );
}

function asOpenError(error: unknown, path: string, wanted: "read" | "written"): unknown {
  const code = errorCode(error) ?? "";
  if (error instanceof DatagenError) return error;
  const hints: [RegExp, string, string][] = [
    [/^SQLITE_NOTADB/, "is not a SQLite database", "Name another file with --db, or in DATAGEN_DB."],
    [/^SQLITE_CORRUPT/, "is damaged", "Restore a copy of it, or name another file with --db."],
    [/^(SQLITE_READONLY|EROFS|EACCES|EPERM)/, `cannot be ${wanted}`, "Check the rights of the file and of its folder."],
    [
      /^(SQLITE_CANTOPEN|ENOTDIR|EEXIST|EISDIR|ELOOP|ENAMETOOLONG|ENOENT)/,
      "cannot be opened",
      "Is it a file in a folder that can be written?",
    ],
    [/^SQLITE_BUSY/, "is locked by another process", "Try again once that process is done."],
  ];
  const known = hints.find(([pattern]) => pattern.test(code));
  if (!known) return isDiskError(error) ? diskError({ path }, error) : error;
  return new UsageError(`the database ${path} ${known[1]} (${code}: ${errorMessage(error)})`, known[2], error);
}
