import { rmSync } from "node:fs";
import Database from "better-sqlite3";
import { createPrivately } from "./file/private-file.ts";

/* Prepared SQL, because this file is no database of datagen: it has a table of its own, and no migrations. */

/** How many values are written in one transaction. */
const MOST_WAITING = 1_000;
const BUSY_TIMEOUT_MS = 1_000;
/** Marks a file as one of these (`dgft`). */
const APPLICATION = 0x64676674;

/**
 * What was computed of answers, in a file beside the database, so that it is not computed again. The file is a cache: it may
 * be deleted at any time, a damaged or an older one is deleted here, and where it cannot be read or written nothing is kept.
 */
export class FeatureFile {
  private readonly path: string;
  private readonly version: number;
  private file: Open | null;
  private waiting: [key: number, value: Uint8Array][] = [];

  /** @param version of the values; a file of another version is deleted */
  constructor(database: string, version: number) {
    this.path = `${database}.features`;
    this.version = version;
    this.file = this.open() ?? this.open();
  }

  get(key: number): Uint8Array | null {
    const { file } = this;
    if (file === null) return null;
    return this.attempt(() => file.get.get(key) ?? null);
  }

  put(key: number, value: Uint8Array): void {
    if (this.file === null) return;
    this.waiting.push([key, value]);
    if (this.waiting.length >= MOST_WAITING) this.flush();
  }

  /** The pieces of a name, in their order, one at a time. */
  *pieces(name: string): Generator<Uint8Array> {
    const { file } = this;
    const ids = this.attempt(() => file?.pieceIds.all(name) ?? []) ?? [];
    for (const id of ids) {
      const value = this.attempt(() => this.file?.piece.get(id) ?? null);
      if (value === null) return;
      yield value;
    }
  }

  /** Keeps pieces under a name, in the place of its earlier ones. */
  keepPieces(name: string, values: Iterable<Uint8Array>): void {
    this.flush();
    const { file } = this;
    if (file === null) return;
    this.attempt(() => {
      file.sqlite.transaction(() => {
        file.dropPieces.run(name);
        for (const value of values) file.keepPiece.run(name, value);
      })();
      return null;
    });
  }

  [Symbol.dispose](): void {
    this.flush();
    this.file?.sqlite.close();
    this.file = null;
  }

  private flush(): void {
    const { file, waiting } = this;
    this.waiting = [];
    if (file === null || waiting.length === 0) return;
    this.attempt(() => {
      file.sqlite.transaction(() => {
        for (const [key, value] of waiting) file.put.run(key, value);
      })();
      return null;
    });
  }

  /** Stops using a file that fails. */
  private attempt<T>(body: () => T): T | null {
    try {
      return body();
    } catch (error) {
      this.file?.sqlite.close();
      this.file = null;
      this.waiting = [];
      if (isDamage(error)) this.remove();
      return null;
    }
  }

  /** @returns null if there is no file that can be used; a damaged or an older one is deleted */
  private open(): Open | null {
    let sqlite: Database.Database | null = null;
    try {
      createPrivately(this.path);
      sqlite = new Database(this.path, { timeout: BUSY_TIMEOUT_MS });
      // A file that a crash leaves damaged is deleted, so no write needs to wait for the disk.
      sqlite.exec("pragma journal_mode = MEMORY; pragma synchronous = OFF");
      const isNew = sqlite.pragma("page_count", { simple: true }) === 0;
      if (isNew) {
        sqlite.exec(`begin; create table features (key integer primary key, value blob not null);
          create table pieces (id integer primary key, name text not null, value blob not null);
          create index pieces_name on pieces (name, id);
          pragma application_id = ${APPLICATION}; pragma user_version = ${this.version}; commit`);
      }
      // A file of another program stays as it is.
      if (sqlite.pragma("application_id", { simple: true }) !== APPLICATION)
        throw new Error(`${this.path} is not ours`);
      if (sqlite.pragma("user_version", { simple: true }) !== this.version) throw new OldFile();
      return {
        sqlite,
        get: sqlite.prepare<[number], Uint8Array>("select value from features where key = ?").pluck(),
        put: sqlite.prepare("insert or replace into features (key, value) values (?, ?)"),
        pieceIds: sqlite.prepare<[string], number>("select id from pieces where name = ? order by id").pluck(),
        piece: sqlite.prepare<[number], Uint8Array>("select value from pieces where id = ?").pluck(),
        dropPieces: sqlite.prepare("delete from pieces where name = ?"),
        keepPiece: sqlite.prepare("insert into pieces (name, value) values (?, ?)"),
      };
    } catch (error) {
      sqlite?.close();
      if (error instanceof OldFile || isDamage(error)) this.remove();
      return null;
    }
  }

  private remove(): void {
    for (const suffix of ["", "-journal"]) {
      try {
        rmSync(this.path + suffix, { force: true });
      } catch {
        // In a folder that cannot be written, the file stays, and is not used.
      }
    }
  }
}

interface Open {
  sqlite: Database.Database;
  get: Database.Statement<[number], Uint8Array>;
  put: Database.Statement;
  pieceIds: Database.Statement<[string], number>;
  piece: Database.Statement<[number], Uint8Array>;
  dropPieces: Database.Statement;
  keepPiece: Database.Statement;
}

class OldFile extends Error {}

function isDamage(error: unknown): boolean {
  return (
    error instanceof Database.SqliteError &&
    (error.code.startsWith("SQLITE_CORRUPT") || error.code === "SQLITE_NOTADB" || error.code === "SQLITE_ERROR")
  );
}
