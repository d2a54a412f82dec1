import { attemptCost } from "../models/cost.ts";
import type { Prompt } from "../models/prompt.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { hasReasoning, withoutReasoning } from "../plan/reasoning.ts";
import { type Settings, tokenLimit } from "../plan/settings.ts";
import { readEnding } from "../providers/ending.ts";
import { CallError, type Completion, type RateLimits, type ReportedUsage } from "../providers/provider.ts";
import { mayBeCharged, mayBeChargedInBatch } from "../providers/refusal.ts";
import { WORKER_LOST } from "../store/runs/calls.ts";
import { type AttemptRecord, type Reservation, type Result, UNANSWERED, type Usage } from "../store/runs/result.ts";
import type { Job } from "./executor.ts";
import type { PreparedRequest } from "./prepare.ts";
import { credibleUsage, CutPrompts } from "./usage.ts";

/** A request as it was sent. */
export interface Attempt {
  /** Its row in the database. */
  id: number;
  request: PreparedRequest;
  /** The most tokens that it may be charged for. */
  reserved: Reservation;
  durationMs: number;
  isBatched: boolean;
}

/** The result of a request, before the decision about a failure. */
export interface Sent {
  result: Result;
  error: CallError | null;
  limits: RateLimits | null;
  /** Called when the result is stored. */
  onStored?: () => void;
}

const NO_USAGE: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  cacheWrite1hTokens: 0,
  reasoningTokens: 0,
  tokensEstimated: false,
};

/** Turns a provider's answers into rows to store, and warns once per run about odd answers. */
export class Outcomes {
  readonly #job: Job;
  readonly #cutPrompts = new CutPrompts();
  readonly #warned = new Set<string>();

  constructor(job: Job) {
    this.#job = job;
  }

  async answered(attempt: Attempt, completion: Completion): Promise<Sent> {
    const { prices, reasoningTags } = this.#job;
    const { request, isBatched } = attempt;
    const { text, finishReason, finishReasonRaw, servedModel, rateLimits } = completion;
    this.#warnOf(text, finishReason);
    if (reasoningTags === "strip" && withoutReasoning(text).trim() === "") {
      return this.failed(attempt, onlyReasoning(completion));
    }
    const usage = await this.#usageOf(request, completion);
    const record: AttemptRecord = {
      ...usage,
      durationMs: attempt.durationMs,
      outcome: "succeeded",
      decision: "kept",
      httpStatus: completion.httpStatus,
      requestId: completion.requestId,
      errorCode: null,
      message: null,
      refusal: null,
      costNanoUsd: attemptCost(prices, usage, isBatched),
      reserved: null,
    };
    const origin = isBatched ? ("batch" as const) : ("live" as const);
    const { settingsId } = request;
    const answer = { key: request.key(), settingsId, origin, text, finishReason, finishReasonRaw, servedModel };
    return { result: { ...resultOf(attempt), attempt: record, answer }, error: null, limits: rateLimits };
  }

  failed(attempt: Attempt, error: CallError): Sent {
    const { prompt, settings } = attempt.request;
    const { httpStatus, requestId, code: errorCode, rateLimits } = error.details;
    const said = credibleUsage(error.details.usage, prompt, null, tokenLimit(settings));
    const usage = said ? reported(said) : NO_USAGE;
    const isUnclear = said === null && (attempt.isBatched ? mayBeChargedInBatch(error) : mayBeCharged(error));
    const record: AttemptRecord = {
      ...usage,
      durationMs: attempt.durationMs,
      // Its result may still come.
      outcome: error.reason === WORKER_LOST ? UNANSWERED : error.reason,
      decision: "retry",
      httpStatus,
      requestId,
      errorCode,
      message: error.message,
      refusal: error.details.refusal,
      costNanoUsd: isUnclear ? null : attemptCost(this.#job.prices, usage, attempt.isBatched),
      reserved: isUnclear ? attempt.reserved : null,
    };
    return { result: { ...resultOf(attempt), attempt: record, answer: null }, error, limits: rateLimits };
  }

  /** The tokens that the provider reported, or, if it reported none or impossible ones, the tokens counted here. */
  async #usageOf({ prompt, settings }: PreparedRequest, { text, usage }: Completion): Promise<Usage> {
    const said = credibleUsage(usage, prompt, text, tokenLimit(settings));
    if (said && this.#cutPrompts.suspects(prompt, said)) {
      const { promptTokens } = await counted(settings, prompt, "");
      this.#warnOnce("cut prompts", this.#cutPrompts.warningOf(said, promptTokens));
    }
    return said ? reported(said) : await counted(settings, prompt, text);
  }

  #warnOf(text: string, finishReason: string | null): void {
    if (this.#job.reasoningTags === null && hasReasoning(text)) {
      this.#warnOnce(
        "reasoning",
        'answers begin with <think>…</think>, which stays in notes and datasets: set model_config.reasoning_tags to "strip" to remove it there, or to "keep" to end this warning',
      );
    }
    if (readEnding(finishReason).ending === "unknown") {
      this.#warnOnce(
        "ending",
        `the server ends answers with the finish reason ${JSON.stringify(finishReason)}, which datagen does not know: they count as complete`,
      );
    }
  }

  #warnOnce(what: string, message: string | null): void {
    if (message === null || this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#job.onEvent({ type: "warning", message });
  }
}

function resultOf({ id: attemptId, request: { call }, isBatched }: Attempt): Omit<Result, "attempt" | "answer"> {
  return { call, attemptId, isBatched };
}

/** The failure of an answer that has only reasoning. */
function onlyReasoning({ finishReason, httpStatus, requestId, usage, rateLimits }: Completion): CallError {
  const details = { httpStatus, requestId, usage, rateLimits };
  return finishReason === "length"
    ? new CallError("reasoning_exhausted", "the token limit was used up by reasoning", details)
    : new CallError("empty", "the answer has only reasoning", details);
}

function reported(usage: ReportedUsage): Usage {
  return { ...usage, tokensEstimated: false };
}

async function counted({ model, endpoint }: Settings, prompt: Prompt, answer: string): Promise<Usage> {
  const tokenizer = await loadTokenizer(model);
  return {
    ...NO_USAGE,
    promptTokens: promptCounter(tokenizer, endpoint)(prompt),
    completionTokens: tokenizer.count(answer),
    tokensEstimated: true,
  };
}
