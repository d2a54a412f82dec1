const FENCE = "```";

/**
 * What stands before and behind the text `T` in a prompt with the instruction `I`. The prompt is `I`, a blank line, `T`
 * between fences without line breaks, `I` again and a blank line: that of the reference pipeline, so that datasets can
 * be compared.
 */
export function promptFrame(instruction: string): [before: string, after: string] {
  return [`${instruction}\n\n${FENCE}`, `${FENCE}${instruction}\n\n`];
}

/** What a strategy works on: the notes where there are any, else the input. */
export function strategyText(input: string, notes: string | null): string {
  return notes === null || notes === "" ? input : notes;
}
