import type { CallError, FailureReason } from "../providers/provider.ts";
import { isAway } from "../providers/refusal.ts";

/** What happens to a call after a failed attempt. */
export type Decision =
  /** The call is sent again after a delay. */
  | { action: "retry"; delayMs: number }
  /** The call has failed; the run continues. */
  | { action: "fail" }
  /** All other calls would fail in the same way, so the run stops. */
  | { action: "stop" };

/** The failed attempts of one call in this execution of its run, by kind. */
export interface Tries {
  /** Refusals for a rate limit. They do not count towards `maxAttempts`. */
  rateLimited: number;
  /** Answers that were generated and paid, but have no usable text. */
  empty: number;
  /** Requests whose worker was lost. */
  lost: number;
  /** All others. */
  transient: number;
}

export const NO_TRIES: Tries = { rateLimited: 0, empty: 0, lost: 0, transient: 0 };

const MAX_EMPTY_RETRIES = 2;
/** A call that has lost so many workers is perhaps the cause. */
const MAX_LOST = 3;

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 30_000;
/** If the provider asks for a longer wait, the call is sent again after this time. */
const LONGEST_RETRY_AFTER_MS = 600_000;

/**
 * How a failure counts, or its result. A call has failed for its own content, or for any other reason that would come
 * again. "doubtful" may concern one call or all of them; see doubts.ts.
 */
export type Kind = keyof Tries | "doubtful" | "content" | "fail" | "stop";

const KINDS = {
  rate_limited: "rateLimited",
  server_error: "transient",
  timeout: "transient",
  connection: "transient",
  malformed: "transient",
  not_processed: "transient",
  broken: "empty",
  empty: "empty",
  reasoning_exhausted: "empty",
  content_filter: "content",
  refusal: "content",
  bad_request: "fail",
  context_too_long: "content",
  content_policy: "content",
  forbidden: "doubtful",
  model_not_found: "doubtful",
  key_refused: "stop",
  no_quota: "stop",
  file_too_large: "stop",
  redirected: "stop",
  bad_certificate: "stop",
  wrong_protocol: "stop",
  proxy_refused: "stop",
  worker_lost: "lost",
} as const satisfies Record<FailureReason, Kind>;

/** The reasons for which a run may stop. stops.ts has the message for each. */
export type StoppingReason = {
  [Reason in FailureReason]: (typeof KINDS)[Reason] extends "stop" | "doubtful" ? Reason : never;
}[FailureReason];

export function kindOf(reason: FailureReason): Kind {
  return KINDS[reason];
}

/**
 * Whether a failure is not the fault of its call, and uses up no attempt: the request was not sent, or there is an
 * outage. If no other calls are left to test the provider, an outage counts only while the provider is unavailable.
 * @param hasOthers whether calls are left that have not been sent yet
 */
export function isUncounted(error: CallError, isOutage: boolean, hasOthers: () => boolean): boolean {
  const { hasLeft, httpStatus } = error.details;
  // The connection broke in the middle of an answer. The beginning was generated, and may be charged.
  const isHalf = error.reason === "connection" && httpStatus !== null;
  if (kindOf(error.reason) !== "transient" || isHalf) return false;
  return !hasLeft || (isOutage && (hasOthers() || isAway(error)));
}

/**
 * Decides on a failed attempt, and counts it.
 * @param tries the failed attempts before this one
 * @param maxAttempts how often to send the call at most
 * @param random between 0 and 1, for the jitter of the delay
 * @param doubt what to do if the failure is doubtful
 */
export function decide(
  reason: FailureReason,
  retryAfterMs: number | null,
  tries: Tries,
  maxAttempts: number,
  random: number,
  doubt: Decision["action"] = "stop",
): { decision: Decision; tries: Tries } {
  const known: Kind = KINDS[reason];
  const end = known === "doubtful" ? doubt : known === "content" ? "fail" : known;
  if (end === "fail" || end === "stop") return { decision: { action: end }, tries };
  // A doubtful failure uses up no attempt, like a rate limit, until its meaning is known.
  const kind = known === "doubtful" || end === "retry" ? "rateLimited" : end;
  const counted = { ...tries, [kind]: tries[kind] + 1 };
  const isUsedUp =
    kind === "lost"
      ? counted.lost >= MAX_LOST
      : counted.empty > MAX_EMPTY_RETRIES || counted.transient + counted.empty >= maxAttempts;
  if (kind !== "rateLimited" && isUsedUp) return { decision: { action: "fail" }, tries: counted };
  return { decision: { action: "retry", delayMs: delayOf(counted[kind], retryAfterMs, random) }, tries: counted };
}

/** Exponential backoff, with jitter to spread calls that failed together; never shorter than the provider asks. */
function delayOf(count: number, retryAfterMs: number | null, random: number): number {
  const backoff = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (count - 1));
  const spread = backoff * (0.5 + random / 2);
  if (retryAfterMs === null) return spread;
  return Math.min(LONGEST_RETRY_AFTER_MS, retryAfterMs) + Math.min(spread, FIRST_DELAY_MS) * random;
}
