import { oncePerStore, type Store } from "../file/store.ts";

/* Prepared SQL, so that its columns can have the names of the SQL view of attempts. */

/** A request that was sent for a call. */
export interface CallAttempt {
  /** ISO 8601, UTC. */
  started_at: string;
  duration_ms: number;
  executor: "live" | "batch";
  outcome: string;
  decision: string;
  http_status: number | null;
  error_code: string | null;
  request_id: string | null;
  message: string | null;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  /** Null if it is unknown. */
  cost_usd: number | null;
  /** Whether it is unknown if the provider charged it. */
  possibly_billed: boolean;
}

/** Where an answer came from, and what it was asked with. */
export interface AnswerOrigin {
  key: string;
  settingsId: number;
  origin: "live" | "batch" | "imported";
  servedModel: string | null;
  /** 1 if datagen counted any of its tokens, else 0. */
  tokensEstimated: number;
}

type AttemptRow = Omit<CallAttempt, "started_at" | "possibly_billed"> & {
  started_at: number;
  possibly_billed: number;
};

const statements = oncePerStore(({ sqlite }) => ({
  attempts: sqlite.prepare<[number], AttemptRow>(
    `select started_at, duration_ms, iif(batch_id is null, 'live', 'batch') executor, outcome, decision, http_status,
       error_code, request_id, message, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
       cost_nano_usd / 1e9 cost_usd, reserved_prompt_tokens is not null possibly_billed
     from attempts where call_id = ? order by id`,
  ),
  origin: sqlite.prepare<[number], AnswerOrigin>(
    `select key, settings_id settingsId, origin, served_model servedModel, tokens_estimated tokensEstimated
     from answers where id = ?`,
  ),
}));

/** The requests that this run sent for a call, the oldest first. */
export function callAttempts(store: Store, callId: number): CallAttempt[] {
  return statements(store)
    .attempts.all(callId)
    .map(({ started_at: startedAt, possibly_billed: isInDoubt, ...attempt }) => ({
      started_at: new Date(startedAt).toISOString(),
      ...attempt,
      possibly_billed: isInDoubt === 1,
    }));
}

export function answerOrigin(store: Store, answerId: number): AnswerOrigin {
  const row = statements(store).origin.get(answerId);
  if (!row) throw new Error(`the answer ${answerId} is not in ${store.path}`);
  return row;
}
