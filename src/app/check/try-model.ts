import { setTimeout as sleep } from "node:timers/promises";
import type { Parameters } from "../../config/parameters.ts";
import { credibleUsage } from "../../execute/usage.ts";
import { repeat } from "../../execute/repeat.ts";
import type { Prompt } from "../../models/prompt.ts";
import { type Settings, tokenLimit } from "../../plan/settings.ts";
import { type CallError, type Completion, type Provider, type ReportedUsage } from "../../providers/provider.ts";
import { changed, changeFor, changeWithoutWords, namedParameters, type ParameterChange } from "./parameter-changes.ts";

/** What came of trying a model with the parameters of a config. */
export interface Trial {
  /** Undefined if there is no answer that can be used. */
  completion?: Completion;
  latencyMs?: number;
  /** Why no request was answered; null if one was. */
  failure: CallError | null;
  /** What the answer lacks, though the request was accepted; null if it lacks nothing. */
  lack: string | null;
  /** What has to change until the model accepts the parameters, with the words of each refusal. */
  changes: (ParameterChange & { message: string })[];
  requests: number;
  /** Of each request, as far as the server reported it; null where it did not, but may have charged it. */
  usages: (ReportedUsage | null)[];
}

/** What a trial says while it goes on. */
export interface TrialEvents {
  onRefused: (message: string) => void;
}

/** The most requests of a trial. */
const MOST_REQUESTS = 8;
/** How often a request is sent again whose failure may pass. */
const MOST_RETRIES = 2;
const LONGEST_DELAY_MS = 5_000;

/**
 * Sends one short request with the parameters of a config. Where the model refuses a parameter, sends a few more, to find
 * out which one, and what it takes instead.
 */
export async function tryModel(
  provider: Provider,
  settings: Settings,
  { prompt, timeoutMs, onRefused }: { prompt: Prompt; timeoutMs: number } & TrialEvents,
): Promise<Trial> {
  const trial: Trial = { failure: null, lack: null, changes: [], requests: 0, usages: [] };
  let parameters = settings.parameters;
  const ask = (asked: Parameters) => askOnce(trial, provider, { ...settings, parameters: asked }, prompt, timeoutMs);
  for (;;) {
    const refused = await ask(parameters);
    trial.failure = refused;
    if (refused === null || !isOfParameters(refused) || trial.requests >= MOST_REQUESTS) return trial;
    const named = changeFor(refused.message, parameters, refused.reason === "context_too_long");
    const found = named ? [named] : await eachRefused(parameters, ask, trial);
    if (found.length === 0) return trial;
    for (const change of found) {
      const next = changed(parameters, change);
      if (JSON.stringify(next) === JSON.stringify(parameters)) return trial;
      parameters = next;
      trial.changes.push({ ...change, message: refused.message });
    }
    onRefused(refused.message);
  }
}

/** Whether a refusal may be about parameters: the prompt is too short to be refused for itself. */
function isOfParameters({ reason }: CallError): boolean {
  return reason === "bad_request" || reason === "context_too_long";
}

/** The parameters that are refused alone, if the model answers without any of them. */
async function eachRefused(
  parameters: Parameters,
  ask: (parameters: Parameters) => Promise<CallError | null>,
  trial: Trial,
): Promise<ParameterChange[]> {
  const names = [...namedParameters(parameters).keys()];
  const without = (left: readonly string[]) =>
    left.reduce((rest, parameter) => changed(rest, { parameter, action: "remove" }), parameters);
  if (names.length === 0 || (await ask(without(names))) !== null) return [];
  const refused: ParameterChange[] = [];
  for (const parameter of names) {
    // One more request has to show that the others are enough.
    if (trial.requests >= MOST_REQUESTS - 1) break;
    const failure = await ask(without(names.filter((name) => name !== parameter)));
    if (failure !== null && isOfParameters(failure)) refused.push(changeWithoutWords(parameter, parameters));
  }
  return refused;
}

/** Sends a request, again if its failure may pass. @returns why it was not accepted; null if it was */
async function askOnce(
  trial: Trial,
  provider: Provider,
  settings: Settings,
  prompt: Prompt,
  timeoutMs: number,
): Promise<CallError | null> {
  const { endpoint, model, parameters } = settings;
  let started = 0;
  return await repeat<CallError | null>(
    async () => {
      started = performance.now();
      trial.requests += 1;
      const completion = await provider.complete({ endpoint, model, prompt, parameters, timeoutMs });
      const usage = credibleUsage(completion.usage, prompt, completion.text, tokenLimit(settings));
      const latencyMs = performance.now() - started;
      Object.assign(trial, { completion: { ...completion, usage }, latencyMs, lack: null });
      trial.usages.push(usage);
      return null;
    },
    async (error, backoff, sent) => {
      const { reason, details, message } = error;
      if (isAccepted(error)) {
        Object.assign(trial, { latencyMs: performance.now() - started, lack: message });
        trial.usages.push(details.usage);
        return { result: null };
      }
      if (!details.hasLeft) trial.requests -= 1;
      // What has timed out may be charged.
      if (reason === "timeout" && details.hasLeft) trial.usages.push(null);
      const delayMs = sent > MOST_RETRIES || trial.requests >= MOST_REQUESTS ? null : backoff();
      if (delayMs === null) return { result: error };
      await sleep(Math.min(LONGEST_DELAY_MS, delayMs));
      return undefined;
    },
  );
}

/** Whether the model took the request, though its answer cannot be used. */
function isAccepted({ reason }: CallError): boolean {
  return ["empty", "reasoning_exhausted", "content_filter", "refusal", "broken"].includes(reason);
}
