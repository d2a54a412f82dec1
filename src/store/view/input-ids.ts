import Database from "better-sqlite3";
import type { Store } from "../file/store.ts";
import { placedInputs } from "./inputs.ts";

/* Prepared SQL, because the index is a database of its own: a temporary file that takes no memory and is never seen. */

const CREATE = `pragma journal_mode = OFF; pragma cache_size = -4000;
  create table ids (own text primary key, position integer not null) without rowid`;

/**
 * Finds the inputs of a run by their own ids, for which the database has no index. It is built in parts, so that no part
 * takes long.
 */
export class InputIds implements Disposable {
  readonly #store: Store;
  readonly #runId: number;
  readonly #index = new Database("");
  #next = 0;
  #isBuilt = false;
  /** Whether every input that was read has an id. */
  hasAll = true;

  constructor(store: Store, runId: number) {
    this.#store = store;
    this.#runId = runId;
    this.#index.exec(CREATE);
  }

  /** Reads more inputs. @returns whether it is built */
  build(isOver: () => boolean): boolean {
    // Ids are unique within a run. Should a damaged database have one twice, the first one counts.
    const insert = this.#index.prepare<[string, number]>("insert or ignore into ids (own, position) values (?, ?)");
    const readMore = this.#index.transaction(() => {
      for (const { position, own } of placedInputs(this.#store, this.#runId, this.#next)) {
        if (own === null) {
          this.hasAll = false;
          return true;
        }
        insert.run(own, position);
        this.#next = position + 1;
        if (isOver()) return false;
      }
      return true;
    });
    this.#isBuilt ||= readMore();
    return this.#isBuilt;
  }

  /** The position of an input; null if the run lacks it. */
  find(own: string): number | null {
    const statement = this.#index.prepare<[string], number>("select position from ids where own = ?").pluck();
    return statement.get(own) ?? null;
  }

  [Symbol.dispose](): void {
    this.#index.close();
  }
}
