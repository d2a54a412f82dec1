import type Database from "better-sqlite3";
import { type Placeholder, sql } from "drizzle-orm";
import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3";

/** What tells a file from all others, whatever its name. */
export interface FileMark {
  device: bigint;
  inode: bigint;
}

/** An open database. */
export class Store {
  /** Its absolute path, without links. */
  readonly path: string;
  /** @internal */
  readonly sqlite: Database.Database;
  /** @internal */
  readonly db: BetterSQLite3Database;
  /** The file that was opened; null where it is a copy or in memory. @internal */
  readonly file: FileMark | null;
  /** Its write-ahead log, likewise. @internal */
  readonly wal: FileMark | null;

  /** @internal */
  constructor(path: string, sqlite: Database.Database, file: FileMark | null = null, wal: FileMark | null = null) {
    this.path = path;
    this.sqlite = sqlite;
    this.db = drizzle(sqlite);
    this.file = file;
    this.wal = wal;
  }

  close(): void {
    this.sqlite.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
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
