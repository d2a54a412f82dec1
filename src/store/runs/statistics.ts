import { asc, count, eq, sql } from "drizzle-orm";
import { isReused, wholeSum } from "./money.ts";
import type { Store } from "../file/store.ts";
import { answers, attempts, calls, perspectives, tasks } from "../schema.ts";

/** The results of one step of a perspective. */
export interface StepRow {
  condition: string;
  step: "reading" | "strategy";
  total: number;
  succeeded: number;
  failed: number;
  truncated: number;
  reused: number;
  /** Of all its requests, including failed ones. */
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  /** In billionths of a US dollar; null if any part of it is unknown. */
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
