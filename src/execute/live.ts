import pLimit from "p-limit";
import { StoppedError } from "../errors.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { promptFrame, strategyText } from "../plan/prompt.ts";
import { callKeys } from "../plan/settings.ts";
import { CallError, type Completion, type FailureReason, type ReportedUsage } from "../providers/provider.ts";
import { answerText, EMPTY, instructions, type PendingCall } from "../store/calls.ts";
import type { AttemptRecord, Result, Usage } from "../store/results.ts";
import { getText } from "../store/texts.ts";
import { Backlog, type Waiting } from "./backlog.ts";
import { createCommitter } from "./committer.ts";
import type { Executor, Job } from "./executor.ts";
import { decide } from "./retry.ts";

/** Until the first answer, so that a key that is refused is refused a few times only. */
const FIRST_CONCURRENCY = 5;

const STOPS: Partial<Record<FailureReason, { what: string; hint: string }>> = {
  key_refused: { what: "refused the API key", hint: "Set a valid key in the environment or in .env" },
  forbidden: { what: "forbids these requests", hint: "Check what the key's account and project may do" },
  model_not_found: { what: "does not know the model or the address", hint: "Check model_name and base_url" },
  no_quota: { what: "has no quota left for this account", hint: "Add credit or raise the limit at the provider" },
};

/** Requests of their own for each call, as many in flight as `concurrency` says; no call waits for a slower one. */
export const live: Executor = {
  execute: (job) =>
    new Promise((resolve, reject) => {
      const limit = pLimit(Math.min(FIRST_CONCURRENCY, job.concurrency));
      const backlog = new Backlog(job.store, job.runId);
      const send = createSender(job);
      const commit = createCommitter(job.store, job.lease, job.onEvent);
      const delayed = new Set<NodeJS.Timeout>();
      let failure: unknown;

      const isStopping = () => failure !== undefined || job.drain.aborted;

      function pump(): void {
        while (!isStopping() && limit.activeCount + limit.pendingCount < limit.concurrency) {
          const waiting = backlog.next();
          if (!waiting) break;
          void limit(() => perform(waiting)).then(pump);
        }
        if (limit.activeCount + limit.pendingCount > 0) return;
        if (!isStopping() && delayed.size > 0) return;
        for (const timer of delayed) clearTimeout(timer);
        job.drain.removeEventListener("abort", pump);
        if (failure === undefined) resolve();
        else reject(failure);
      }

      async function perform(waiting: Waiting): Promise<void> {
        try {
          const { result, error } = await send(waiting.call);
          if (error) await settle(waiting, result, error);
          else await succeed(waiting.call, result);
        } catch (error) {
          failure ??= error;
        }
      }

      async function succeed(call: PendingCall, result: Result): Promise<void> {
        await commit(result);
        limit.concurrency = job.concurrency;
        if (call.step === "reading") backlog.addStrategyOf(call);
      }

      async function settle({ call, tries }: Waiting, result: Result, error: CallError): Promise<void> {
        const { reason, details } = error;
        const next = decide(reason, details.retryAfterMs, tries, Math.random());
        await commit({ ...result, attempt: { ...result.attempt, decision: next.decision.action } });
        if (next.decision.action === "stop") {
          failure ??= stopped(reason, error.message, job);
        } else if (next.decision.action === "retry") {
          const { delayMs } = next.decision;
          job.onEvent({ type: "retrying", reason, message: error.message, delayMs });
          const timer = setTimeout(() => {
            delayed.delete(timer);
            backlog.add({ call, tries: next.tries });
            pump();
          }, delayMs);
          delayed.add(timer);
        } else if (call.step === "reading" && reason === EMPTY) {
          backlog.addStrategyOf(call);
        }
      }

      job.drain.addEventListener("abort", pump);
      pump();
    }),
};

/** Sends one request for a call, and describes what came of it; the decision on a failure is still open. */
function createSender(job: Job): (call: PendingCall) => Promise<{ result: Result; error: CallError | null }> {
  const { settings, store } = job;
  const instructionsOf = instructions(store, job.runId);
  const keyOf = callKeys(settings);
  // A signal for each request: the SDKs leave a listener behind on the signal that they are given.
  const inFlight = new Set<AbortController>();
  job.abort.addEventListener("abort", () => {
    for (const controller of inFlight) controller.abort(job.abort.reason);
  });

  return async (call) => {
    const perspective = instructionsOf.get(call.perspectiveId);
    const instruction = call.step === "reading" ? perspective?.reading : perspective?.strategy;
    if (instruction == null) throw new Error(`the call ${call.id} has no instruction`);
    const notes = call.notesId === null ? null : answerText(store, call.notesId);
    const text = strategyText(getText(store, call.inputId), notes);
    const [before, after] = promptFrame(instruction);
    const prompt = before + text + after;

    const controller = new AbortController();
    inFlight.add(controller);
    const startedAt = Date.now();
    const attempt = (outcome: string, usage: Usage, details: Partial<AttemptRecord>): AttemptRecord => ({
      startedAt,
      durationMs: Date.now() - startedAt,
      outcome,
      decision: "kept",
      httpStatus: null,
      requestId: null,
      errorCode: null,
      message: null,
      ...usage,
      ...details,
    });
    try {
      const completion = await job.provider.complete({
        endpoint: settings.endpoint,
        model: settings.model,
        prompt,
        parameters: settings.parameters,
        timeoutMs: job.timeoutMs,
        signal: controller.signal,
      });
      const { httpStatus, requestId } = completion;
      const usage = completion.usage
        ? reported(completion.usage)
        : await counted(settings.model, settings.endpoint, [before, text, after], completion.text);
      return {
        result: {
          call,
          attempt: attempt("succeeded", usage, { httpStatus, requestId }),
          answer: answerOf(completion, keyOf(prompt), job.settingsId),
        },
        error: null,
      };
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const { httpStatus, requestId, code: errorCode, usage } = error.details;
      const details = { httpStatus, requestId, errorCode, message: error.message };
      return {
        result: { call, attempt: attempt(error.reason, usage ? reported(usage) : NO_USAGE, details), answer: null },
        error,
      };
    } finally {
      inFlight.delete(controller);
    }
  };
}

const NO_USAGE: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  tokensEstimated: false,
};

function reported(usage: ReportedUsage): Usage {
  return { ...usage, tokensEstimated: false };
}

async function counted(
  model: string,
  endpoint: Job["settings"]["endpoint"],
  prompt: [before: string, text: string, after: string],
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

function answerOf({ text, finishReason, servedModel }: Completion, key: string, settingsId: number): Result["answer"] {
  return { key, settingsId, origin: "live", text, finishReason, servedModel };
}

function stopped(reason: FailureReason, message: string, { settings }: Job): StoppedError {
  const known = STOPS[reason];
  return new StoppedError(
    `${settings.provider} ${known?.what ?? "cannot go on"}: ${message}`,
    known && `${known.hint}, then resume the run.`,
  );
}
