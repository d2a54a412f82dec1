import type { OpenCall } from "./calls.ts";

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
export const UNANSWERED = "unanswered";

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
