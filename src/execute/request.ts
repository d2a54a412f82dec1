import { costOf } from "../models/cost.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { promptFrame, strategyText } from "../plan/prompt.ts";
import { callKeys, type Settings } from "../plan/settings.ts";
import { CallError, type RateLimits, type ReportedUsage } from "../providers/provider.ts";
import { answerText, instructions, type OpenCall } from "../store/calls.ts";
import { getSettings } from "../store/plan.ts";
import type { AttemptRecord, Reservation, Result, Usage } from "../store/results.ts";
import { getText } from "../store/texts.ts";
import type { Job } from "./executor.ts";
import { isUnreachable } from "./retry.ts";

/** A call that is ready to be sent: its prompt, and what it is asked with. */
export interface PreparedRequest {
  call: OpenCall;
  prompt: [before: string, text: string, after: string];
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

/** The two halves of a request of a run: rendering it from the store, and sending it. */
export function createRequests(job: Job): {
  prepare: (call: OpenCall) => PreparedRequest;
  send: (request: PreparedRequest, attemptId: number, reserved: Reservation) => Promise<Sent>;
} {
  const { store } = job;
  const instructionsOf = instructions(store, job.runId);
  const otherSettings = new Map<number, Settings>();
  const keys = new Map<number, (prompt: string) => string>();
  // A signal for each request: the SDKs leave a listener behind on the signal that they are given.
  const inFlight = new Set<AbortController>();
  job.abort.addEventListener("abort", () => {
    for (const controller of inFlight) controller.abort(job.abort.reason);
  });

  function prepare(call: OpenCall): PreparedRequest {
    const perspective = instructionsOf.get(call.perspectiveId);
    const instruction = call.step === "reading" ? perspective?.reading : perspective?.strategy;
    if (instruction == null) throw new Error(`the call ${call.id} has no instruction`);
    const notes = call.notesId === null ? null : answerText(store, call.notesId);
    const text = strategyText(getText(store, call.inputId), notes);
    const [before, after] = promptFrame(instruction);
    const settingsId = call.wantedSettingsId ?? job.settingsId;
    const settings = settingsBy(settingsId);
    const key = () => keysBy(settingsId, settings)([before, text, after].join(""));
    return { call, prompt: [before, text, after], settingsId, settings, key };
  }

  function settingsBy(id: number): Settings {
    const known = id === job.settingsId ? job.settings : (otherSettings.get(id) ?? getSettings(store, id));
    otherSettings.set(id, known);
    return known;
  }

  function keysBy(settingsId: number, settings: Settings): (prompt: string) => string {
    const known = keys.get(settingsId) ?? callKeys(settings);
    keys.set(settingsId, known);
    return known;
  }

  async function send(request: PreparedRequest, attemptId: number, reserved: Reservation): Promise<Sent> {
    const { call, prompt, settings, settingsId } = request;
    const { endpoint, model, parameters } = settings;
    const controller = new AbortController();
    inFlight.add(controller);
    const clock = performance.now();
    const attempt = (outcome: string, usage: Usage, details: Partial<AttemptRecord>): AttemptRecord => ({
      durationMs: Math.round(performance.now() - clock),
      outcome,
      decision: "kept",
      httpStatus: null,
      requestId: null,
      errorCode: null,
      message: null,
      costNanoUsd: costOf(job.prices, usage),
      reserved: null,
      ...usage,
      ...details,
    });
    try {
      const { signal } = controller;
      const { timeoutMs } = job;
      const asked = { endpoint, model, prompt: prompt.join(""), parameters, timeoutMs, signal };
      const completion = await job.provider.complete(asked);
      const { text, finishReason, servedModel, httpStatus, requestId } = completion;
      const usage = completion.usage ? reported(completion.usage) : await counted(settings, prompt, text);
      const answer = { key: request.key(), settingsId, origin: "live" as const, text, finishReason, servedModel };
      const done = attempt("succeeded", usage, { httpStatus, requestId });
      return { result: { call, attemptId, attempt: done, answer }, error: null, limits: completion.rateLimits };
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const { httpStatus, requestId, code: errorCode, usage, rateLimits } = error.details;
      const isUnclear = usage === null && mayBeCharged(error);
      const failed = attempt(error.reason, usage ? reported(usage) : NO_USAGE, {
        ...(isUnclear && { costNanoUsd: null, reserved }),
        httpStatus,
        requestId,
        errorCode,
        message: error.message,
      });
      return { result: { call, attemptId, attempt: failed, answer: null }, error, limits: rateLimits };
    } finally {
      inFlight.delete(controller);
    }
  }

  return { prepare, send };
}

/** Statuses of servers that have lost patience, with what may still be working on the answer. */
const LOST_PATIENCE = new Set([408, 504, 524]);

/** Whether a provider that reported no usage may have worked on an answer, and charge it. */
function mayBeCharged(error: CallError): boolean {
  const { httpStatus } = error.details;
  if (httpStatus === null) return !isUnreachable(error);
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
    promptTokens: promptCounter(tokenizer, endpoint)(...prompt),
    completionTokens: tokenizer.count(answer),
    tokensEstimated: true,
  };
}
