import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { UsageError } from "../../errors.ts";
import { withoutViews } from "../views.ts";
import { backUp } from "./backup.ts";
import { createPrivately } from "./private-file.ts";

/** "dtgn": marks datagen's databases. */
const APPLICATION_ID = 0x6474676e;

/**
 * A commit writes whole pages to the WAL, which only grows while anybody reads. Small pages keep it small. They waste
 * little space: an answer that is longer than a page fills its overflow pages to the last byte.
 */
const PAGE_SIZE = 1_024;

/** The version of a database, compared to this datagen; `empty` has no tables yet. */
export type Age = "empty" | "older" | "current";

/** @throws UsageError when it belongs to another program, or is of a newer version */
export function ageOf(sqlite: Database.Database, path: string): Age {
  // Read all at one moment, because another process may be creating it.
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
 * Creates the tables of a database, or upgrades an older one after a backup. SQLite's own locks cannot make the switch to
 * WAL mode and the first tables one step, so a separate lock file does. It is not removed, because others may wait for it.
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
      // Set before the first table: with a table but without the mark, it would look like another program's database.
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

/** Applies the missing migrations, all or none. */
function migrate(sqlite: Database.Database, path: string): void {
  const migrations = readMigrations();
  // While a migration rebuilds a table, references to it are broken for a moment.
  sqlite.pragma("foreign_keys = OFF");
  sqlite
    .transaction(() => {
      // This is drizzle-kit's own table.
      sqlite.exec(
        "create table if not exists __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)",
      );
      const last = sqlite.prepare<[], number | null>("select max(created_at) from __drizzle_migrations").pluck().get();
      const add = sqlite.prepare("insert into __drizzle_migrations (hash, created_at) values (?, ?)");
      withoutViews(sqlite, () => {
        for (const { when, read } of migrations) {
          if (last !== null && last !== undefined && when <= last) continue;
          const text = read();
          sqlite.exec(text);
          add.run(createHash("sha256").update(text).digest("hex"), when);
        }
      });
      const broken = sqlite.pragma("foreign_key_check") as unknown[];
      if (broken.length > 0) throw new Error(`the migration of ${path} left ${broken.length} broken references`);
      sqlite.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

interface Migration {
  /** When it was created; a later migration has a larger number. */
  when: number;
  /** Its statements, separated by SQL comments. */
  read: () => string;
}

// The path to the migrations differs between the sources and the bundle.
function readMigrations(): Migration[] {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  folder = join(folder, "migrations");
  const { entries } = JSON.parse(readFileSync(join(folder, "meta", "_journal.json"), "utf8")) as {
    entries: { when: number; tag: string }[];
  };
  return entries.map(({ when, tag }) => ({ when, read: () => readFileSync(join(folder, `${tag}.sql`), "utf8") }));
}
