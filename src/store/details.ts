import { and, asc, count, eq, max, ne, sql, sum } from "drizzle-orm";
import type { Store } from "./open.ts";
import type { Settings } from "../plan/settings.ts";
import type { RunRow } from "./runs.ts";
import { answers, attempts, calls, perspectives, settings, tasks } from "./schema.ts";

/** What came of one step of a perspective. */
export interface StepRow {
  condition: string;
  step: "reading" | "strategy";
  total: number;
  succeeded: number;
  failed: number;
  truncated: number;
  prompt_tokens: number;
  completion_tokens: number;
}

/** The steps of a run's perspectives, in the order of the config; tokens are those of the kept answers. */
export function stepRows(store: Store, runId: number): StepRow[] {
  const inState = (state: "succeeded" | "failed") => sql<number>`sum(${calls.state} = ${state})`;
  return store.db
    .select({
      condition: perspectives.condition,
      step: calls.step,
      total: count(),
      succeeded: inState("succeeded"),
      failed: inState("failed"),
      truncated: sql<number>`sum(coalesce(${answers.finishReason} = 'length', 0))`,
      prompt_tokens: sum(answers.promptTokens).mapWith(Number),
      completion_tokens: sum(answers.completionTokens).mapWith(Number),
    })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(perspectives, eq(perspectives.id, calls.perspectiveId))
    .leftJoin(answers, eq(answers.id, calls.answerId))
    .where(eq(tasks.runId, runId))
    .groupBy(perspectives.position, calls.step)
    .orderBy(asc(perspectives.position), asc(calls.step))
    .all()
    .map((row) => ({ ...row, prompt_tokens: row.prompt_tokens ?? 0, completion_tokens: row.completion_tokens ?? 0 }));
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

/** Attempts of a run that failed, by their reason. */
export interface FailureRow {
  reason: string;
  attempts: number;
  /** The calls among them that have failed for this reason and are not tried again. */
  calls: number;
  example: string | null;
}

export function failureRows(store: Store, runId: number): FailureRow[] {
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
    .orderBy(asc(attempts.outcome))
    .all()
    .map(({ reason, attempts: sent, calls: failed, example }) => ({ reason, attempts: sent, calls: failed, example }));
}

/** One attempt that failed. */
export interface FailedAttempt {
  /** ISO 8601, UTC. */
  started_at: string;
  duration_ms: number;
  /** The row of the input file, from 0. */
  task: number;
  condition: string;
  step: "reading" | "strategy";
  reason: string;
  decision: string;
  http_status: number | null;
  error_code: string | null;
  request_id: string | null;
  message: string | null;
}

/** Every attempt of a run that failed, in the order in which they were stored. */
export function failedAttempts(store: Store, runId: number): FailedAttempt[] {
  return store.db
    .select({
      startedAt: attempts.startedAt,
      duration_ms: attempts.durationMs,
      task: tasks.position,
      condition: perspectives.condition,
      step: calls.step,
      reason: attempts.outcome,
      decision: attempts.decision,
      http_status: attempts.httpStatus,
      error_code: attempts.errorCode,
      request_id: attempts.requestId,
      message: attempts.message,
    })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(perspectives, eq(perspectives.id, calls.perspectiveId))
    .innerJoin(attempts, eq(attempts.callId, calls.id))
    .where(and(eq(tasks.runId, runId), ne(attempts.outcome, "succeeded")))
    .orderBy(asc(attempts.id))
    .all()
    .map(({ startedAt, ...attempt }) => ({ started_at: new Date(startedAt).toISOString(), ...attempt }));
}
