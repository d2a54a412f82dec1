import type { Parameters } from "../config/parameters.ts";
import type { Endpoint } from "../config/schema.ts";
import type { PricedUsage } from "../models/cost.ts";
import type { Prompt } from "../models/prompt.ts";

/** A request for one answer. */
export interface Question {
  endpoint: Endpoint;
  model: string;
  prompt: Prompt;
  /** As configured. The provider sends what the model accepts of them. */
  parameters: Parameters;
  /**
   * The beginning of the prompt that other calls share, for providers that must be told what to cache: up to `length`
   * UTF-16 code units of the content of the message at index `message`.
   */
  cachedPrefix?: { message: number; length: number };
}

export interface CompletionRequest extends Question {
  timeoutMs: number;
}

/** Token counts of a provider. */
export interface ReportedUsage extends PricedUsage {
  /** A part of the completion. */
  reasoningTokens: number;
}

export interface Completion {
  /** Never empty. */
  text: string;
  /** How the answer ended, in the words of ending.ts; null if the provider did not say. */
  finishReason: string | null;
  /** The provider's own word for it; null if it is the same. */
  finishReasonRaw: string | null;
  /** Null if the provider reported none. */
  usage: ReportedUsage | null;
  httpStatus: number | null;
  requestId: string | null;
  /** The model that answered; null if it has the requested name. */
  servedModel: string | null;
  /** Null if the response states none. */
  rateLimits: RateLimits | null;
}

/** Why a request failed. The reason decides what happens next; see execute/retry.ts. */
export type FailureReason =
  | "rate_limited"
  | "server_error"
  | "timeout"
  | "connection"
  | "malformed"
  /** An answer was generated and paid but cannot be used: the server ended it early, or it is not text. */
  | "broken"
  /** A batch ended, or a queue gave it back, before it was processed, so nothing is charged. */
  | "not_processed"
  | "empty"
  | "reasoning_exhausted"
  | "content_filter"
  | "refusal"
  | "bad_request"
  | "context_too_long"
  | "content_policy"
  | "key_refused"
  | "forbidden"
  | "model_not_found"
  | "no_quota"
  /** The file of a batch is larger than the server allows. */
  | "file_too_large"
  /** The server redirects to an address that is not followed. */
  | "redirected"
  | "bad_certificate"
  /** The URL says HTTP and the server speaks TLS, or the other way round. */
  | "wrong_protocol"
  | "proxy_refused"
  /** The worker that had the call ended, or lost its connection. What it did with the call is not known. */
  | "worker_lost";

/** A request failed. The message never contains a key. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly reason: FailureReason;
  readonly details: CallErrorDetails;

  constructor(reason: FailureReason, message: string, details: Partial<CallErrorDetails> = {}) {
    super(message);
    this.reason = reason;
    this.details = {
      httpStatus: null,
      requestId: null,
      code: null,
      retryAfterMs: null,
      usage: null,
      rateLimits: null,
      hasLeft: true,
      refusal: null,
      ...details,
    };
  }
}

export interface CallErrorDetails {
  httpStatus: number | null;
  requestId: string | null;
  /** The provider's error code. */
  code: string | null;
  /** How long the provider asks to wait. */
  retryAfterMs: number | null;
  /** The usage that the provider reported, and charged, despite the failure. */
  usage: ReportedUsage | null;
  rateLimits: RateLimits | null;
  /** The words with which the model refused, whole; null if it did not. */
  refusal: string | null;
  /** Whether any byte of the request may have been sent. If not, it is not charged, and the failure is not the call's. */
  hasLeft: boolean;
}

/** The first axis of datagen: who answers. A provider classifies answers and failures; the executor decides what to do. */
export interface Provider {
  /** @throws CallError when there is no answer, or the reason given to `giveUp` */
  complete(request: CompletionRequest): Promise<Completion>;
  /** Aborts all requests in flight. After that, no request can be sent. */
  giveUp(reason: Error): void;
}

/** A bucket of a provider's rate limit, as its headers state it. */
export interface QuotaState {
  limit: number;
  remaining: number;
  /** The time until the whole limit is free again; null if the headers do not state it. */
  resetMs: number | null;
  /** Whether the headers state the reset as a time. A duration counts from the moment when the provider took the request. */
  isTime: boolean;
}

/** The limits of a provider; null for those that it does not state. */
export interface RateLimits {
  requests: QuotaState | null;
  /** Tokens of prompts and of answers together. */
  tokens: QuotaState | null;
  inputTokens: QuotaState | null;
  outputTokens: QuotaState | null;
}
