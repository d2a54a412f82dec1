import type { Prompt } from "../models/prompt.ts";
import { promptOf } from "../plan/prompt.ts";
import { usedText } from "../plan/reasoning.ts";
import { callKeys, type Settings } from "../plan/settings.ts";
import { answerText, instructions, type OpenCall } from "../store/runs/calls.ts";
import { getSettings } from "../store/runs/plan.ts";
import { getText } from "../store/texts.ts";
import type { Job } from "./executor.ts";

/** A call that is ready to be sent, with its prompt and settings. */
export interface PreparedRequest {
  call: OpenCall;
  prompt: Prompt;
  settingsId: number;
  settings: Settings;
  /** The call's key. */
  key: () => string;
}

/** Renders the requests of a run's calls from the store. */
export function createPrepare({ store, runId, asked, reasoningTags }: Job): (call: OpenCall) => PreparedRequest {
  const perspectives = instructions(store, runId);
  const known = new Map<number, { settings: Settings; keyOf: (prompt: Prompt) => string }>();
  // Calls of the same input come one after the other, so the last text is enough.
  let last = { id: 0, text: "" };

  function inputText(id: number): string {
    if (last.id !== id) last = { id, text: getText(store, id) };
    return last.text;
  }

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
    const prompt = promptOf(perspective, call.step, inputText(call.inputId), notes);
    const settingsId = call.wantedSettingsId ?? own.id;
    const { settings, keyOf } = askedWith(settingsId);
    return { call, prompt, settingsId, settings, key: () => keyOf(prompt) };
  };
}
