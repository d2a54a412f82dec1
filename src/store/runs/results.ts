import { checksumOf } from "../check/checksum.ts";
import type { Store } from "../file/store.ts";
import { inTransaction } from "../file/transaction.ts";
import { EMPTY, type OpenCall, WORKER_LOST } from "./calls.ts";
import { checkLease, type Lease } from "./leases.ts";
import type { SettingsByPerspective } from "./plan.ts";
import { type Reservation, type Result, type Reused, type TotalsDelta, UNANSWERED, type Usage } from "./result.ts";
import { statements } from "./result-statements.ts";

/**
 * A request that is about to be sent, and the most tokens that it may be charged for.
 * @internal
 */
export interface Leaving {
  call: OpenCall;
  reserved: Reservation;
  /** The base URL of its server, if the run has several. */
  server: string | null;
  /** Its token, if it leaves by a queue. */
  token: string | null;
}

/**
 * Stores, in one transaction, the results of requests, and the attempts that are about to be sent.
 * @param asked the settings of the perspectives, which calls have unless they want others
 * @returns the change of the totals, and the ids of the new attempts
 * @throws StoppedError when this process has lost the run, or the disk is full; then nothing is stored, and nothing may
 *   be sent
 * @internal
 */
export function commitTurn(
  store: Store,
  lease: Lease,
  asked: SettingsByPerspective,
  { came, leaving }: { came: readonly Result[]; leaving: readonly Leaving[] },
): { delta: TotalsDelta; attemptIds: number[] } {
  return inTransaction(store, () => {
    checkLease(store, lease);
    const delta = storeResults(store, lease, asked, came);
    return { delta, attemptIds: openAttempts(store, leaving) };
  });
}

function openAttempts(store: Store, leaving: readonly Leaving[]): number[] {
  const { openAttempt } = statements(store);
  const startedAt = Date.now();
  return leaving.map(({ call, reserved, server, token: jobToken }) => {
    const { promptTokens: reservedPromptTokens, completionTokens: reservedCompletionTokens } = reserved;
    const row = { callId: call.id, startedAt, server, jobToken, reservedPromptTokens, reservedCompletionTokens };
    return Number(openAttempt.run(row).lastInsertRowid);
  });
}

/**
 * Stores results of a run in one transaction: attempts, answers, the states of the calls and the run's totals.
 * @param asked the settings of the perspectives, which calls have unless they want others
 * @throws StoppedError when this process has lost the run, or the disk is full; then nothing is stored
 * @internal
 */
export function commitResults(
  store: Store,
  lease: Lease,
  asked: SettingsByPerspective,
  results: readonly (Result | Reused)[],
): TotalsDelta {
  return inTransaction(store, () => {
    checkLease(store, lease);
    return storeResults(store, lease, asked, results);
  });
}

function storeResults(
  store: Store,
  { runId }: Lease,
  asked: SettingsByPerspective,
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
      if (result.answer && result.answer.settingsId !== settingsIdOf(asked, result.call)) mixed = 1;
      storeOutcome(store, asked, result, delta);
    } else {
      answerCall(store, asked, result.call, result.answer, delta);
      if (result.answer.settingsId !== settingsIdOf(asked, result.call)) mixed = 1;
      delta.callsReused += 1;
    }
  }
  statements(store).totals.run({ ...delta, runId, estimated, mixed, now: Date.now() });
  return delta;
}

function settingsIdOf(asked: SettingsByPerspective, { perspectiveId }: OpenCall): number {
  const settings = asked.get(perspectiveId);
  if (!settings) throw new Error(`the perspective ${perspectiveId} is not of the run`);
  return settings.id;
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
  if (attempt.outcome !== UNANSWERED) delta.attempts += 1;
  delta.promptTokens += attempt.promptTokens;
  delta.completionTokens += attempt.completionTokens;
  delta.cachedTokens += attempt.cachedTokens;
  delta.cacheWriteTokens += attempt.cacheWriteTokens;
  delta.reasoningTokens += attempt.reasoningTokens;
  delta.costNanoUsd += attempt.costNanoUsd ?? 0;
  if (attempt.costNanoUsd === null && reserved === null) delta.attemptsUnpriced += 1;
}

function storeOutcome(store: Store, asked: SettingsByPerspective, result: Result, delta: TotalsDelta): void {
  const { call, attempt, answer } = result;
  const write = statements(store);
  if (answer) {
    const id = Number(
      write.answer.run({ ...answer, checksum: checksumOf(answer.text), ...usageOf(attempt), createdAt: Date.now() })
        .lastInsertRowid,
    );
    answerCall(store, asked, call, { id, finishReason: answer.finishReason }, delta);
    // If this is the first answer of the call's own requests, the replaced answer was a reused one.
    if (call.answerId !== null && write.timesAnswered.get({ callId: call.id })?.times === 1) delta.callsReused -= 1;
  } else if (attempt.decision === "fail" && call.answerId !== null) {
    delta.callsReopened -= write.keep.run({ id: call.id }).changes;
  } else if (attempt.decision === "fail") {
    const failure = attempt.outcome === UNANSWERED ? WORKER_LOST : attempt.outcome;
    delta.callsFailed += write.fail.run({ id: call.id, failure }).changes;
    if (call.step === "reading" && attempt.outcome !== EMPTY) {
      delta.callsFailed += write.failStrategy.run(chainOf(call)).changes;
    }
  }
}

/** Gives an open call its answer. A better answer replaces the earlier one. */
function answerCall(
  store: Store,
  asked: SettingsByPerspective,
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
    delta.callsReopened += write.reopenStrategy.run({
      ...chainOf(call),
      settingsId: settingsIdOf(asked, call),
    }).changes;
  }
}

function usageOf(usage: Usage): Usage {
  const { promptTokens, completionTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens } = usage;
  const { reasoningTokens, tokensEstimated } = usage;
  const ofPrompt = { promptTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens };
  return { ...ofPrompt, completionTokens, reasoningTokens, tokensEstimated };
}

function chainOf({ taskId, perspectiveId, replicate }: OpenCall) {
  return { taskId, perspectiveId, replicate };
}
