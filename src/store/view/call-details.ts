import { oncePerStore, type Store } from "../file/store.ts";

/* Prepared SQL, so that each statement reads a limited number of rows of an index. */

/** A request that was sent for a call. */
export interface SentAttempt {
  startedAt: number;
  durationMs: number;
  outcome: string;
  decision: string;
  server: string | null;
  httpStatus: number | null;
  requestId: string | null;
  errorCode: string | null;
  message: string | null;
  refusal: string | null;
  isBatched: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  costNanoUsd: number | null;
}

/** How many calls with an answer are searched for other runs. */
const SEARCHED = 10_000;

const statements = oncePerStore(({ sqlite }) => ({
  attempts: sqlite.prepare<[number, number], SentAttempt>(
    `select started_at startedAt, duration_ms durationMs, outcome, decision, server, http_status httpStatus,
       request_id requestId, error_code errorCode, message, refusal, batch_id is not null isBatched,
       prompt_tokens promptTokens, completion_tokens completionTokens, cached_tokens cachedTokens,
       reasoning_tokens reasoningTokens, cost_nano_usd costNanoUsd
     from attempts where call_id = ? order by id desc limit ?`,
  ),
  sharers: sqlite
    .prepare<[number, number, number, number], string>(
      `select distinct r.public_id from (select run_id from calls where answer_id = ? limit ?) c
         join runs r on r.id = c.run_id
       where c.run_id <> ? and r.planned_at is not null limit ?`,
    )
    .pluck(),
}));

/** The last requests that a run sent for a call, the oldest of them first. */
export function lastAttempts(store: Store, callId: number, most: number): SentAttempt[] {
  return statements(store).attempts.all(callId, most).toReversed();
}

/** Other runs whose calls have an answer. */
export function otherRunsWith(store: Store, answerId: number, runId: number, most: number): string[] {
  return statements(store).sharers.all(answerId, SEARCHED, runId, most);
}
