import { type Calibration, calibrate, type CountedPrompt, UNCALIBRATED } from "./calibration.ts";
import type { PromptCounter } from "../models/prompt-tokens.ts";
import { promptAround, promptOf, usesRow } from "../plan/prompt.ts";
import type { EarlierRun, History } from "../store/reuse/history.ts";

/** A calibration, and the earlier calls that it rests on; null if there are none. */
export interface Calibrated {
  calibration: Calibration;
  basis: { calls: number; runs: string[] } | null;
}

/** With this many prompts, no more runs are read. */
const ENOUGH_PROMPTS = 100;
const MOST_PROMPTS_OF_RUN = 200;

/** The most characters to count again; more would take seconds. */
const MOST_CHARACTERS = 4_000_000;

/**
 * Calibrates a tokenizer that is not the model's own: counts prompts of earlier runs again, and compares the counts with
 * those that the provider reported.
 * @param runs runs of the model, the most similar first
 */
export function calibrateTokenizer(history: History, runs: readonly EarlierRun[], count: PromptCounter): Calibrated {
  const prompts: CountedPrompt[] = [];
  const used = new Set<string>();
  const texts = new Set<number>();
  let characters = 0;
  for (const run of runs) {
    if (prompts.length >= ENOUGH_PROMPTS) break;
    const inputs = Math.ceil(MOST_PROMPTS_OF_RUN / run.perspectives.length);
    for (const perspective of run.perspectives) {
      // The step that works on the input.
      const step = perspective.reading === null ? "strategy" : "reading";
      // Only the texts of the inputs are read.
      if (usesRow(perspective, step)) continue;
      const frame = count(promptAround(perspective, step, null));
      const tokensOn = (input: string) =>
        count(promptOf(perspective, step, { input, reference: null, columns: {} }, null));
      for (const call of history.calls(run, perspective.id, step, inputs)) {
        const isNew = !texts.has(call.inputId);
        if (call.tokensEstimated || (isNew && characters > MOST_CHARACTERS)) continue;
        const text = history.text(call.inputId);
        prompts.push({ frame, text: tokensOn(text) - frame, reported: call.promptTokens });
        used.add(run.publicId);
        texts.add(call.inputId);
        if (isNew) characters += text.length;
      }
    }
  }
  const calibration = calibrate(prompts);
  if (!calibration) return { calibration: UNCALIBRATED, basis: null };
  return { calibration, basis: { calls: prompts.length, runs: [...used] } };
}
