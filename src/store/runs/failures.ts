import { and, count, eq, max, ne, sql } from "drizzle-orm";
import { READING_FAILED } from "./calls.ts";
import type { Store } from "../file/store.ts";
import { attempts, calls, tasks } from "../schema.ts";

/** Failed attempts of a run by reason. Calls that failed without an attempt, from a dataset, are included. */
export interface FailureRow {
  reason: string;
  attempts: number;
  /** The calls that have failed for this reason and are not tried again. */
  calls: number;
  example: string | null;
}

export function failureRows(store: Store, runId: number): FailureRow[] {
  const rows = new Map(attemptRows(store, runId).map((row) => [row.reason, row]));
  const unsent = store.db
    .select({ reason: sql<string>`${calls.failure}`, calls: count() })
    .from(calls)
    // The same expression as in the partial index, so that SQLite uses the index.
    .where(and(eq(calls.runId, runId), sql`${calls.state} = 'failed'`, ne(calls.failure, READING_FAILED), isUnsent))
    .groupBy(calls.failure)
    .all();
  for (const { reason, calls: failed } of unsent) {
    const row = rows.get(reason) ?? { reason, attempts: 0, calls: 0, example: null };
    rows.set(reason, { ...row, calls: row.calls + failed });
  }
  return [...rows.values()].toSorted((a, b) => (a.reason < b.reason ? -1 : 1));
}

const isUnsent = sql`not exists (select 1 from ${attempts} where ${attempts.callId} = ${calls.id})`;

function attemptRows(store: Store, runId: number): FailureRow[] {
  return store.db
    .select({
      reason: attempts.outcome,
      attempts: count(),
      calls: sql<number>`count(distinct case when ${calls.state} = 'failed' and ${calls.failure} = ${attempts.outcome} then ${calls.id} end)`,
      // SQLite takes a bare column from the row with the maximum: this gives the latest message.
      latest: max(attempts.id),
      example: attempts.message,
    })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(attempts, eq(attempts.callId, calls.id))
    .where(and(eq(tasks.runId, runId), ne(attempts.outcome, "succeeded")))
    .groupBy(attempts.outcome)
    .all()
    .map(({ reason, attempts: sent, calls: failed, example }) => ({ reason, attempts: sent, calls: failed, example }));
}
