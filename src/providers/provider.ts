import type { Parameters } from "../config/parameters.ts";
import type { Endpoint } from "../config/schema.ts";
import type { Prompt } from "../models/prompt.ts";

/** What an answer is asked for with. */
export interface Question {
  endpoint: Endpoint;
  model: string;
  prompt: Prompt;
  /** As configured. The provider sends what the model accepts of them. */
  parameters: Parameters;
}

interface CompletionRequest extends Question {
  timeoutMs: number;
}

/** Token counts as a provider reports them; cached and written are disjoint parts of prompt, reasoning of completion. */
export interface ReportedUsage {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  /** Written to the provider's cache. */
  cacheWriteTokens: number;
  reasoningTokens: number;
}

export interface Completion {
  /** Never empty. */
  text: string;
  /** How the answer ended, in the words of ending.ts; null where the provider said nothing. */
  finishReason: string | null;
  /** The provider's own word for it; null where that is the same. */
  finishReasonRaw: string | null;
  /** Null where the provider reported none. */
  usage: ReportedUsage | null;
  httpStatus: number | null;
  requestId: string | null;
  /** The model that answered, where that is not the name that was asked for. */
  servedModel: string | null;
  /** Null where the response states none. */
  rateLimits: RateLimits | null;
}

/** What went wrong with a request, in the terms that decide what happens next; see execute/retry.ts. */
export type FailureReason =
  | "rate_limited"
  | "server_error"
  | "timeout"
  | "connection"
  | "malformed"
  /** An answer was generated, and is paid, that cannot be used: the server broke it off, or it is no text. */
  | "broken"
  /** A batch ended before it came to this request: nothing was done, and nothing is charged. */
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
  /** The file of a batch has more bytes than the server takes. */
  | "file_too_large"
  /** It leads to an address that is not followed. */
  | "redirected"
  | "bad_certificate"
  /** HTTP where TLS is spoken, or the other way round. */
  | "wrong_protocol"
  | "proxy_refused";

/** A request that brought no answer. The message never holds a key. */
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
      ...details,
    };
  }
}

export interface CallErrorDetails {
  httpStatus: number | null;
  requestId: string | null;
  /** The provider's own code of the error. */
  code: string | null;
  /** How long the provider asks to wait. */
  retryAfterMs: number | null;
  /** What the provider charged all the same. */
  usage: ReportedUsage | null;
  rateLimits: RateLimits | null;
  /** Whether any of the request may have been sent: what has not left is not charged, and says nothing of its call. */
  hasLeft: boolean;
}

/** The first axis of datagen: who answers. A provider classifies what comes back; the executor decides on it. */
export interface Provider {
  /** @throws CallError when there is no answer, or the reason for which it was given up */
  complete(request: CompletionRequest): Promise<Completion>;
  /** Gives up all requests in flight. None can be sent any more. */
  giveUp(reason: Error): void;
}

/** A bucket of a provider's rate limit, as its headers state it. */
export interface QuotaState {
  limit: number;
  remaining: number;
  /** Until the bucket is full again; null where it is not stated. */
  resetMs: number | null;
}

export interface RateLimits {
  requests: QuotaState | null;
  tokens: QuotaState | null;
}
