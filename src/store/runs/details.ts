import { and, asc, count, eq, max, ne, sql } from "drizzle-orm";
import { isReused, wholeSum } from "./money.ts";
import { alias } from "drizzle-orm/sqlite-core";
import { READING_FAILED } from "./calls.ts";
import type { Store } from "../file/store.ts";
import type { Settings } from "../../plan/settings.ts";
import type { RunRow } from "./runs.ts";
import { answers, attempts, calls, perspectives, settings, tasks } from "../schema.ts";

/** What came of one step of a perspective. */
export interface StepRow {
  condition: string;
  step: "reading" | "strategy";
  total: number;
  succeeded: number;
  failed: number;
  truncated: number;
  reused: number;
  /** Of all its requests, those that failed included. */
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  /** In billionths of a US dollar; null where any part of it is unknown. */
  costNanoUsd: number | null;
}

/** The steps of a run's perspectives, in the order of the config. */
export function stepRows(store: Store, runId: number): StepRow[] {
  const inState = (state: "succeeded" | "failed") => sql<number>`sum(${calls.state} = ${state})`;
  const position = perspectives.position;
  const used = new Map(
    store.db
      .select({
        position,
        step: calls.step,
        prompt_tokens: wholeSum(attempts.promptTokens),
        completion_tokens: wholeSum(attempts.completionTokens),
        cached_tokens: wholeSum(attempts.cachedTokens),
        reasoning_tokens: wholeSum(attempts.reasoningTokens),
        cost: wholeSum(attempts.costNanoUsd),
        unpriced: sql<number>`sum(${attempts.costNanoUsd} is null and ${attempts.reservedPromptTokens} is null)`,
      })
      .from(tasks)
      .innerJoin(calls, eq(calls.taskId, tasks.id))
      .innerJoin(perspectives, eq(perspectives.id, calls.perspectiveId))
      .innerJoin(attempts, eq(attempts.callId, calls.id))
      .where(eq(tasks.runId, runId))
      .groupBy(position, calls.step)
      .all()
      .map((row) => [`${row.position} ${row.step}`, row]),
  );
  return store.db
    .select({
      position,
      condition: perspectives.condition,
      step: calls.step,
      total: count(),
      succeeded: inState("succeeded"),
      failed: inState("failed"),
      truncated: sql<number>`sum(coalesce(${answers.finishReason} = 'length', 0))`,
      reused: sql<number>`sum(${isReused})`,
    })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(perspectives, eq(perspectives.id, calls.perspectiveId))
    .leftJoin(answers, eq(answers.id, calls.answerId))
    .where(eq(tasks.runId, runId))
    .groupBy(position, calls.step)
    .orderBy(asc(position), asc(calls.step))
    .all()
    .map(({ position: at, ...row }) => {
      const sums = used.get(`${at} ${row.step}`);
      return {
        ...row,
        prompt_tokens: sums?.prompt_tokens ?? 0,
        completion_tokens: sums?.completion_tokens ?? 0,
        cached_tokens: sums?.cached_tokens ?? 0,
        reasoning_tokens: sums?.reasoning_tokens ?? 0,
        costNanoUsd: (sums?.unpriced ?? 0) > 0 ? null : (sums?.cost ?? 0),
      };
    });
}

/** Answers of a run that were asked with other settings than the run's. */
export interface OtherSettings {
  parameters: Settings["parameters"];
  answers: number;
}

/** @internal */
export function otherSettings(
  store: Store,
  run: Pick<RunRow, "id" | "settingsId" | "hasMixedSettings">,
): OtherSettings[] {
  if (!run.hasMixedSettings) return [];
  return store.db
    .select({ settings: settings.value, answers: count() })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(answers, eq(answers.id, calls.answerId))
    .innerJoin(settings, eq(settings.id, answers.settingsId))
    .where(and(eq(tasks.runId, run.id), ne(answers.settingsId, run.settingsId)))
    .groupBy(settings.id)
    .orderBy(asc(settings.id))
    .all()
    .map((row) => ({ parameters: row.settings.parameters, answers: row.answers }));
}

/** How many answers of a run other runs have as well. */
export function sharedAnswers(store: Store, runId: number): number {
  const others = alias(calls, "others");
  const isShared = sql`exists (select 1 from calls others
    where ${others.answerId} = ${calls.answerId} and ${others.runId} <> ${runId})`;
  const row = store.db
    .select({ answers: count() })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .where(and(eq(tasks.runId, runId), isShared))
    .get();
  return row?.answers ?? 0;
}

/** Attempts of a run that failed, by their reason, and calls that are failed without one, as a dataset says so. */
export interface FailureRow {
  reason: string;
  attempts: number;
  /** The calls among them that have failed for this reason and are not tried again. */
  calls: number;
  example: string | null;
}

export function failureRows(store: Store, runId: number): FailureRow[] {
  const rows = new Map(attemptRows(store, runId).map((row) => [row.reason, row]));
  const unsent = store.db
    .select({ reason: sql<string>`${calls.failure}`, calls: count() })
    .from(calls)
    // In the words of the partial index.
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
      // SQLite takes the bare column from the row that has the maximum: the latest message.
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
