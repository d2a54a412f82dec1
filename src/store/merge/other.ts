import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import Database from "better-sqlite3";
import { errorCode, errorMessage, UsageError } from "../../errors.ts";
import { type Holder, seemsLive } from "../runs/holder.ts";
import type { Store } from "../file/store.ts";

/* Prepared SQL, because each statement may find damage, and the error must name the file. */

const DAMAGED_HINT =
  "This database is sound. Check the other one with `datagen db check --db` and its path, or merge an earlier copy of it.";

/** A run of the other database. */
export interface OtherRun {
  id: number;
  publicId: string;
  datasetName: string;
  callsTotal: number;
  callsSucceeded: number;
}

/** A prepared query of another database. */
export interface OtherQuery<Parameters extends unknown[], Row> {
  get: (...parameters: Parameters) => Row | undefined;
  all: (...parameters: Parameters) => Row[];
}

/**
 * Another database, seen at one moment. It is read on a separate connection, so that processes that write to it never wait
 * for the merge.
 */
export class OtherDatabase implements Disposable {
  readonly path: string;
  readonly #sqlite: Database.Database;

  /** @throws UsageError when the path has no database, has that of the store, or has one of another version */
  constructor(store: Store, path: string) {
    this.path = resolve(path);
    if (!existsSync(this.path)) {
      throw new UsageError(`there is no database ${this.path}`, "Name the database file of the other machine.");
    }
    if (realpathSync(this.path) === realpathSync(store.path)) {
      throw new UsageError(`${this.path} is the database that it would be merged into`, "Name another one.");
    }
    this.#sqlite = this.#open();
    try {
      this.#checkVersion(store);
      this.#guard(() => this.#sqlite.exec("begin; select 1 from runs limit 1"));
    } catch (error) {
      this.#sqlite.close();
      throw error;
    }
  }

  /** @throws UsageError with the name of the file when it cannot be read, now or when the query runs */
  query<Parameters extends unknown[], Row>(sql: string): OtherQuery<Parameters, Row> {
    const statement = this.#guard(() => this.#sqlite.prepare<Parameters, Row>(sql));
    return {
      get: (...parameters) => this.#guard(() => statement.get(...parameters)),
      all: (...parameters) => this.#guard(() => statement.all(...parameters)),
    };
  }

  /** The error for rows that refer to missing rows. */
  damaged(what: string): UsageError {
    return new UsageError(`the other database ${this.path} is damaged (${what})`, DAMAGED_HINT);
  }

  /** Its runs, the oldest first. @throws UsageError when a living process executes one, or one waits for batches */
  runs(): OtherRun[] {
    const live = this.query<[], Holder & { publicId: string }>(
      `select r.public_id publicId, l.host, l.pid, l.heartbeat_at heartbeatAt, l.boot, l.pid_namespace pidNamespace,
         l.pid_started pidStarted, l.heartbeat_monotonic heartbeatMonotonic
       from leases l join runs r on r.id = l.run_id`,
    )
      .all()
      .find(seemsLive);
    if (live) {
      throw new UsageError(
        `run ${live.publicId} of the other database is being executed by process ${live.pid} on ${live.host}`,
        "Merge once it is done, or stop it first.",
      );
    }
    const waiting = this.query<[], { publicId: string }>(
      "select public_id publicId from runs where batches_open > 0",
    ).get();
    if (waiting) {
      throw new UsageError(
        `run ${waiting.publicId} of the other database waits for batches`,
        "Resume it there until they are done, or cancel them, then merge.",
      );
    }
    return this.query<[], OtherRun>(
      `select id, public_id publicId, dataset_name datasetName, calls_total callsTotal, calls_succeeded callsSucceeded
       from runs where planned_at is not null order by created_at, id`,
    ).all();
  }

  [Symbol.dispose](): void {
    this.#sqlite.close();
  }

  #open(): Database.Database {
    try {
      return new Database(this.path, { readonly: true, fileMustExist: true, timeout: 60_000 });
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  #checkVersion(store: Store): void {
    const read = (sqlite: Database.Database, name: string) => sqlite.pragma(name, { simple: true });
    this.#guard(() => {
      if (read(this.#sqlite, "application_id") !== read(store.sqlite, "application_id")) {
        throw new UsageError(`${this.path} is not a database of datagen`, "Name another one.");
      }
      if (read(this.#sqlite, "user_version") !== read(store.sqlite, "user_version")) {
        throw new UsageError(
          `${this.path} was written by another version of datagen`,
          "Upgrade it with `datagen db check --db` and its path, then merge it.",
        );
      }
    });
  }

  #guard<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw errorCode(error)?.startsWith("SQLITE_") ? this.#unreadable(error) : error;
    }
  }

  #unreadable(error: unknown): UsageError {
    const code = errorCode(error) ?? "";
    const isDamaged = /^SQLITE_(CORRUPT|ERROR|IOERR|MISMATCH)/.test(code);
    return new UsageError(
      `the other database ${this.path} ${isDamaged ? "is damaged" : "cannot be read as a database"} (${code}: ${errorMessage(error)})`,
      isDamaged ? DAMAGED_HINT : "Name a database of datagen that can be read and that no other program has locked.",
      error,
    );
  }
}
