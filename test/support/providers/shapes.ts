import type { Usage } from "../answers.ts";

/** The sums of a usage, as every provider names them. */
export function totals({ prompt, completion, total }: Usage) {
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total };
}

/** A time as providers write it: whole seconds since 1970. */
export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
