import { and, count, eq, isNotNull, isNull, or, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import { oncePerStore, placeholders, type Store } from "../file/store.ts";
import { answers, attempts, calls, runs } from "../schema.ts";
import { READING_FAILED, strategyOfChain } from "./calls.ts";
import { type TotalsDelta, UNANSWERED } from "./result.ts";

const USAGE = [
  "promptTokens",
  "completionTokens",
  "cachedTokens",
  "cacheWriteTokens",
  "cacheWrite1hTokens",
  "reasoningTokens",
  "tokensEstimated",
] as const;

// Literals, not parameters: SQLite would plan the statement again for each value, because of the partial index.
const isPending = sql`${calls.state} = 'pending'`;
const isDone = sql`${calls.state} = 'succeeded'`;
const isOpen = or(isPending, isNotNull(calls.wantedSettingsId));

export const statements = oncePerStore(({ db }) => ({
  ...ofAnswers(db),
  ...ofAttempts(db),
  ...ofCalls(db),
  totals: db
    .update(runs)
    .set({
      callsSucceeded: plus(runs.callsSucceeded, "callsSucceeded"),
      callsFailed: plus(runs.callsFailed, "callsFailed"),
      callsTruncated: plus(runs.callsTruncated, "callsTruncated"),
      callsReopened: plus(runs.callsReopened, "callsReopened"),
      callsReused: plus(runs.callsReused, "callsReused"),
      attempts: plus(runs.attempts, "attempts"),
      promptTokens: plus(runs.promptTokens, "promptTokens"),
      completionTokens: plus(runs.completionTokens, "completionTokens"),
      cachedTokens: plus(runs.cachedTokens, "cachedTokens"),
      cacheWriteTokens: plus(runs.cacheWriteTokens, "cacheWriteTokens"),
      reasoningTokens: plus(runs.reasoningTokens, "reasoningTokens"),
      costNanoUsd: plus(runs.costNanoUsd, "costNanoUsd"),
      attemptsUnpriced: plus(runs.attemptsUnpriced, "attemptsUnpriced"),
      hasMixedSettings: sql`max(${runs.hasMixedSettings}, ${sql.placeholder("mixed")})`,
      tokensEstimated: sql`max(${runs.tokensEstimated}, ${sql.placeholder("estimated")})`,
      finishedAt: sql`case when ${runs.callsTotal} - ${plus(runs.callsSucceeded, "callsSucceeded")} - ${plus(
        runs.callsFailed,
        "callsFailed",
      )} = 0 then ${sql.placeholder("now")} end`,
    })
    .where(eq(runs.id, sql.placeholder("runId")))
    .prepare(),
}));

const ofAnswers = (db: Store["db"]) => ({
  answer: db
    .insert(answers)
    .values(
      placeholders(
        "key",
        "settingsId",
        "origin",
        "text",
        "checksum",
        "finishReason",
        "finishReasonRaw",
        "servedModel",
        "createdAt",
        ...USAGE,
      ),
    )
    .prepare(),
  isCut: db
    .select({ one: sql`1` })
    .from(answers)
    .where(and(eq(answers.id, sql.placeholder("id")), eq(answers.finishReason, "length")))
    .prepare(),
});

const ofAttempts = (db: Store["db"]) => ({
  openAttempt: db
    .insert(attempts)
    .values({
      ...placeholders("callId", "startedAt", "server", "jobToken", "reservedPromptTokens", "reservedCompletionTokens"),
      durationMs: 0,
      outcome: UNANSWERED,
      decision: "retry",
    })
    .prepare(),
  attempt: db
    .update(attempts)
    .set({
      jobToken: sql`case when ${sql.placeholder("outcome")} = ${sql.raw(`'${UNANSWERED}'`)} then ${attempts.jobToken} end`,
      ...setters(
        "durationMs",
        "outcome",
        "decision",
        "httpStatus",
        "requestId",
        "errorCode",
        "message",
        "refusal",
        "costNanoUsd",
        "reservedPromptTokens",
        "reservedCompletionTokens",
        ...USAGE,
      ),
    })
    .where(eq(attempts.id, sql.placeholder("id")))
    .prepare(),
  timesAnswered: db
    .select({ times: count() })
    .from(attempts)
    .innerJoin(calls, eq(calls.id, attempts.callId))
    .innerJoin(runs, and(eq(runs.id, calls.runId), isNull(runs.imported)))
    .where(and(eq(attempts.callId, sql.placeholder("callId")), eq(attempts.outcome, "succeeded")))
    .prepare(),
});

const ofCalls = (db: Store["db"]) => ({
  leaveBatch: db
    .update(calls)
    .set({ batchId: null })
    .where(eq(calls.id, sql.placeholder("id")))
    .prepare(),
  succeed: db
    .update(calls)
    .set({ state: "succeeded", answerId: sql`${sql.placeholder("answerId")}`, failure: null, wantedSettingsId: null })
    .where(and(eq(calls.id, sql.placeholder("id")), isOpen))
    .prepare(),
  fail: db
    .update(calls)
    .set({ state: "failed", failure: sql`${sql.placeholder("failure")}`, wantedSettingsId: null })
    .where(and(eq(calls.id, sql.placeholder("id")), isPending))
    .prepare(),
  failStrategy: db
    .update(calls)
    .set({ state: "failed", failure: READING_FAILED })
    .where(and(strategyOfChain, isPending))
    .prepare(),
  keep: db
    .update(calls)
    .set({ wantedSettingsId: null })
    .where(eq(calls.id, sql.placeholder("id")))
    .prepare(),
  // A strategy that is done worked on other notes, or on none. Its response stands until there is one on these.
  reopenStrategy: db
    .update(calls)
    .set({ wantedSettingsId: sql`${sql.placeholder("settingsId")}` })
    .where(and(strategyOfChain, isDone, isNull(calls.wantedSettingsId)))
    .prepare(),
});

function plus(column: SQLiteColumn, name: keyof TotalsDelta): SQL {
  return sql`(${column} + ${sql.placeholder(name)})`;
}

/** Placeholders for the columns that a prepared update sets, by name. */
function setters<Name extends string>(...names: Name[]): Record<Name, SQL> {
  return Object.fromEntries(names.map((name) => [name, sql`${sql.placeholder(name)}`])) as Record<Name, SQL>;
}
