import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { UsageError } from "../../errors.ts";
import { backUp } from "./backup.ts";
import { createPrivately } from "./private-file.ts";

/** "dtgn": tells our databases from those of other programs. */
const APPLICATION_ID = 0x6474676e;

/**
 * A commit writes whole pages to the WAL, and while anybody reads, the WAL only grows: small pages keep it small. An
 * answer that is longer than a page fills pages of its own to the last byte, so that little stays empty.
 */
const PAGE_SIZE = 1_024;

/** How a database stands to this version: it has nothing yet, is of an older version, or of this one. */
export type Age = "empty" | "older" | "current";

/** @throws UsageError when it is another program's, or of a newer version */
export function ageOf(sqlite: Database.Database, path: string): Age {
  // At one moment, as another process may be creating it.
  const [found, owner, isEmpty] = sqlite.transaction(
    () =>
      [
        sqlite.pragma("user_version", { simple: true }) as number,
        sqlite.pragma("application_id", { simple: true }) as number,
        sqlite.prepare("select count(*) from sqlite_schema").pluck().get() === 0,
      ] as const,
  )();
  if (isEmpty && (owner === 0 || owner === APPLICATION_ID)) return "empty";
  if (owner !== APPLICATION_ID) {
    throw new UsageError(`${path} is a database of another program`, "Name another file with --db, or in DATAGEN_DB.");
  }
  const version = readMigrations().length;
  if (found > version) {
    throw new UsageError(
      `${path} was written by a newer datagen (its schema is version ${found}, this one knows ${version})`,
      "Update datagen, or name another file with --db.",
    );
  }
  return found === version ? "current" : "older";
}

/**
 * Makes the tables of a database, or brings an older one up to date after a backup. SQLite's own locks do not cover the
 * way to WAL and the first tables as one step; a file of its own does. It stays, as others may be waiting for it.
 */
export function bringUpToDate(sqlite: Database.Database, path: string): void {
  createPrivately(`${path}-lock`);
  const lock = new Database(`${path}-lock`, { timeout: 60_000 });
  try {
    lock.exec("begin exclusive");
    const age = ageOf(sqlite, path);
    if (age === "current") return;
    if (age === "empty") {
      sqlite.pragma(`page_size = ${PAGE_SIZE}`);
      sqlite.pragma("journal_mode = WAL");
      // Before the first table, by which others would take the file for one of another program.
      sqlite.pragma(`application_id = ${APPLICATION_ID}`);
    } else {
      backUp(sqlite, path, sqlite.pragma("user_version", { simple: true }) as number);
    }
    migrate(sqlite, path);
  } finally {
    lock.close();
  }
}

/** An empty database in memory. */
export function createInMemory(): Database.Database {
  const sqlite = new Database(":memory:");
  migrate(sqlite, ":memory:");
  return sqlite;
}

/** Applies the migrations that a database does not have, all or none. */
function migrate(sqlite: Database.Database, path: string): void {
  const migrations = readMigrations();
  // A migration that rebuilds a table must not see its references break on the way.
  sqlite.pragma("foreign_keys = OFF");
  sqlite
    .transaction(() => {
      // As drizzle-kit keeps it.
      sqlite.exec(
        "create table if not exists __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)",
      );
      const last = sqlite.prepare<[], number | null>("select max(created_at) from __drizzle_migrations").pluck().get();
      const add = sqlite.prepare("insert into __drizzle_migrations (hash, created_at) values (?, ?)");
      for (const { when, read } of migrations) {
        if (last !== null && last !== undefined && when <= last) continue;
        const text = read();
        sqlite.exec(text);
        add.run(createHash("sha256").update(text).digest("hex"), when);
      }
      const broken = sqlite.pragma("foreign_key_check") as unknown[];
      if (broken.length > 0) throw new Error(`the migration of ${path} left ${broken.length} broken references`);
      sqlite.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

interface Migration {
  /** When it was made; a later one has a larger number. */
  when: number;
  /** Its statements. What parts them is a comment in SQL. */
  read: () => string;
}

// The depth of this file differs between the sources and the bundle.
function readMigrations(): Migration[] {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  folder = join(folder, "migrations");
  const { entries } = JSON.parse(readFileSync(join(folder, "meta", "_journal.json"), "utf8")) as {
    entries: { when: number; tag: string }[];
  };
  return entries.map(({ when, tag }) => ({ when, read: () => readFileSync(join(folder, `${tag}.sql`), "utf8") }));
}
