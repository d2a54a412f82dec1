import { and, asc, eq, gt, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/sqlite-core";
import type { Step } from "../plan/calls.ts";
import { oncePerStore, type Store } from "./open.ts";
import { answers, calls, perspectives, runs, tasks } from "./schema.ts";

/** A pending call, with what it needs to be asked. */
export interface PendingCall {
  id: number;
  step: Step;
  taskId: number;
  perspectiveId: number;
  replicate: number;
  /** The text of the input; see `getText`. */
  inputId: number;
  /** The answer that holds the notes, where the call is a strategy that has some. */
  notesId: number | null;
}

/** The failure of a reading that came back without notes: its strategy works on the input. */
export const EMPTY = "empty";

/** The failure of a strategy whose reading has failed in any other way: there is nothing for it to work on. */
export const READING_FAILED = "reading_failed";

const readings = alias(calls, "readings");

/** The strategy of a reading's chain. */
export const strategyOfChain = and(
  eq(calls.taskId, sql.placeholder("taskId")),
  eq(calls.perspectiveId, sql.placeholder("perspectiveId")),
  eq(calls.step, "strategy"),
  eq(calls.replicate, sql.placeholder("replicate")),
);

const statements = oncePerStore(({ db }) => {
  const pending = {
    id: calls.id,
    step: calls.step,
    taskId: calls.taskId,
    perspectiveId: calls.perspectiveId,
    replicate: calls.replicate,
    inputId: tasks.inputId,
    notesId: readings.answerId,
    isWaiting: sql<number>`coalesce(${readings.state} = 'pending', 0)`,
  };
  const readingOfChain = and(
    eq(calls.step, "strategy"),
    eq(readings.taskId, calls.taskId),
    eq(readings.perspectiveId, calls.perspectiveId),
    eq(readings.step, "reading"),
    eq(readings.replicate, calls.replicate),
  );
  // A query of its own each time, as a query builder of Drizzle keeps what is added to it.
  const query = () =>
    db.select(pending).from(calls).innerJoin(tasks, eq(tasks.id, calls.taskId)).leftJoin(readings, readingOfChain);
  // In the words of the partial index, so that SQLite sees that the index serves.
  const isPending = sql`${calls.state} = 'pending'`;
  return {
    page: query()
      .where(and(eq(calls.runId, sql.placeholder("runId")), isPending, gt(calls.id, sql.placeholder("after"))))
      .orderBy(asc(calls.id))
      .limit(sql.placeholder("limit"))
      .prepare(),
    strategy: query().where(and(strategyOfChain, isPending)).prepare(),
    answer: db
      .select({ text: answers.text })
      .from(answers)
      .where(eq(answers.id, sql.placeholder("id")))
      .prepare(),
  };
});

/**
 * The next pending calls of a run behind the call `after`, in the order of the plan, and whether each still waits for
 * its reading.
 */
export function pendingCalls(
  store: Store,
  runId: number,
  after: number,
  limit: number,
): (PendingCall & { isWaiting: boolean })[] {
  const rows = statements(store).page.all({ runId, after, limit });
  return rows.map((row) => ({ ...row, isWaiting: row.isWaiting === 1 }));
}

/** The strategy behind a reading, where it is pending. */
export function pendingStrategy(store: Store, reading: PendingCall): PendingCall | undefined {
  const { taskId, perspectiveId, replicate } = reading;
  return statements(store).strategy.get({ taskId, perspectiveId, replicate });
}

export function answerText(store: Store, answerId: number): string {
  const row = statements(store).answer.get({ id: answerId });
  if (!row) throw new Error(`the answer ${answerId} is not in ${store.path}`);
  return row.text;
}

/** The instructions of a run's perspectives, by the perspectives' ids. */
export function instructions(store: Store, runId: number): Map<number, { reading: string | null; strategy: string }> {
  const rows = store.db.select().from(perspectives).where(eq(perspectives.runId, runId)).all();
  return new Map(rows.map(({ id, reading, strategy }) => [id, { reading, strategy }]));
}

/** Makes the failed calls of a run pending again; the attempts that failed stay. @returns how many there were */
export function retryFailed(store: Store, runId: number): number {
  const { changes } = store.db
    .update(calls)
    .set({ state: "pending", failure: null })
    .where(and(eq(calls.runId, runId), sql`${calls.state} = 'failed'`))
    .run();
  if (changes > 0) {
    store.db
      .update(runs)
      .set({ callsFailed: sql`${runs.callsFailed} - ${changes}`, finishedAt: null })
      .where(eq(runs.id, runId))
      .run();
  }
  return changes;
}
