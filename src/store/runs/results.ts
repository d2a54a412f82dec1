import { and, count, eq, isNotNull, isNull, or, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import { checksumOf } from "../check/checksum.ts";
import { EMPTY, type OpenCall, READING_FAILED, strategyOfChain } from "./calls.ts";
import { checkLease, type Lease } from "./leases.ts";
import { inTransaction } from "../file/transaction.ts";
import { oncePerStore, placeholders, type Store } from "../file/store.ts";
import { answers, attempts, calls, runs } from "../schema.ts";

/** Token counts of one answer. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** A subset of the prompt tokens. */
  cachedTokens: number;
  /** Another subset of the prompt tokens. */
  cacheWriteTokens: number;
  /** A subset of the completion tokens. */
  reasoningTokens: number;
  /** Whether they were counted here, as the provider reported none. */
  tokensEstimated: boolean;
}

/** What a request may be charged with at most. */
export interface Reservation {
  promptTokens: number;
  /** Null where nothing limits them. */
  completionTokens: number | null;
}

/** The outcome of an attempt of which nothing is known but that it was sent. */
const UNANSWERED = "unanswered";

/** What came of one request. */
export interface AttemptRecord extends Usage {
  durationMs: number;
  outcome: string;
  decision: "kept" | "retry" | "fail" | "stop";
  /** In billionths of a US dollar; null where the price is unknown, or whether it was charged. */
  costNanoUsd: number | null;
  /** What it may have been charged with; null where that is known. */
  reserved: Reservation | null;
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
  finishReasonRaw: string | null;
  servedModel: string | null;
}

/**
 * An attempt, with the answer where it brought one that was kept.
 * @internal
 */
export interface Result {
  call: OpenCall;
  attemptId: number;
  /** Whether it was sent in a batch, which the call leaves with this. */
  isBatched: boolean;
  attempt: AttemptRecord;
  answer: NewAnswer | null;
}

/**
 * A call for which an earlier call's answer does.
 * @internal
 */
export interface Reused {
  call: OpenCall;
  answer: { id: number; settingsId: number; finishReason: string | null };
}

/** How a run's totals change with some results. */
export interface TotalsDelta {
  callsSucceeded: number;
  callsFailed: number;
  callsTruncated: number;
  /** Answered calls that are to be answered better. */
  callsReopened: number;
  callsReused: number;
  /** Requests that have come to an end. */
  attempts: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  cacheWriteTokens: number;
  reasoningTokens: number;
  /** In billionths of a US dollar. */
  costNanoUsd: number;
  attemptsUnpriced: number;
}

const USAGE = [
  "promptTokens",
  "completionTokens",
  "cachedTokens",
  "cacheWriteTokens",
  "reasoningTokens",
  "tokensEstimated",
] as const;

// Literals: SQLite plans a statement anew for each value of a parameter that a partial index might serve.
const isPending = sql`${calls.state} = 'pending'`;
const isDone = sql`${calls.state} = 'succeeded'`;
const isOpen = or(isPending, isNotNull(calls.wantedSettingsId));

const statements = oncePerStore(({ db }) => ({
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
  openAttempt: db
    .insert(attempts)
    .values({
      ...placeholders("callId", "startedAt", "reservedPromptTokens", "reservedCompletionTokens"),
      durationMs: 0,
      outcome: UNANSWERED,
      decision: "retry",
    })
    .prepare(),
  attempt: db
    .update(attempts)
    .set(
      setters(
        "durationMs",
        "outcome",
        "decision",
        "httpStatus",
        "requestId",
        "errorCode",
        "message",
        "costNanoUsd",
        "reservedPromptTokens",
        "reservedCompletionTokens",
        ...USAGE,
      ),
    )
    .where(eq(attempts.id, sql.placeholder("id")))
    .prepare(),
  leaveBatch: db
    .update(calls)
    .set({ batchId: null })
    .where(eq(calls.id, sql.placeholder("id")))
    .prepare(),
  timesAnswered: db
    .select({ times: count() })
    .from(attempts)
    .innerJoin(calls, eq(calls.id, attempts.callId))
    .innerJoin(runs, and(eq(runs.id, calls.runId), isNull(runs.imported)))
    .where(and(eq(attempts.callId, sql.placeholder("callId")), eq(attempts.outcome, "succeeded")))
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

function plus(column: SQLiteColumn, name: keyof TotalsDelta): SQL {
  return sql`(${column} + ${sql.placeholder(name)})`;
}

/** A placeholder for each name, for the columns that a prepared update sets. */
function setters<Name extends string>(...names: Name[]): Record<Name, SQL> {
  return Object.fromEntries(names.map((name) => [name, sql`${sql.placeholder(name)}`])) as Record<Name, SQL>;
}

/**
 * A request that is about to be sent, and what it may be charged with.
 * @internal
 */
export interface Leaving {
  call: OpenCall;
  reserved: Reservation;
}

/**
 * Stores, in one transaction, what came of requests, and writes down that others are about to be sent.
 * @param runSettingsId what the run's calls are asked with where nothing else is wanted
 * @returns how the totals change, and the ids of the attempts that are about to be made
 * @throws StoppedError when this process has lost the run, or the disk is full; then nothing of them is stored, and
 *   nothing may be sent
 * @internal
 */
export function commitTurn(
  store: Store,
  lease: Lease,
  runSettingsId: number,
  { came, leaving }: { came: readonly Result[]; leaving: readonly Leaving[] },
): { delta: TotalsDelta; attemptIds: number[] } {
  return inTransaction(store, () => {
    checkLease(store, lease);
    const delta = storeResults(store, lease, runSettingsId, came);
    return { delta, attemptIds: openAttempts(store, leaving) };
  });
}

function openAttempts(store: Store, leaving: readonly Leaving[]): number[] {
  const { openAttempt } = statements(store);
  const startedAt = Date.now();
  return leaving.map(({ call, reserved }) => {
    const { promptTokens: reservedPromptTokens, completionTokens: reservedCompletionTokens } = reserved;
    const row = { callId: call.id, startedAt, reservedPromptTokens, reservedCompletionTokens };
    return Number(openAttempt.run(row).lastInsertRowid);
  });
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
  results: readonly (Result | Reused)[],
): TotalsDelta {
  return inTransaction(store, () => {
    checkLease(store, lease);
    return storeResults(store, lease, runSettingsId, results);
  });
}

function storeResults(
  store: Store,
  { runId }: Lease,
  runSettingsId: number,
  results: readonly (Result | Reused)[],
): TotalsDelta {
  const delta = emptyDelta();
  if (results.length === 0) return delta;
  let [mixed, estimated] = [0, 0];
  for (const result of results) {
    if ("attempt" in result) {
      storeAttempt(store, result, delta);
      if (result.isBatched) statements(store).leaveBatch.run({ id: result.call.id });
      if (result.attempt.tokensEstimated) estimated = 1;
      if (result.answer && result.answer.settingsId !== runSettingsId) mixed = 1;
      storeOutcome(store, runSettingsId, result, delta);
    } else {
      answerCall(store, runSettingsId, result.call, result.answer, delta);
      if (result.answer.settingsId !== runSettingsId) mixed = 1;
      delta.callsReused += 1;
    }
  }
  statements(store).totals.run({ ...delta, runId, estimated, mixed, now: Date.now() });
  return delta;
}

function emptyDelta(): TotalsDelta {
  return {
    callsSucceeded: 0,
    callsFailed: 0,
    callsTruncated: 0,
    callsReopened: 0,
    callsReused: 0,
    attempts: 0,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
    costNanoUsd: 0,
    attemptsUnpriced: 0,
  };
}

function storeAttempt(store: Store, { attemptId, attempt }: Result, delta: TotalsDelta): void {
  const { reserved, ...columns } = attempt;
  statements(store).attempt.run({
    id: attemptId,
    ...columns,
    tokensEstimated: columns.tokensEstimated ? 1 : 0,
    reservedPromptTokens: reserved?.promptTokens ?? null,
    reservedCompletionTokens: reserved?.completionTokens ?? null,
  });
  delta.attempts += 1;
  delta.promptTokens += attempt.promptTokens;
  delta.completionTokens += attempt.completionTokens;
  delta.cachedTokens += attempt.cachedTokens;
  delta.cacheWriteTokens += attempt.cacheWriteTokens;
  delta.reasoningTokens += attempt.reasoningTokens;
  delta.costNanoUsd += attempt.costNanoUsd ?? 0;
  if (attempt.costNanoUsd === null && reserved === null) delta.attemptsUnpriced += 1;
}

function storeOutcome(store: Store, runSettingsId: number, result: Result, delta: TotalsDelta): void {
  const { call, attempt, answer } = result;
  const write = statements(store);
  if (answer) {
    const id = Number(
      write.answer.run({ ...answer, checksum: checksumOf(answer.text), ...usageOf(attempt), createdAt: Date.now() })
        .lastInsertRowid,
    );
    answerCall(store, runSettingsId, call, { id, finishReason: answer.finishReason }, delta);
    // The answer that a better one has followed was an earlier call's, where none came for this one before.
    if (call.answerId !== null && write.timesAnswered.get({ callId: call.id })?.times === 1) delta.callsReused -= 1;
  } else if (attempt.decision === "fail" && call.answerId !== null) {
    delta.callsReopened -= write.keep.run({ id: call.id }).changes;
  } else if (attempt.decision === "fail") {
    delta.callsFailed += write.fail.run({ id: call.id, failure: attempt.outcome }).changes;
    if (call.step === "reading" && attempt.outcome !== EMPTY) {
      delta.callsFailed += write.failStrategy.run(chainOf(call)).changes;
    }
  }
}

/** Gives an open call its answer, in the place of the one that it has where it has one. */
function answerCall(
  store: Store,
  runSettingsId: number,
  call: OpenCall,
  answer: { id: number; finishReason: string | null },
  delta: TotalsDelta,
): void {
  const write = statements(store);
  const { changes } = write.succeed.run({ id: call.id, answerId: answer.id });
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
}

function usageOf(usage: Usage): Usage {
  const { promptTokens, completionTokens, cachedTokens, cacheWriteTokens, reasoningTokens, tokensEstimated } = usage;
  return { promptTokens, completionTokens, cachedTokens, cacheWriteTokens, reasoningTokens, tokensEstimated };
}

function chainOf({ taskId, perspectiveId, replicate }: OpenCall) {
  return { taskId, perspectiveId, replicate };
}
