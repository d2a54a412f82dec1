import { and, asc, eq, exists, gt, inArray, isNull, type Placeholder, type SQL, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/sqlite-core";
import type { Step } from "../../plan/calls.ts";
import { type Instructions, instructionsOf } from "../../plan/prompt.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { inTransaction } from "../file/transaction.ts";
import { checkLease, type Lease } from "./leases.ts";
import { answers, attempts, calls, perspectives, runs, settings, tasks } from "../schema.ts";

/** An open call, with everything needed to send it. It is pending, or has an answer that a better one will replace. */
export interface OpenCall {
  id: number;
  step: Step;
  taskId: number;
  perspectiveId: number;
  replicate: number;
  /** The id of the answer with the notes, for a strategy that has some. */
  notesId: number | null;
  /** The answer that it keeps until a better one arrives. */
  answerId: number | null;
  /** The settings to send it with, if they are not the run's. */
  wantedSettingsId: number | null;
}

/** The failure of a reading whose answer was empty: its strategy works on the input. */
export const EMPTY = "empty";

/** The failure of a strategy whose reading has failed for another reason: it has nothing to work on. */
export const READING_FAILED = "reading_failed";

/** The failure of a call that has lost several workers. Its attempts stay unanswered. */
export const WORKER_LOST = "worker_lost";

/** The failure of an imported call for which the dataset has an error text. */
export const IMPORTED_ERROR = "imported_error";

/** The failure of an imported call for which the dataset has nothing. */
export const IMPORTED_MISSING = "imported_missing";

const readings = alias(calls, "readings");

/** The strategy that belongs to a reading. */
export const strategyOfChain = and(
  eq(calls.taskId, sql.placeholder("taskId")),
  eq(calls.perspectiveId, sql.placeholder("perspectiveId")),
  eq(calls.step, "strategy"),
  eq(calls.replicate, sql.placeholder("replicate")),
);

/** Matches answers with a key, in the form that the index supports. */
export function hasKey(key: Placeholder): SQL {
  return sql`${answers.keyPrefix} = substr(${key}, 6, 16) and ${answers.key} = ${key}`;
}

const statements = oncePerStore(({ db }) => {
  const open = {
    id: calls.id,
    step: calls.step,
    taskId: calls.taskId,
    perspectiveId: calls.perspectiveId,
    replicate: calls.replicate,
    notesId: readings.answerId,
    answerId: calls.answerId,
    wantedSettingsId: calls.wantedSettingsId,
    isWaiting: sql<number>`coalesce(${readings.state} = 'pending' or ${readings.wantedSettingsId} is not null, 0)`,
  };
  const readingOfChain = and(
    eq(calls.step, "strategy"),
    eq(readings.taskId, calls.taskId),
    eq(readings.perspectiveId, calls.perspectiveId),
    eq(readings.step, "reading"),
    eq(readings.replicate, calls.replicate),
  );
  // Build a new query each time, because Drizzle's query builders are mutable.
  const query = () => db.select(open).from(calls).leftJoin(readings, readingOfChain);
  // The same expression as in the partial index, so that SQLite uses the index.
  const isOpen = sql`(${calls.state} = 'pending' or ${calls.wantedSettingsId} is not null)`;
  const isFree = isNull(calls.batchId);
  return {
    page: query()
      .where(and(eq(calls.runId, sql.placeholder("runId")), isOpen, isFree, gt(calls.id, sql.placeholder("after"))))
      .orderBy(asc(calls.id))
      .limit(sql.placeholder("limit"))
      .prepare(),
    strategy: query()
      .where(and(strategyOfChain, isOpen, isFree))
      .prepare(),
    one: query()
      .where(eq(calls.id, sql.placeholder("id")))
      .prepare(),
    anyOpen: db
      .select({ id: calls.id })
      .from(calls)
      .where(and(eq(calls.runId, sql.placeholder("runId")), isOpen))
      .limit(1)
      .prepare(),
    answer: db
      .select({ text: answers.text })
      .from(answers)
      .where(eq(answers.id, sql.placeholder("id")))
      .prepare(),
  };
});

/**
 * The next open calls of a run after the call `after`, in the order of the plan, without calls in a batch. Says of each
 * whether it still waits for its reading.
 */
export function openCalls(
  store: Store,
  runId: number,
  after: number,
  limit: number,
): (OpenCall & { isWaiting: boolean })[] {
  const rows = statements(store).page.all({ runId, after, limit });
  return rows.map((row) => ({ ...row, isWaiting: row.isWaiting === 1 }));
}

/** The strategy of a reading, if it is open. */
export function openStrategy(store: Store, reading: OpenCall): OpenCall | undefined {
  const { taskId, perspectiveId, replicate } = reading;
  return statements(store).strategy.get({ taskId, perspectiveId, replicate });
}

export function answerText(store: Store, answerId: number): string {
  const row = statements(store).answer.get({ id: answerId });
  if (!row) throw new Error(`the answer ${answerId} is not in ${store.path}`);
  return row.text;
}

/** The instructions of a run's perspectives, by the perspectives' ids. */
export function instructions(store: Store, runId: number): Map<number, Instructions> {
  const run = store.db.select({ config: runs.config }).from(runs).where(eq(runs.id, runId)).get();
  const rows = store.db.select().from(perspectives).where(eq(perspectives.runId, runId)).all();
  const given = run ? instructionsOf(run.config) : [];
  return new Map(rows.flatMap(({ id, position }) => (given[position] ? [[id, given[position]]] : [])));
}

/** Whether a run has a call that is not done. */
export function hasOpenCalls(store: Store, runId: number): boolean {
  return statements(store).anyOpen.get({ runId }) !== undefined;
}

/** A call, with everything needed to send it. */
export function getCall(store: Store, id: number): OpenCall {
  const call = statements(store).one.get({ id });
  if (!call) throw new Error(`the call ${id} is not in ${store.path}`);
  return call;
}

/** Makes the failed calls of a run pending again; the attempts that failed stay. */
export function reopenFailed(store: Store, runId: number): void {
  reopen(store, runId, undefined, null);
}

/**
 * Makes calls that were refused in this execution pending again, and the strategies of refused readings.
 * @throws StoppedError if another process has taken the run over
 */
export function reopenRefused(store: Store, lease: Lease, callIds: readonly number[]): void {
  inTransaction(store, () => {
    checkLease(store, lease);
    reopen(store, lease.runId, inArray(calls.id, [...callIds]), null);
    reopen(store, lease.runId, and(eq(calls.failure, READING_FAILED), waitsForNotes), null);
  });
}

/**
 * Reopens, with other settings, the calls of some perspectives of a run whose answers the token limit cut off or left
 * empty. An answer stays until the better one arrives. An answer that already had such a high limit is not asked for
 * again.
 * @param wanted the settings, their token limit, and the perspectives
 */
export function reopenTruncated(
  store: Store,
  runId: number,
  { settingsId, limit, perspectiveIds }: { settingsId: number; limit: number; perspectiveIds: readonly number[] },
): void {
  const isTheirs = sql`${calls.perspectiveId} in (select value from json_each(${JSON.stringify(perspectiveIds)}))`;
  const isCutBelow = sql`exists (select 1 from ${answers} join ${settings} on ${settings.id} = ${answers.settingsId}
    where ${answers.id} = ${calls.answerId} and ${answers.finishReason} = 'length'
      and ${limit} > coalesce(${settings.value} ->> '$.parameters.max_tokens',
        ${settings.value} ->> '$.parameters.max_completion_tokens', 0))`;
  // Select by tasks, which have an index. By run, SQLite would read the calls of all runs.
  const isCut = and(
    sql`${calls.taskId} in (select ${tasks.id} from ${tasks} where ${tasks.runId} = ${runId})`,
    isTheirs,
    isNull(calls.wantedSettingsId),
    isCutBelow,
    mayNotesChange,
  );
  forgetJobs(store, isCut);
  const { changes } = store.db.update(calls).set({ wantedSettingsId: settingsId }).where(isCut).run();
  store.db
    .update(runs)
    .set({ callsReopened: sql`${runs.callsReopened} + ${changes}` })
    .where(eq(runs.id, runId))
    .run();
  reopen(store, runId, and(isTheirs, eq(calls.failure, "reasoning_exhausted")), settingsId);
  // Strategies that failed because their notes were missing wait for the notes again.
  reopen(store, runId, and(eq(calls.failure, READING_FAILED), waitsForNotes), null);
}

/** Whether a strategy's reading is pending. */
const waitsForNotes = sql`exists (select 1 from calls readings where readings.task_id = ${calls.taskId}
  and readings.perspective_id = ${calls.perspectiveId} and readings.replicate = ${calls.replicate}
  and readings.step = 'reading' and readings.state = 'pending')`;

/** Whether a strategy's reading is open. */
const waitsForOpenReading = sql`exists (select 1 from calls readings where readings.task_id = ${calls.taskId}
  and readings.perspective_id = ${calls.perspectiveId} and readings.replicate = ${calls.replicate}
  and readings.step = 'reading' and (readings.state = 'pending' or readings.wanted_settings_id is not null))`;

/** Takes the tokens from attempts of calls that need another answer: their results must not answer these calls. */
function forgetJobs({ db }: Store, which: SQL | undefined): void {
  const theirs = db
    .select({ one: sql`1` })
    .from(calls)
    .where(and(eq(calls.id, attempts.callId), which));
  // The same expression as in the partial index, so that SQLite uses the index.
  const isJob = sql`${attempts.jobToken} is not null`;
  db.update(attempts)
    .set({ jobToken: null })
    .where(and(isJob, exists(theirs)))
    .run();
}

/** False for a reading whose strategy is already in a batch: its notes must not change. */
const mayNotesChange = sql`(${calls.step} <> 'reading' or not exists (select 1 from calls strategies
  where strategies.task_id = ${calls.taskId} and strategies.perspective_id = ${calls.perspectiveId}
    and strategies.replicate = ${calls.replicate} and strategies.step = 'strategy'
    and strategies.batch_id is not null))`;

function reopen(store: Store, runId: number, which: SQL | undefined, wantedSettingsId: number | null): void {
  // The same expression as in the partial index, so that SQLite uses the index.
  const isFailed = and(eq(calls.runId, runId), sql`${calls.state} = 'failed'`, which, mayNotesChange);
  if (wantedSettingsId !== null) forgetJobs(store, isFailed);
  const { changes } = store.db
    .update(calls)
    .set({ state: "pending", failure: null, wantedSettingsId })
    .where(isFailed)
    .run();
  forgetJobs(store, and(eq(calls.runId, runId), eq(calls.step, "strategy"), waitsForOpenReading));
  if (changes === 0) return;
  store.db
    .update(runs)
    .set({ callsFailed: sql`${runs.callsFailed} - ${changes}`, finishedAt: null })
    .where(eq(runs.id, runId))
    .run();
}
