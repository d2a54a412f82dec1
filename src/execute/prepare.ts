import type { Prompt } from "../models/prompt.ts";
import { promptOf, type PromptRow } from "../plan/prompt.ts";
import { usedText } from "../plan/reasoning.ts";
import { callKeys, type Settings } from "../plan/settings.ts";
import { answerText, instructions, type OpenCall } from "../store/runs/calls.ts";
import { getSettings } from "../store/runs/plan.ts";
import { promptRow } from "../store/runs/prompt-row.ts";
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
  // Calls of the same input come one after the other, so the last row is enough.
  let last: { taskId: number; row: PromptRow } | null = null;

  function rowOf(taskId: number): PromptRow {
    if (last?.taskId !== taskId) last = { taskId, row: promptRow(store, taskId) };
    return last.row;
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
    const prompt = promptOf(perspective, call.step, rowOf(call.taskId), notes);
    const settingsId = call.wantedSettingsId ?? own.id;
    const { settings, keyOf } = askedWith(settingsId);
    return { call, prompt, settingsId, settings, key: () => keyOf(prompt) };
  };
}
