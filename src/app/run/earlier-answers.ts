import type { Config } from "../../config/schema.ts";
import type { Settings } from "../../plan/settings.ts";
import type { PlannedCall } from "../../plan/calls.ts";
import { instructionsOf, promptOf, type PromptRow } from "../../plan/prompt.ts";
import type { EarlierAnswer, Reuse } from "../../store/reuse/reuse.ts";

/**
 * The earlier answers that the calls of an input reuse, in the order of `calls`; null for a call without one. A strategy
 * on notes can reuse an answer only if its reading does, because otherwise its notes are not known yet.
 * @param calls the calls of every input; see `callsPerInput`
 * @param asked the settings of each perspective
 */
export function earlierAnswers(
  config: Config,
  calls: readonly PlannedCall[],
  asked: readonly Settings[],
  reuse: Reuse,
): (row: PromptRow) => readonly (EarlierAnswer | null)[] {
  const instructions = instructionsOf(config);
  const none = calls.map(() => null);
  if (reuse.isEmpty) return () => none;
  return (row) => {
    let reading: EarlierAnswer | null = null;
    return calls.map((call) => {
      const [perspective, settings] = [instructions[call.perspective], asked[call.perspective]];
      if (!perspective || !settings) throw new Error(`perspective ${call.perspective} is not in the config`);
      const take = (notes: string | null) => reuse.take(settings, promptOf(perspective, call.step, row, notes));
      const isOnNotes = call.step === "strategy" && perspective.reading !== null;
      if (isOnNotes) return reading && take(reuse.textOf(reading));
      reading = take(null);
      return reading;
    });
  };
}
