import { and, count, eq, isNotNull, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import type { PricedUsage, Prices } from "../../models/cost.ts";
import { inTransaction } from "../file/transaction.ts";
import type { Store } from "../file/store.ts";
import type { Reservation } from "./result.ts";
import { answers, attempts, calls, experiments, runs, tasks } from "../schema.ts";

/** Attempts that may be charged for the same number of tokens, and how many there are. */
export interface OpenReservation extends Reservation {
  attempts: number;
  /** Whether they were sent in a batch. */
  isBatched: boolean;
  /** Whether that batch is still open. */
  isUnderWay: boolean;
}

/** The attempts of a run that may have been charged, grouped by the most tokens that they may be charged for. */
export function openReservations(store: Store, runId: number): OpenReservation[] {
  const isBatched = sql<number>`${attempts.batchId} is not null`;
  const isUnderWay = sql<number>`coalesce(${attempts.batchId} = ${calls.batchId}, 0)`;
  return store.db
    .select({
      isBatched,
      isUnderWay,
      promptTokens: sql<number>`${attempts.reservedPromptTokens}`,
      completionTokens: attempts.reservedCompletionTokens,
      attempts: count(),
    })
    .from(attempts)
    .innerJoin(calls, eq(calls.id, attempts.callId))
    .where(and(isNotNull(attempts.reservedPromptTokens), eq(calls.runId, runId)))
    .groupBy(attempts.reservedPromptTokens, attempts.reservedCompletionTokens, isBatched, isUnderWay)
    .all()
    .map((row) => ({ ...row, isBatched: row.isBatched === 1, isUnderWay: row.isUnderWay === 1 }));
}

/** Sets the cap of a run, or of the experiment that it is part of, in billionths of a US dollar. */
export function setCap(
  { db }: Store,
  { id, experimentId }: { id: number; experimentId: number | null },
  maxCostNanoUsd: number,
): void {
  if (experimentId === null) db.update(runs).set({ maxCostNanoUsd }).where(eq(runs.id, id)).run();
  else db.update(experiments).set({ maxCostNanoUsd }).where(eq(experiments.id, experimentId)).run();
}

/** The cost of an attempt in billionths of a US dollar; null if unknown. */
export type AttemptCost = (usage: PricedUsage, isBatched: boolean) => number | null;

/** The cost of a run's attempts at other prices; null if the cost of any is unknown. */
export function costWith(store: Store, runId: number, cost: AttemptCost): number | null {
  registerCost(store, cost);
  const row = store.db
    .select({ cost: wholeSum(COST), unknown: sql<number>`coalesce(sum(${COST} is null), 0)` })
    .from(attempts)
    .where(settledOf(runId))
    .get();
  return row?.unknown === 0 ? (row.cost ?? 0) : null;
}

/** Computes the costs of a run's attempts again, and stores the prices with the run. The usage does not change. */
export function applyPrices(store: Store, runId: number, prices: Prices, cost: AttemptCost): void {
  registerCost(store, cost);
  inTransaction(store, () => {
    store.db.update(attempts).set({ costNanoUsd: COST }).where(settledOf(runId)).run();
    const totals = store.db
      .select({
        costNanoUsd: wholeSum(attempts.costNanoUsd),
        attemptsUnpriced: sql<number>`coalesce(sum(${attempts.costNanoUsd} is null), 0)`,
      })
      .from(attempts)
      .where(settledOf(runId))
      .get();
    store.db
      .update(runs)
      .set({ ...totals, prices })
      .where(eq(runs.id, runId))
      .run();
  });
}

/** The cost that a run has saved by reusing answers; null if unknown. */
export function savedCost(store: Store, runId: number, cost: AttemptCost): number | null {
  registerCost(store, cost);
  const each = sql`attempt_cost(${answers.promptTokens}, ${answers.completionTokens}, ${answers.cachedTokens},
    ${answers.cacheWriteTokens}, ${answers.cacheWrite1hTokens}, 0)`;
  // The usage of imported answers is unknown.
  const isImported = sql`${answers.origin} = 'imported'`;
  const row = store.db
    .select({
      cost: wholeSum(each),
      unknown: sql<number>`coalesce(sum(${each} is null or ${isImported}), 0)`,
    })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(answers, eq(answers.id, calls.answerId))
    .where(and(eq(tasks.runId, runId), isReused))
    .get();
  return row?.unknown === 0 ? (row.cost ?? 0) : null;
}

/** The same sum as `wholeSumOf`, for a query of Drizzle. */
export function wholeSum(expression: SQL | SQLiteColumn): SQL<number> {
  return sql<number>`cast(min(total(${expression}), ${sql.raw(String(Number.MAX_SAFE_INTEGER))}) as integer)`;
}

/** Whether a call has an answer but no successful attempt: it reused one, or its run was imported. */
export const isReused = sql`(${calls.state} = 'succeeded' and not exists (select 1 from ${attempts}
  where ${attempts.callId} = ${calls.id} and ${attempts.outcome} = 'succeeded')
  and not exists (select 1 from ${runs} where ${runs.id} = ${calls.runId} and ${runs.imported} is not null))`;

/** The function that {@link registerCost} gives to SQLite. */
const COST = sql<number | null>`attempt_cost(${attempts.promptTokens}, ${attempts.completionTokens},
  ${attempts.cachedTokens}, ${attempts.cacheWriteTokens}, ${attempts.cacheWrite1hTokens},
  ${attempts.batchId} is not null)`;

function registerCost({ sqlite }: Store, cost: AttemptCost): void {
  const perAttempt = (
    promptTokens: number,
    completionTokens: number,
    cachedTokens: number,
    cacheWriteTokens: number,
    cacheWrite1hTokens: number,
    isBatched: number,
  ) => cost({ promptTokens, completionTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens }, isBatched === 1);
  sqlite.function("attempt_cost", { deterministic: true }, perAttempt as (...usage: unknown[]) => number | null);
}

/** The attempts of a run whose charge is known. */
function settledOf(runId: number) {
  const ofRun = sql`${attempts.callId} in
    (select ${calls.id} from ${tasks} join ${calls} on ${calls.taskId} = ${tasks.id} where ${tasks.runId} = ${runId})`;
  return and(sql`${attempts.reservedPromptTokens} is null`, ofRun);
}
