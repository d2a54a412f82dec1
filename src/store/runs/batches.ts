import { and, asc, count, eq, gt, inArray, isNotNull, ne, sql } from "drizzle-orm";
import { checkLease, type Lease } from "./leases.ts";
import { inTransaction, withoutReferenceChecks } from "../file/transaction.ts";
import { oncePerStore, placeholders, type Store } from "../file/store.ts";
import { type Reservation, UNANSWERED } from "./result.ts";
import { attempts, batches, calls, runs } from "../schema.ts";

export type BatchRow = typeof batches.$inferSelect;

/** The error code of attempts whose whole batch has failed. They do not count as attempts of their calls. */
export const BATCH_FAILED = "batch_failed";

const ATTEMPT = {
  id: attempts.id,
  callId: attempts.callId,
  startedAt: attempts.startedAt,
  promptTokens: sql<number>`${attempts.reservedPromptTokens}`,
  completionTokens: attempts.reservedCompletionTokens,
};

const statements = oncePerStore(({ db }) => ({
  attempt: db
    .insert(attempts)
    .values({
      ...placeholders("callId", "batchId", "startedAt", "reservedPromptTokens", "reservedCompletionTokens"),
      durationMs: 0,
      outcome: UNANSWERED,
      decision: "retry",
    })
    .prepare(),
  enter: db
    .update(calls)
    .set({ batchId: sql`${sql.placeholder("batchId")}` })
    .where(eq(calls.id, sql.placeholder("id")))
    .prepare(),
  unanswered: db
    .select(ATTEMPT)
    .from(attempts)
    .where(
      and(
        eq(attempts.batchId, sql.placeholder("batchId")),
        gt(attempts.id, sql.placeholder("after")),
        eq(attempts.outcome, UNANSWERED),
      ),
    )
    .orderBy(asc(attempts.id))
    .limit(sql.placeholder("limit"))
    .prepare(),
  ofCall: db
    .select(ATTEMPT)
    .from(attempts)
    .where(
      and(
        eq(attempts.callId, sql.placeholder("callId")),
        // The `+` keeps SQLite from using the index of batches, which has thousands of rows for this batch.
        sql`+${attempts.batchId} = ${sql.placeholder("batchId")}`,
        eq(attempts.outcome, UNANSWERED),
      ),
    )
    .prepare(),
  // By the attempts of the batch: by the batch of a call there is no index.
  release: db
    .update(calls)
    .set({ batchId: null })
    .where(
      and(
        inArray(
          calls.id,
          db
            .select({ id: attempts.callId })
            .from(attempts)
            .where(and(eq(attempts.batchId, sql.placeholder("batchId")), eq(attempts.outcome, UNANSWERED))),
        ),
        sql`+${calls.batchId} = ${sql.placeholder("batchId")}`,
      ),
    )
    .prepare(),
  outcomes: db
    .select({ outcome: attempts.outcome, times: count() })
    .from(attempts)
    .where(
      and(
        eq(attempts.callId, sql.placeholder("callId")),
        isNotNull(attempts.batchId),
        sql`${attempts.errorCode} is not ${BATCH_FAILED}`,
        ne(attempts.outcome, UNANSWERED),
        sql`${attempts.id} > coalesce((select max(ended.id) from ${attempts} ended
          where ended.call_id = ${sql.placeholder("callId")} and ended.decision in ('kept', 'fail')), 0)`,
      ),
    )
    .groupBy(attempts.outcome)
    .prepare(),
}));

/** Puts calls into a new batch, in one transaction, before anything of it is sent. */
export function prepareBatch(
  store: Store,
  lease: Lease,
  name: string,
  requests: readonly { callId: number; reserved: Reservation }[],
): BatchRow {
  return inTransaction(store, () => {
    checkLease(store, lease);
    const createdAt = Date.now();
    const row = { runId: lease.runId, name, requests: requests.length, createdAt };
    const batch = store.db.insert(batches).values(row).returning().get();
    const { attempt, enter } = statements(store);
    for (const { callId, reserved } of requests) {
      enter.run({ id: callId, batchId: batch.id });
      attempt.run({
        callId,
        batchId: batch.id,
        startedAt: createdAt,
        reservedPromptTokens: reserved.promptTokens,
        reservedCompletionTokens: reserved.completionTokens,
      });
    }
    countOpen(store, lease.runId, 1);
    return batch;
  });
}

/** Updates columns of a batch. */
export function updateBatch(store: Store, lease: Lease, id: number, known: Partial<BatchRow>): void {
  inTransaction(store, () => {
    checkLease(store, lease);
    store.db.update(batches).set(known).where(eq(batches.id, id)).run();
  });
}

/** Ends a batch, all of whose results are in. @returns the id of its file at the provider; null where it has none */
export function endBatch(store: Store, lease: Lease, id: number): string | null {
  return inTransaction(store, () => {
    checkLease(store, lease);
    return end(store, lease, id, {});
  });
}

/**
 * Ends a batch of which no more results come. Its requests without one are possibly billed, as those of a process that
 * was killed are, and their calls are pending.
 * @returns how many these are
 */
export function giveUpBatch(store: Store, lease: Lease, id: number, known: Pick<BatchRow, "status" | "error">): number {
  return inTransaction(store, () => {
    checkLease(store, lease);
    const { changes } = statements(store).release.run({ batchId: id });
    end(store, lease, id, known);
    return changes;
  });
}

function end(store: Store, { runId }: Lease, id: number, known: Partial<BatchRow>): string | null {
  const ended = store.db
    .update(batches)
    .set({ ...known, state: "done", endedAt: Date.now() })
    .where(and(eq(batches.id, id), ne(batches.state, "done")))
    .returning({ fileId: batches.fileId })
    .get();
  if (ended) countOpen(store, runId, -1);
  return ended?.fileId ?? null;
}

function countOpen(store: Store, runId: number, change: number): void {
  store.db
    .update(runs)
    .set({ batchesOpen: sql`${runs.batchesOpen} + ${change}` })
    .where(eq(runs.id, runId))
    .run();
}

/** Removes a batch that has not arrived at the provider. Its calls are pending as before. */
export function dropBatch(store: Store, lease: Lease, id: number): void {
  const drop = () => {
    checkLease(store, lease);
    const sent = store.db.select({ id: attempts.callId }).from(attempts).where(eq(attempts.batchId, id));
    store.db.update(calls).set({ batchId: null }).where(inArray(calls.id, sent)).run();
    store.db.delete(attempts).where(eq(attempts.batchId, id)).run();
    store.db.delete(batches).where(eq(batches.id, id)).run();
    countOpen(store, lease.runId, -1);
  };
  withoutReferenceChecks(store, () => inTransaction(store, drop));
}

/** The batches of a run without all their results, the oldest first. */
export function openBatches(store: Store, runId: number): BatchRow[] {
  // The same expression as in the partial index, so that SQLite uses the index.
  const isOpen = sql`${batches.state} <> 'done'`;
  return store.db
    .select()
    .from(batches)
    .where(and(eq(batches.runId, runId), isOpen))
    .orderBy(asc(batches.id))
    .all();
}

/** All batches of a run, the oldest first. */
export function listBatches(store: Store, runId: number): BatchRow[] {
  return store.db.select().from(batches).where(eq(batches.runId, runId)).orderBy(asc(batches.id)).all();
}

/** An attempt of a batch without a result. */
export interface BatchedAttempt {
  id: number;
  callId: number;
  startedAt: number;
  /** The most tokens that it may be charged for. */
  reserved: Reservation;
}

/** The attempts of a batch without a result, in the order of its file, read a page at a time. */
export function* unansweredAttempts(store: Store, batchId: number): Generator<BatchedAttempt> {
  const { unanswered } = statements(store);
  let after = 0;
  for (;;) {
    const page = unanswered.all({ batchId, after, limit: 500 });
    for (const row of page) yield toAttempt(row);
    const last = page.at(-1);
    if (!last) return;
    after = last.id;
  }
}

/** The attempt of a call in a batch, if it has no result yet. */
export function attemptOf(store: Store, batchId: number, callId: number): BatchedAttempt | undefined {
  const found = statements(store).ofCall.get({ batchId, callId });
  return found && toAttempt(found);
}

function toAttempt({ promptTokens, completionTokens, ...attempt }: Omit<BatchedAttempt, "reserved"> & Reservation) {
  return { ...attempt, reserved: { promptTokens, completionTokens } };
}

/** The outcomes of a call's attempts in batches since it was last done, with their numbers. */
export function outcomesOf(store: Store, callId: number): { outcome: string; times: number }[] {
  return statements(store).outcomes.all({ callId });
}

/** Sets how the calls of a run reach the provider. */
export function setExecutor(store: Store, runId: number, executor: (typeof runs.$inferSelect)["executor"]): void {
  store.db.update(runs).set({ executor }).where(eq(runs.id, runId)).run();
}
