import type Database from "better-sqlite3";
import { type Placeholder, sql } from "drizzle-orm";
import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3";

/** Identifies a file, independent of its name. */
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
  /** The file that was opened; null for a copy or a database in memory. @internal */
  readonly file: FileMark | null;
  /** Its write-ahead log; null in the same cases. @internal */
  readonly wal: FileMark | null;

  /** @internal */
  constructor(path: string, sqlite: Database.Database, file: FileMark | null = null, wal: FileMark | null = null) {
    this.path = path;
    this.sqlite = sqlite;
    this.db = drizzle(sqlite);
    this.file = file;
    this.wal = wal;
  }

  /** Whether it is in memory, because there is no file yet. @internal */
  get isPretended(): boolean {
    return this.sqlite.memory;
  }

  close(): void {
    this.sqlite.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Caches the value of `build` for each store, for statements that are prepared at their first use.
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
 * Placeholders for the values of a prepared statement, by name.
 * @internal
 */
export function placeholders<Name extends string>(...names: Name[]): Record<Name, Placeholder<Name>> {
  return Object.fromEntries(names.map((name) => [name, sql.placeholder(name)])) as Record<Name, Placeholder<Name>>;
}
