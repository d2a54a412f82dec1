import { oncePerStore, type Store } from "../file/store.ts";

/* Prepared SQL, because the schema has no temporary tables. */

/** The ids of the answers that one plan has taken, in the temporary table `taken`, which needs little memory. */
interface Taken {
  /** The number of the plan, which its rows have in the column `reuse`. */
  readonly reuse: number;
  add(id: number): void;
  clear(): void;
}

/** How many were created for a store. */
const made = oncePerStore(() => ({ count: 0 }));

export function createTaken(store: Store): Taken {
  const { sqlite } = store;
  const reuse = (made(store).count += 1);
  sqlite.exec(
    "create temp table if not exists taken (reuse integer, id integer, primary key (reuse, id)) without rowid",
  );
  const insert = sqlite.prepare("insert into temp.taken (reuse, id) values (?, ?)");
  return {
    reuse,
    add: (id) => void insert.run(reuse, id),
    clear() {
      if (sqlite.open) sqlite.prepare("delete from temp.taken where reuse = ?").run(reuse);
    },
  };
}
