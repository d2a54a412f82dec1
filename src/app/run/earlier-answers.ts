import type { Config } from "../../config/schema.ts";
import type { PlannedCall } from "../../plan/calls.ts";
import { instructionsOf, promptOf } from "../../plan/prompt.ts";
import type { EarlierAnswer, Reuse } from "../../store/reuse/reuse.ts";

/**
 * The earlier answers that do for the calls of an input, in the order of `calls`, null where there is none. A strategy
 * on notes has one only where its reading has: notes that are still to come are not known.
 * @param calls what every input needs; see `callsPerInput`
 */
export function earlierAnswers(
  config: Config,
  calls: readonly PlannedCall[],
  reuse: Reuse,
): (input: string) => readonly (EarlierAnswer | null)[] {
  const instructions = instructionsOf(config);
  const none = calls.map(() => null);
  if (reuse.isEmpty) return () => none;
  return (input) => {
    let reading: EarlierAnswer | null = null;
    return calls.map((call) => {
      const perspective = instructions[call.perspective];
      if (!perspective) throw new Error(`perspective ${call.perspective} is not in the config`);
      const take = (notes: string | null) => reuse.take(promptOf(perspective, call.step, input, notes));
      const isOnNotes = call.step === "strategy" && perspective.reading !== null;
      if (isOnNotes) return reading && take(reuse.textOf(reading));
      reading = take(null);
      return reading;
    });
  };
}
