import { type Prompt, promptBytes, promptLength } from "../models/prompt.ts";
import type { ReportedUsage } from "../providers/provider.ts";

/** No request uses this many tokens. With fewer, the sums over a run stay exact whole numbers. */
const MOST_TOKENS = 10_000_000;

/** A count that is too high by this factor is a mistake of the server, not another way of counting. */
const FAR_OFF = 100;

/** Providers refuse or ignore a lower limit of completion tokens. */
const SMALLEST_LIMIT = 16;

/** How many tokens a server may add to a prompt, by a template or tools. */
const AROUND_PROMPT = 1_000;

/** No text has more characters per token on average. */
const MOST_CHARACTERS_PER_TOKEN = 200;

/**
 * The usage that a server reported, or null if it is impossible: then it counts as not reported.
 * @param text the text of the answer; null if there is none
 * @param limit the most completion tokens that the request allowed; null without a limit
 */
export function credibleUsage(
  usage: ReportedUsage | null,
  prompt: Prompt,
  text: string | null,
  limit: number | null,
): ReportedUsage | null {
  if (usage === null) return null;
  const { promptTokens, completionTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens } = usage;
  // Otherwise a worker's report could have a negative cost.
  if (cachedTokens + cacheWriteTokens > promptTokens || cacheWrite1hTokens > cacheWriteTokens) return null;
  if (usage.reasoningTokens > completionTokens) return null;
  if (promptTokens === 0 || promptTokens > MOST_TOKENS || completionTokens > MOST_TOKENS) return null;
  // A character of UTF-16 has at most 3 bytes in UTF-8, and a token has at least one.
  if (promptTokens > FAR_OFF * (3 * promptLength(prompt) + AROUND_PROMPT)) return null;
  if (limit !== null && completionTokens > FAR_OFF * Math.max(SMALLEST_LIMIT, limit)) return null;
  const least = text === null ? 0 : Math.ceil(text.length / MOST_CHARACTERS_PER_TOKEN);
  return completionTokens < least ? null : usage;
}

/** No server cuts shorter prompts, and their counts vary too much with the tokens that a server adds. */
const SHORTEST_CUT = 200;

/** How many prompts to count for a warning at most: counting takes longer than everything else in a request. */
const MOST_COUNTED = 8;

/**
 * Notices a server that silently drops a part of long prompts: it then reports fewer prompt tokens. A prompt is counted
 * only if the reported tokens are far fewer than its length suggests.
 */
export class CutPrompts {
  #counted = 0;
  /** The ratio of reported to likely tokens below which a prompt is counted. */
  #suspicious = 0.6;

  /** Whether it is worth counting a prompt. */
  suspects(prompt: Prompt, { promptTokens }: ReportedUsage): boolean {
    if (this.#counted >= MOST_COUNTED) return false;
    const likely = likelyTokens(prompt);
    if (likely < SHORTEST_CUT || promptTokens >= likely * this.#suspicious) return false;
    this.#counted += 1;
    // If this report turns out to be right, only a lower ratio is suspicious from now on.
    this.#suspicious = Math.min(this.#suspicious, (0.8 * promptTokens) / likely);
    return true;
  }

  /** The warning, if the server seems to have cut the prompt; else null. */
  warningOf({ promptTokens }: ReportedUsage, counted: number): string | null {
    if (promptTokens * 2 >= counted) return null;
    this.#counted = MOST_COUNTED;
    const [seen, whole] = [promptTokens, counted].map((count) => count.toLocaleString("en-US"));
    return `the server seems to cut prompts at ${seen} tokens: it reported that many for a prompt of about ${whole}. Raise its context length (num_ctx of Ollama), or ask it for shorter texts`;
  }
}

/** About how many tokens a prompt has, judged by its length. */
function likelyTokens(prompt: Prompt): number {
  const characters = promptLength(prompt);
  if (characters < SHORTEST_CUT) return 0;
  const bytes = promptBytes(prompt);
  return characters / 4.5 + (bytes - characters) * 0.3;
}
