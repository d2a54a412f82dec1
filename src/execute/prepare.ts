import type { Prompt } from "../models/prompt.ts";
import { promptOf } from "../plan/prompt.ts";
import { usedText } from "../plan/reasoning.ts";
import { callKeys, type Settings } from "../plan/settings.ts";
import { answerText, instructions, type OpenCall } from "../store/runs/calls.ts";
import { getSettings } from "../store/runs/plan.ts";
import type { Question } from "../providers/provider.ts";
import type { Job } from "./executor.ts";
import { createPrefixOf } from "./prefixes.ts";
import { createRowOf } from "./rows.ts";

/** A call that is ready to be sent, with its prompt and settings. */
export interface PreparedRequest {
  call: OpenCall;
  prompt: Prompt;
  settingsId: number;
  settings: Settings;
  /** Where the beginning ends that other calls share; null if none does. */
  cachedPrefix: NonNullable<Question["cachedPrefix"]> | null;
  /** The call's key. */
  key: () => string;
}

/** What a provider is asked. */
export function questionOf({ prompt, settings, cachedPrefix }: PreparedRequest): Question {
  const { endpoint, model, parameters } = settings;
  return { endpoint, model, prompt, parameters, ...(cachedPrefix && { cachedPrefix }) };
}

/** Renders the requests of a run's calls from the store. */
export function createPrepare(job: Job): (call: OpenCall) => PreparedRequest {
  const { store, runId, asked, reasoningTags } = job;
  const perspectives = instructions(store, runId);
  const known = new Map<number, { settings: Settings; keyOf: (prompt: Prompt) => string }>();
  const rowOf = createRowOf(store);
  const prefixOf = createPrefixOf(job, rowOf);

  function askedWith(id: number): { settings: Settings; keyOf: (prompt: Prompt) => string } {
    const settings = known.get(id)?.settings ?? getSettings(store, id);
    const found = known.get(id) ?? { settings, keyOf: callKeys(settings) };
    known.set(id, found);
    return found;
  }

  return (call) => {
    const [perspective, own] = [perspectives.get(call.perspectiveId), asked.get(call.perspectiveId)];
    if (!perspective || !own) throw new Error(`the call ${call.id} has no instruction`);
    const notes = call.notesId === null ? null : usedText(answerText(store, call.notesId), reasoningTags);
    const prompt = promptOf(perspective, call.step, rowOf(call.taskId), notes);
    const settingsId = call.wantedSettingsId ?? own.id;
    const { settings, keyOf } = askedWith(settingsId);
    const prefix = prefixOf(call);
    const cachedPrefix = prefix && { message: prefix.message, length: prefix.length };
    return { call, prompt, settingsId, settings, cachedPrefix, key: () => keyOf(prompt) };
  };
}
