import { attemptCost } from "../models/cost.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import type { Prompt } from "../models/prompt.ts";
import { promptOf } from "../plan/prompt.ts";
import { hasReasoning, usedText, withoutReasoning } from "../plan/reasoning.ts";
import { callKeys, type Settings, tokenLimit } from "../plan/settings.ts";
import { readEnding } from "../providers/ending.ts";
import { CallError, type Completion, type RateLimits, type ReportedUsage } from "../providers/provider.ts";
import type { BatchedAttempt } from "../store/batches.ts";
import { answerText, getCall, instructions, type OpenCall } from "../store/calls.ts";
import { getSettings } from "../store/plan.ts";
import type { AttemptRecord, Reservation, Result, Usage } from "../store/results.ts";
import { getText } from "../store/texts.ts";
import type { Job } from "./executor.ts";
import { credibleUsage, CutPrompts } from "./usage.ts";

/** A call that is ready to be sent: its prompt, and what it is asked with. */
export interface PreparedRequest {
  call: OpenCall;
  prompt: Prompt;
  settingsId: number;
  settings: Settings;
  /** The call's key. */
  key: () => string;
}

/** What came of a request. The decision on a failure is still open. */
export interface Sent {
  result: Result;
  error: CallError | null;
  limits: RateLimits | null;
}

const NO_USAGE: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
  tokensEstimated: false,
};

/** What a run does with a request: rendering it from the store, sending it, and understanding what came of it. */
export interface Requests {
  prepare: (call: OpenCall) => PreparedRequest;
  send: (request: PreparedRequest, attemptId: number, reserved: Reservation) => Promise<Sent>;
  /** What came of a request that was sent in a batch. */
  settle: (attempt: BatchedAttempt, outcome: Completion | CallError) => Promise<Sent>;
}

export function createRequests(job: Job): Requests {
  const { store } = job;
  const instructionsOf = instructions(store, job.runId);
  const otherSettings = new Map<number, Settings>();
  const keys = new Map<number, (prompt: Prompt) => string>();
  const cutPrompts = new CutPrompts();
  const warned = new Set<string>();

  function prepare(call: OpenCall): PreparedRequest {
    const perspective = instructionsOf.get(call.perspectiveId);
    if (!perspective) throw new Error(`the call ${call.id} has no instruction`);
    const notes = call.notesId === null ? null : usedText(answerText(store, call.notesId), job.reasoningTags);
    const prompt = promptOf(perspective, call.step, inputText(call.inputId), notes);
    const settingsId = call.wantedSettingsId ?? job.settingsId;
    const settings = settingsBy(settingsId);
    const key = () => keysBy(settingsId, settings)(prompt);
    return { call, prompt, settingsId, settings, key };
  }

  // Calls come input by input.
  let last = { id: 0, text: "" };
  function inputText(id: number): string {
    if (last.id !== id) last = { id, text: getText(store, id) };
    return last.text;
  }

  function settingsBy(id: number): Settings {
    const known = id === job.settingsId ? job.settings : (otherSettings.get(id) ?? getSettings(store, id));
    otherSettings.set(id, known);
    return known;
  }

  function keysBy(settingsId: number, settings: Settings): (prompt: Prompt) => string {
    const known = keys.get(settingsId) ?? callKeys(settings);
    keys.set(settingsId, known);
    return known;
  }

  async function send(request: PreparedRequest, attemptId: number, reserved: Reservation): Promise<Sent> {
    const { prompt, settings } = request;
    const { endpoint, model, parameters } = settings;
    const clock = performance.now();
    try {
      const asked = { endpoint, model, prompt, parameters, timeoutMs: job.timeoutMs };
      const completion = await job.provider.complete(asked);
      return await answered(request, attemptId, completion, reserved, { durationMs: elapsed(clock), isBatched: false });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return failed(request, attemptId, error, reserved, { durationMs: elapsed(clock), isBatched: false });
    }
  }

  async function settle(
    { id, callId, startedAt, reserved }: BatchedAttempt,
    outcome: Completion | CallError,
  ): Promise<Sent> {
    const request = prepare(getCall(store, callId));
    const how = { durationMs: Date.now() - startedAt, isBatched: true };
    if (outcome instanceof CallError) return failed(request, id, outcome, reserved, how);
    return await answered(request, id, outcome, reserved, how);
  }

  async function answered(
    request: PreparedRequest,
    attemptId: number,
    completion: Completion,
    reserved: Reservation,
    { durationMs, isBatched }: Manner,
  ): Promise<Sent> {
    const { call, prompt, settings, settingsId } = request;
    const { text, finishReason, finishReasonRaw, servedModel, httpStatus, requestId, rateLimits } = completion;
    warnOf(text, finishReason);
    if (job.reasoningTags === "strip" && withoutReasoning(text).trim() === "") {
      return failed(request, attemptId, onlyReasoning(completion), reserved, { durationMs, isBatched });
    }
    const said = credibleUsage(completion.usage, prompt, text, tokenLimit(settings));
    const usage = said ? reported(said) : await counted(settings, prompt, text);
    if (said && cutPrompts.suspects(prompt, said)) {
      const { promptTokens } = await counted(settings, prompt, "");
      warnOnce("cut prompts", cutPrompts.warningOf(said, promptTokens));
    }
    const attempt: AttemptRecord = {
      ...usage,
      durationMs,
      outcome: "succeeded",
      decision: "kept",
      httpStatus,
      requestId,
      errorCode: null,
      message: null,
      costNanoUsd: attemptCost(job.prices, usage, isBatched),
      reserved: null,
    };
    const origin = isBatched ? ("batch" as const) : ("live" as const);
    const answer = { key: request.key(), settingsId, origin, text, finishReason, finishReasonRaw, servedModel };
    return { result: { call, attemptId, isBatched, attempt, answer }, error: null, limits: rateLimits };
  }

  /** Says once a run what is odd about the answers. */
  function warnOf(text: string, finishReason: string | null): void {
    if (job.reasoningTags === null && hasReasoning(text)) {
      warnOnce(
        "reasoning",
        'answers begin with <think>…</think>, which stays in notes and datasets: set model_config.reasoning_tags to "strip" to leave it out there, or to "keep"',
      );
    }
    if (readEnding(finishReason).ending === "unknown") {
      warnOnce(
        "ending",
        `the server ends answers with the finish reason ${JSON.stringify(finishReason)}, which datagen does not know: they count as whole`,
      );
    }
  }

  function warnOnce(what: string, message: string | null): void {
    if (message === null || warned.has(what)) return;
    warned.add(what);
    job.onEvent({ type: "warning", message });
  }

  function failed(
    { call, prompt, settings }: PreparedRequest,
    attemptId: number,
    error: CallError,
    reserved: Reservation,
    { durationMs, isBatched }: Manner,
  ): Sent {
    const { httpStatus, requestId, code: errorCode, rateLimits } = error.details;
    const said = credibleUsage(error.details.usage, prompt, null, tokenLimit(settings));
    const usage = said ? reported(said) : NO_USAGE;
    // A batch says of each request whether it was worked on.
    const isUnclear = !isBatched && said === null && mayBeCharged(error);
    const attempt: AttemptRecord = {
      ...usage,
      durationMs,
      outcome: error.reason,
      decision: "retry",
      httpStatus,
      requestId,
      errorCode,
      message: error.message,
      costNanoUsd: isUnclear ? null : attemptCost(job.prices, usage, isBatched),
      reserved: isUnclear ? reserved : null,
    };
    return { result: { call, attemptId, isBatched, attempt, answer: null }, error, limits: rateLimits };
  }

  return { prepare, send, settle };
}

/** An answer of which nothing is left without its reasoning. */
function onlyReasoning({ finishReason, httpStatus, requestId, usage, rateLimits }: Completion): CallError {
  const details = { httpStatus, requestId, usage, rateLimits };
  return finishReason === "length"
    ? new CallError("reasoning_exhausted", "the token limit was used up by reasoning", details)
    : new CallError("empty", "the answer is nothing but reasoning", details);
}

/** How a request was sent, and how long it took. */
interface Manner {
  durationMs: number;
  isBatched: boolean;
}

function elapsed(since: number): number {
  return Math.round(performance.now() - since);
}

/** Statuses of servers that have lost patience, with what may still be working on the answer. */
const LOST_PATIENCE = new Set([408, 499, 504, 524]);

/** Whether a provider that reported no usage may have worked on an answer, and charge it. */
function mayBeCharged(error: CallError): boolean {
  const { httpStatus, hasLeft } = error.details;
  if (error.reason === "broken") return true;
  if (httpStatus === null || !hasLeft) return hasLeft;
  return httpStatus < 300 || LOST_PATIENCE.has(httpStatus);
}

function reported(usage: ReportedUsage): Usage {
  return { ...usage, tokensEstimated: false };
}

async function counted(
  { model, endpoint }: Settings,
  prompt: PreparedRequest["prompt"],
  answer: string,
): Promise<Usage> {
  const tokenizer = await loadTokenizer(model);
  return {
    ...NO_USAGE,
    promptTokens: promptCounter(tokenizer, endpoint)(prompt),
    completionTokens: tokenizer.count(answer),
    tokensEstimated: true,
  };
}
