import type { Config } from "../config/schema.ts";
import type { Prompt } from "../models/prompt.ts";
import type { Step } from "./calls.ts";

const FENCE = "```";

/** The texts of a perspective's prompts besides the input and the notes. */
export interface Instructions {
  reading: string | null;
  strategy: string;
}

/** Whether the prompts of a step say the same in two perspectives, but for the texts that it works on. */
export function isSameStep(one: Instructions, other: Instructions, step: Step): boolean {
  return one.reading === other.reading && (step === "reading" || one.strategy === other.strategy);
}

/** The instructions of the perspectives of a config, in their order. */
export function instructionsOf({ agent_perspectives: perspectives }: Config): Instructions[] {
  return perspectives.map(({ reading, strategy }) => ({ reading, strategy }));
}

/**
 * The prompt of a call: one user message, made of the instruction `I` and the text `T` that it works on. The message is
 * `I`, a blank line, `T` between fences without line breaks, `I` again and a blank line. This is the prompt of the
 * reference pipeline, so that datasets can be compared.
 * @param notes what the reading returned; null if the perspective has no reading. A strategy works on the notes, or on
 *   the input if they are empty
 */
export function promptOf({ reading, strategy }: Instructions, step: Step, input: string, notes: string | null): Prompt {
  const isReading = step === "reading" && reading !== null;
  const instruction = isReading ? reading : strategy;
  const text = isReading || notes === null || notes === "" ? input : notes;
  const pieces = [`${instruction}\n\n${FENCE}`, text, `${FENCE}${instruction}\n\n`] as const;
  return { messages: [{ role: "user", content: pieces[0] + pieces[1] + pieces[2] }], pieces };
}
