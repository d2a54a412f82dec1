import type { Config } from "../config/schema.ts";
import { callsPerInput, type PlannedCall } from "../plan/calls.ts";
import { promptFrame, strategyText } from "../plan/prompt.ts";
import type { EarlierAnswer, Reuse } from "../store/reuse.ts";

/** A call of an input, with the earlier answer that does for it. */
export interface AnsweredCall extends PlannedCall {
  answer: EarlierAnswer | null;
}

/**
 * The calls that an input needs, each with an earlier answer where there is one. A strategy on notes has one only where
 * its reading has: notes that are still to come are not known.
 */
export function answeredCalls(
  { agent_perspectives: perspectives, replicates }: Pick<Config, "agent_perspectives" | "replicates">,
  input: string,
  reuse: Reuse,
): AnsweredCall[] {
  let reading: EarlierAnswer | null = null;
  return callsPerInput(perspectives, replicates).map((call) => {
    const { reading: readingText, strategy } = perspectives[call.perspective] ?? { reading: null, strategy: "" };
    const isOnNotes = call.step === "strategy" && readingText !== null;
    const take = (instruction: string, text: string) => reuse.take(promptFrame(instruction).join(text));
    if (isOnNotes) return { ...call, answer: reading && take(strategy, strategyText(input, reuse.textOf(reading))) };
    const answer = take(readingText ?? strategy, input);
    reading = answer;
    return { ...call, answer };
  });
}
