import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { type Placeholder, sql } from "drizzle-orm";
import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3";
import { migrate } from "drizzle-orm/better-sqlite3/migrator";
import { errorCode, errorMessage, UsageError } from "../errors.ts";
import { diskFull, giveUpReserve, isDiskFull, isOnNetwork } from "./space.ts";

/** "dtgn": tells our databases from those of other programs. */
const APPLICATION_ID = 0x6474676e;

/** Answers of some kilobytes fill pages of this size well; in pages of 4 kB nearly half would stay empty. */
const PAGE_SIZE = 32_768;

const BUSY_TIMEOUT_MS = 15_000;

/** An open database. */
export class Store {
  /** Its absolute path. */
  readonly path: string;
  /** @internal */
  readonly sqlite: Database.Database;
  /** @internal */
  readonly db: BetterSQLite3Database;

  /** @internal */
  constructor(path: string, sqlite: Database.Database) {
    this.path = path;
    this.sqlite = sqlite;
    this.db = drizzle(sqlite);
  }

  close(): void {
    this.sqlite.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a database, and creates it or brings it up to date where that is needed.
 * @throws UsageError when it cannot be opened, is not one of ours, or comes from a newer version
 */
export function openStore(path: string): Store {
  checkNode();
  const absolute = resolve(path);
  let sqlite: Database.Database | undefined;
  try {
    mkdirSync(dirname(absolute), { recursive: true });
    if (isOnNetwork(dirname(absolute))) throw onNetwork(absolute);
    createPrivately(absolute);
    sqlite = new Database(absolute, { timeout: BUSY_TIMEOUT_MS });
    const migrations = findMigrations();
    if (!isUpToDate(sqlite, absolute, migrations.count)) bringUpToDate(sqlite, absolute, migrations);
    // A copy that `VACUUM INTO` made, as backups are, is not in WAL mode. A checkpoint after 16 MB of pages. What an update
    // may have to undo is kept in a file otherwise, which is made and removed for every answer.
    sqlite.exec(`pragma journal_mode = WAL; pragma synchronous = NORMAL; pragma wal_autocheckpoint = 512;
      pragma temp_store = MEMORY; pragma foreign_keys = ON; pragma cache_size = -12000`);
    return new Store(absolute, sqlite);
  } catch (error) {
    sqlite?.close();
    throw asOpenError(error, absolute);
  }
}

// On an older Node the native code of better-sqlite3 crashes; the bin checks before this is loaded.
function checkNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 19)) return;
  throw new UsageError(`datagen needs Node 22.19 or newer, and this is Node ${process.versions.node}`);
}

/**
 * The value of `build` for a store, made once: for statements that are prepared where they are first used.
 * @internal
 */
export function oncePerStore<T>(build: (store: Store) => T): (store: Store) => T {
  const built = new WeakMap<Store, T>();
  return (store) => {
    const known = built.get(store);
    if (known !== undefined) return known;
    const value = build(store);
    built.set(store, value);
    return value;
  };
}

/**
 * A placeholder for each name, for the values of a prepared statement.
 * @internal
 */
export function placeholders<Name extends string>(...names: Name[]): Record<Name, Placeholder<Name>> {
  return Object.fromEntries(names.map((name) => [name, sql.placeholder(name)])) as Record<Name, Placeholder<Name>>;
}

/**
 * Runs `body` as one transaction that takes the write lock at its start.
 * @throws StoppedError when the disk is full; what the transaction did is undone
 * @internal
 */
export function inTransaction<T>(store: Store, body: () => T): T {
  try {
    return store.sqlite.transaction(body).immediate();
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    if (!giveUpReserve(store)) throw diskFull(store, error);
    return inTransaction(store, body);
  }
}

/**
 * Whether an error says that another process kept the database locked for too long.
 * @internal
 */
export function isLocked(error: unknown): boolean {
  return errorCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}

/**
 * What `body` yields, while it sees the database as it stood at one moment. The store must not be written to until then.
 * @internal
 */
export function* atOneMoment<T>({ sqlite }: Store, body: () => Iterable<T>): Generator<T> {
  sqlite.exec("begin");
  try {
    yield* body();
  } finally {
    sqlite.exec("commit");
  }
}

interface Migrations {
  folder: string;
  /** How many there are: the version of the schema. */
  count: number;
}

// The depth of this file differs between the sources and the bundle.
function findMigrations(): Migrations {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  const journal = readFileSync(join(folder, "migrations", "meta", "_journal.json"), "utf8");
  const { entries } = JSON.parse(journal) as { entries: unknown[] };
  return { folder: join(folder, "migrations"), count: entries.length };
}

function isUpToDate(sqlite: Database.Database, path: string, version: number): boolean {
  // At one moment, as another process may be creating it.
  const [found, owner, isEmpty] = sqlite.transaction(
    () =>
      [
        sqlite.pragma("user_version", { simple: true }) as number,
        sqlite.pragma("application_id", { simple: true }) as number,
        sqlite.prepare("select count(*) from sqlite_schema").pluck().get() === 0,
      ] as const,
  )();
  if (owner !== APPLICATION_ID) {
    if (isEmpty) return false;
    throw new UsageError(`${path} is a database of another program`, "Name another file with --db, or in DATAGEN_DB.");
  }
  if (found > version) {
    throw new UsageError(
      `${path} was written by a newer datagen (its schema is version ${found}, this one knows ${version})`,
      "Update datagen, or name another file with --db.",
    );
  }
  return found === version;
}

// SQLite's own locks do not cover the way to WAL and the first tables as one step; a file of its own does. It stays, as
// others may be waiting for it.
function bringUpToDate(sqlite: Database.Database, path: string, { folder, count }: Migrations): void {
  createPrivately(`${path}-lock`);
  const lock = new Database(`${path}-lock`, { timeout: 60_000 });
  try {
    lock.exec("begin exclusive");
    if (isUpToDate(sqlite, path, count)) return;
    const version = sqlite.pragma("user_version", { simple: true }) as number;
    if (version === 0) {
      sqlite.pragma(`page_size = ${PAGE_SIZE}`);
      sqlite.pragma("journal_mode = WAL");
      // Before the first table, by which others would take the file for one of another program.
      sqlite.pragma(`application_id = ${APPLICATION_ID}`);
    } else {
      backUp(sqlite, path, version);
    }
    // A migration that rebuilds a table must not see its references break on the way.
    sqlite.pragma("foreign_keys = OFF");
    migrate(drizzle(sqlite), { migrationsFolder: folder });
    const broken = sqlite.pragma("foreign_key_check") as unknown[];
    if (broken.length > 0) throw new Error(`the migration of ${path} left ${broken.length} broken references`);
    sqlite.pragma(`user_version = ${count}`);
  } finally {
    lock.close();
  }
}

function backUp(sqlite: Database.Database, path: string, version: number): void {
  const backup = `${path}.v${version}.backup`;
  if (existsSync(backup)) return;
  createPrivately(backup);
  sqlite.prepare("vacuum into ?").run(backup);
}

/**
 * Makes an empty file that only the user reads and writes, as SQLite's files are everybody's to read otherwise. The
 * WAL and all else that SQLite puts beside a database have the rights of the database.
 */
function createPrivately(path: string): void {
  if (existsSync(path)) return;
  try {
    closeSync(openSync(path, "a", 0o600));
  } catch {
    // SQLite says why it cannot be made.
  }
}

function onNetwork(path: string): UsageError {
  return new UsageError(
    `${path} is on a network file system, where a SQLite database is not safe`,
    "Name a file on a disk of this machine with --db, or in DATAGEN_DB.",
  );
}

function asOpenError(error: unknown, path: string): unknown {
  const code = errorCode(error) ?? "";
  if (error instanceof UsageError) return error;
  if (isDiskFull(error)) return diskFull({ path }, error);
  const hints: [RegExp, string, string][] = [
    [/^SQLITE_NOTADB/, "is not a SQLite database", "Name another file with --db, or in DATAGEN_DB."],
    [/^SQLITE_CORRUPT/, "is damaged", "Restore a copy of it, or name another file with --db."],
    [/^(SQLITE_READONLY|EROFS|EACCES|EPERM)/, "cannot be written", "Check the rights of the file and of its folder."],
    [/^(SQLITE_CANTOPEN|ENOTDIR|EEXIST|EISDIR)/, "cannot be opened", "Is it a file in a folder that can be written?"],
    [/^SQLITE_BUSY/, "is locked by another process", "Try again once that process is done."],
  ];
  const known = hints.find(([pattern]) => pattern.test(code));
  if (!known) return error;
  return new UsageError(`the database ${path} ${known[1]} (${code}: ${errorMessage(error)})`, known[2], error);
}
