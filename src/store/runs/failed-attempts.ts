import { oncePerStore, type Store } from "../file/store.ts";

/* Prepared SQL, because the schema has no temporary tables, and the order of joins decides how much is read. */

/** One failed attempt. */
export interface FailedAttempt {
  /** ISO 8601, UTC. */
  started_at: string;
  duration_ms: number;
  /** The number of the input, from 0. */
  task: number;
  condition: string;
  step: "reading" | "strategy";
  reason: string;
  decision: string;
  http_status: number | null;
  error_code: string | null;
  request_id: string | null;
  message: string | null;
}

const statements = oncePerStore(({ sqlite }) => {
  sqlite.exec("create temp table if not exists failed_attempts (id integer primary key)");
  return {
    clear: sqlite.prepare("delete from temp.failed_attempts"),
    collect: sqlite.prepare<[number]>(
      `insert into temp.failed_attempts select a.id from tasks cross join calls c on c.task_id = tasks.id
         cross join attempts a on a.call_id = c.id where tasks.run_id = ? and a.outcome <> 'succeeded'`,
    ),
    page: sqlite
      .prepare<[number, number], number>("select id from temp.failed_attempts where id > ? order by id limit ?")
      .pluck(),
    one: sqlite.prepare<[number], Omit<FailedAttempt, "started_at"> & { started_at: number }>(
      `select a.started_at, a.duration_ms, t.position task, p.condition, c.step, a.outcome reason, a.decision,
         a.http_status, a.error_code, a.request_id, a.message
       from attempts a join calls c on c.id = a.call_id join tasks t on t.id = c.task_id
         join perspectives p on p.id = c.perspective_id
       where a.id = ?`,
    ),
  };
});

const PAGE = 500;

/**
 * Every failed attempt of a run, in the order in which they were stored. Their ids are collected at once, into a temporary
 * table. The rows are read a page at a time during iteration: a slow reader holds no memory and no snapshot.
 */
export function failedAttempts(store: Store, runId: number): Iterable<FailedAttempt> {
  const { clear, collect, page, one } = statements(store);
  clear.run();
  collect.run(runId);
  return {
    *[Symbol.iterator]() {
      for (let ids = page.all(0, PAGE); ids.length > 0; ids = page.all(ids.at(-1) ?? 0, PAGE)) {
        for (const id of ids) {
          const row = one.get(id);
          if (!row) continue;
          const { started_at: startedAt, ...attempt } = row;
          yield { started_at: new Date(startedAt).toISOString(), ...attempt };
        }
      }
    },
  };
}
