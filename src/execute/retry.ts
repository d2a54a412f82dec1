import type { FailureReason } from "../providers/provider.ts";

/** What happens to a call whose attempt failed. */
export type Decision =
  /** It is sent again after a while. */
  | { action: "retry"; delayMs: number }
  /** It has failed; the run goes on. */
  | { action: "fail" }
  /** Every further call would fail alike: the run stops. */
  | { action: "stop" };

/** The failed attempts of one call in this execution of its run, by how they count. */
export interface Tries {
  /** Waits for a rate limit: they use up nothing. */
  rateLimited: number;
  /** Answers that were generated, and are paid, without a text that can be used. */
  empty: number;
  /** All others. */
  transient: number;
}

export const NO_TRIES: Tries = { rateLimited: 0, empty: 0, transient: 0 };

const MAX_EMPTY_RETRIES = 2;

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 30_000;
/** A provider that asks to wait longer than this is asked again at this time. */
const LONGEST_RETRY_AFTER_MS = 600_000;

/** How a failure counts, or what it leads to at once; "doubtful" may mean one call or all of them: see doubts.ts. */
export type Kind = keyof Tries | "doubtful" | "fail" | "stop";

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
  content_filter: "fail",
  refusal: "fail",
  bad_request: "fail",
  context_too_long: "fail",
  content_policy: "fail",
  forbidden: "doubtful",
  model_not_found: "doubtful",
  key_refused: "stop",
  no_quota: "stop",
  file_too_large: "stop",
  redirected: "stop",
  bad_certificate: "stop",
  wrong_protocol: "stop",
  proxy_refused: "stop",
} as const satisfies Record<FailureReason, Kind>;

/** The reasons for which a run may stop; what a user is told of each is in stops.ts. */
export type StoppingReason = {
  [Reason in FailureReason]: (typeof KINDS)[Reason] extends "stop" | "doubtful" ? Reason : never;
}[FailureReason];

export function kindOf(reason: FailureReason): Kind {
  return KINDS[reason];
}

/**
 * Decides on a failed attempt, and counts it.
 * @param tries the failed attempts before this one
 * @param maxAttempts how often the call is sent at most
 * @param random between 0 and 1, for the jitter of the delay
 * @param doubt what is done where the failure is doubtful
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
  const end = known === "doubtful" ? doubt : known;
  if (end === "fail" || end === "stop") return { decision: { action: end }, tries };
  // Like a limit, it uses up nothing until it is known what it means.
  const kind = known === "doubtful" || end === "retry" ? "rateLimited" : end;
  const counted = { ...tries, [kind]: tries[kind] + 1 };
  const isUsedUp = counted.empty > MAX_EMPTY_RETRIES || counted.transient + counted.empty >= maxAttempts;
  if (kind !== "rateLimited" && isUsedUp) return { decision: { action: "fail" }, tries: counted };
  return { decision: { action: "retry", delayMs: delayOf(counted[kind], retryAfterMs, random) }, tries: counted };
}

/** Exponential backoff whose jitter spreads calls that failed together; never earlier than the provider asks. */
function delayOf(count: number, retryAfterMs: number | null, random: number): number {
  const backoff = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (count - 1));
  const spread = backoff * (0.5 + random / 2);
  if (retryAfterMs === null) return spread;
  return Math.min(LONGEST_RETRY_AFTER_MS, retryAfterMs) + Math.min(spread, FIRST_DELAY_MS) * random;
}
