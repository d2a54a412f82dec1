import type { Store } from "../file/store.ts";

/* Prepared SQL, because Drizzle has no window functions. */

/** What one of several servers of a run has answered. */
export interface ServerRow {
  baseUrl: string;
  answered: number;
  /** Requests without an answer that can be used; those that are under way do not count. */
  failed: number;
  /** Of its answers; null if there are none. */
  medianLatencyMs: number | null;
}

/** The servers that requests of a run have gone to, by their base URLs; none if the run has only one server. */
export function serverRows({ sqlite }: Store, runId: number): ServerRow[] {
  return sqlite
    .prepare<[number], ServerRow>(
      `with sent as materialized (
         select a.server, a.outcome = 'succeeded' as isAnswer, a.outcome = 'unanswered' as isOpen, a.duration_ms as ms,
           row_number() over (partition by a.server, a.outcome = 'succeeded' order by a.duration_ms) as nth,
           count(*) over (partition by a.server, a.outcome = 'succeeded') as n
         from tasks t cross join calls c on c.task_id = t.id cross join attempts a on a.call_id = c.id
         where t.run_id = ? and a.server is not null)
       select server as baseUrl, sum(isAnswer) as answered, sum(not isAnswer and not isOpen) as failed,
         avg(iif(isAnswer and nth between n / 2.0 and n / 2.0 + 1, ms, null)) as medianLatencyMs
       from sent group by server order by server`,
    )
    .all(runId);
}
