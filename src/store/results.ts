import { and, eq, isNotNull, isNull, or, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import { EMPTY, type OpenCall, READING_FAILED, strategyOfChain } from "./calls.ts";
import { checkLease, type Lease } from "./leases.ts";
import { inTransaction, oncePerStore, placeholders, type Store } from "./open.ts";
import { answers, attempts, calls, runs } from "./schema.ts";

/** Token counts of one answer. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** A subset of the prompt tokens. */
  cachedTokens: number;
  /** A subset of the completion tokens. */
  reasoningTokens: number;
  /** Whether they were counted here, as the provider reported none. */
  tokensEstimated: boolean;
}

/** What came of one request. */
export interface AttemptRecord extends Usage {
  startedAt: number;
  durationMs: number;
  outcome: string;
  decision: "kept" | "retry" | "fail" | "stop";
  httpStatus: number | null;
  requestId: string | null;
  errorCode: string | null;
  message: string | null;
}

interface NewAnswer {
  key: string;
  settingsId: number;
  origin: "live" | "batch" | "imported";
  text: string;
  finishReason: string | null;
  servedModel: string | null;
}

/**
 * An attempt, with the answer where it brought one that was kept.
 * @internal
 */
export interface Result {
  call: OpenCall;
  attempt: AttemptRecord;
  answer: NewAnswer | null;
}

/** How a run's totals change with some results. */
export interface TotalsDelta {
  callsSucceeded: number;
  callsFailed: number;
  callsTruncated: number;
  /** Answered calls that are to be answered better. */
  callsReopened: number;
  attempts: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
}

const USAGE = ["promptTokens", "completionTokens", "cachedTokens", "reasoningTokens", "tokensEstimated"] as const;

const isOpen = or(eq(calls.state, "pending"), isNotNull(calls.wantedSettingsId));

const statements = oncePerStore(({ db }) => ({
  answer: db
    .insert(answers)
    .values(placeholders("key", "settingsId", "origin", "text", "finishReason", "servedModel", "createdAt", ...USAGE))
    .prepare(),
  attempt: db
    .insert(attempts)
    .values(
      placeholders(
        "callId",
        "startedAt",
        "durationMs",
        "outcome",
        "decision",
        "httpStatus",
        "requestId",
        "errorCode",
        "message",
        ...USAGE,
      ),
    )
    .prepare(),
  succeed: db
    .update(calls)
    .set({ state: "succeeded", answerId: sql`${sql.placeholder("answerId")}`, failure: null, wantedSettingsId: null })
    .where(and(eq(calls.id, sql.placeholder("id")), isOpen))
    .prepare(),
  fail: db
    .update(calls)
    .set({ state: "failed", failure: sql`${sql.placeholder("failure")}`, wantedSettingsId: null })
    .where(and(eq(calls.id, sql.placeholder("id")), eq(calls.state, "pending")))
    .prepare(),
  failStrategy: db
    .update(calls)
    .set({ state: "failed", failure: READING_FAILED })
    .where(and(strategyOfChain, eq(calls.state, "pending")))
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
    .where(and(strategyOfChain, eq(calls.state, "succeeded"), isNull(calls.wantedSettingsId)))
    .prepare(),
  isCut: db
    .select({ one: sql`1` })
    .from(answers)
    .where(and(eq(answers.id, sql.placeholder("id")), eq(answers.finishReason, "length")))
    .prepare(),
  totals: db
    .update(runs)
    .set({
      callsSucceeded: plus(runs.callsSucceeded, "callsSucceeded"),
      callsFailed: plus(runs.callsFailed, "callsFailed"),
      callsTruncated: plus(runs.callsTruncated, "callsTruncated"),
      callsReopened: plus(runs.callsReopened, "callsReopened"),
      attempts: plus(runs.attempts, "attempts"),
      promptTokens: plus(runs.promptTokens, "promptTokens"),
      completionTokens: plus(runs.completionTokens, "completionTokens"),
      cachedTokens: plus(runs.cachedTokens, "cachedTokens"),
      reasoningTokens: plus(runs.reasoningTokens, "reasoningTokens"),
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

function plus(column: SQLiteColumn, name: keyof TotalsDelta): SQL {
  return sql`(${column} + ${sql.placeholder(name)})`;
}

/**
 * Stores results of a run in one transaction: attempts, answers, the states of the calls and the run's totals.
 * @param runSettingsId what the run's calls are asked with where nothing else is wanted
 * @throws StoppedError when this process has lost the run, or the disk is full; then nothing of them is stored
 * @internal
 */
export function commitResults(
  store: Store,
  lease: Lease,
  runSettingsId: number,
  results: readonly Result[],
): TotalsDelta {
  return inTransaction(store, () => {
    checkLease(store, lease);
    const delta = emptyDelta();
    for (const result of results) storeResult(store, runSettingsId, result, delta);
    const estimated = results.some(({ attempt }) => attempt.tokensEstimated) ? 1 : 0;
    const mixed = results.some(({ answer }) => answer && answer.settingsId !== runSettingsId) ? 1 : 0;
    statements(store).totals.run({ ...delta, runId: lease.runId, estimated, mixed, now: Date.now() });
    return delta;
  });
}

function emptyDelta(): TotalsDelta {
  return {
    callsSucceeded: 0,
    callsFailed: 0,
    callsTruncated: 0,
    callsReopened: 0,
    attempts: 0,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    reasoningTokens: 0,
  };
}

function storeResult(store: Store, runSettingsId: number, { call, attempt, answer }: Result, delta: TotalsDelta): void {
  const write = statements(store);
  write.attempt.run({ callId: call.id, ...attempt });
  delta.attempts += 1;
  delta.promptTokens += attempt.promptTokens;
  delta.completionTokens += attempt.completionTokens;
  delta.cachedTokens += attempt.cachedTokens;
  delta.reasoningTokens += attempt.reasoningTokens;
  if (answer) {
    const createdAt = attempt.startedAt + attempt.durationMs;
    const answerId = write.answer.run({ ...answer, ...usageOf(attempt), createdAt }).lastInsertRowid;
    const { changes } = write.succeed.run({ id: call.id, answerId });
    if (changes !== 1) throw new Error(`the call ${call.id} was answered already`);
    if (answer.finishReason === "length") delta.callsTruncated += 1;
    if (call.answerId === null) {
      delta.callsSucceeded += 1;
    } else {
      delta.callsReopened -= 1;
      if (write.isCut.get({ id: call.answerId })) delta.callsTruncated -= 1;
    }
    if (call.step === "reading") {
      delta.callsReopened += write.reopenStrategy.run({ ...chainOf(call), settingsId: runSettingsId }).changes;
    }
  } else if (attempt.decision === "fail" && call.answerId !== null) {
    delta.callsReopened -= write.keep.run({ id: call.id }).changes;
  } else if (attempt.decision === "fail") {
    delta.callsFailed += write.fail.run({ id: call.id, failure: attempt.outcome }).changes;
    if (call.step === "reading" && attempt.outcome !== EMPTY) {
      delta.callsFailed += write.failStrategy.run(chainOf(call)).changes;
    }
  }
}

function usageOf({ promptTokens, completionTokens, cachedTokens, reasoningTokens, tokensEstimated }: Usage): Usage {
  return { promptTokens, completionTokens, cachedTokens, reasoningTokens, tokensEstimated };
}

function chainOf({ taskId, perspectiveId, replicate }: OpenCall) {
  return { taskId, perspectiveId, replicate };
}
