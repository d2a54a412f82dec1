import type { PricedUsage } from "../../models/cost.ts";
import type { OpenCall } from "./calls.ts";

/** Token counts of one answer. */
export interface Usage extends PricedUsage {
  /** A subset of the completion tokens. */
  reasoningTokens: number;
  /** Whether datagen counted them, because the provider reported none. */
  tokensEstimated: boolean;
}

/** The most tokens that a request may be charged for. */
export interface Reservation {
  promptTokens: number;
  /** Null if they have no limit. */
  completionTokens: number | null;
}

/** The outcome of an attempt that was sent and has no result yet. */
export const UNANSWERED = "unanswered";

/** The outcome of an attempt whose answer came after its worker was given up, when its call needed none any more. */
export const LATE = "late";

/** The result of one request. */
export interface AttemptRecord extends Usage {
  durationMs: number;
  outcome: string;
  decision: "kept" | "retry" | "fail" | "stop";
  /** In billionths of a US dollar; null if the price is unknown, or if it is unknown whether it was charged. */
  costNanoUsd: number | null;
  /** The most tokens that it may have been charged for; null if its charge is known. */
  reserved: Reservation | null;
  httpStatus: number | null;
  requestId: string | null;
  errorCode: string | null;
  message: string | null;
  /** The words with which the model refused, whole; null if it did not. */
  refusal: string | null;
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
 * An attempt, with its answer if it brought one that is kept.
 * @internal
 */
export interface Result {
  call: OpenCall;
  attemptId: number;
  /** Whether it was sent in a batch. Storing the result takes the call out of the batch. */
  isBatched: boolean;
  attempt: AttemptRecord;
  answer: NewAnswer | null;
}

/**
 * A call that reuses an earlier answer.
 * @internal
 */
export interface Reused {
  call: OpenCall;
  answer: { id: number; settingsId: number; finishReason: string | null };
}

/** The change of a run's totals by some results. */
export interface TotalsDelta {
  callsSucceeded: number;
  callsFailed: number;
  callsTruncated: number;
  /** Answered calls that wait for a better answer. */
  callsReopened: number;
  callsReused: number;
  /** Requests that have ended. */
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
