import { type Prompt, promptBytes, promptLength } from "../models/prompt.ts";
import type { ReportedUsage } from "../providers/provider.ts";

/** No request uses as many tokens. Sums of less over all the requests of a run stay whole numbers. */
const MOST_TOKENS = 10_000_000;

/** What is more by this factor than it can be is a mistake of the server's, and not a matter of how it counts. */
const FAR_OFF = 100;

/** Providers take no lower limit of completion tokens than this, or give more all the same. */
const SMALLEST_LIMIT = 16;

/** What a server may put around a prompt, in tokens, in a template or as tools. */
const AROUND_PROMPT = 1_000;

/** More characters than this on average make no token, whatever the text. */
const MOST_CHARACTERS_PER_TOKEN = 200;

/**
 * A usage that a server reported, or null where it cannot be: then it counts as not reported.
 * @param text the answer's; null where there is none
 * @param limit the most completion tokens that the request allowed; null where nothing limits them
 */
export function credibleUsage(
  usage: ReportedUsage | null,
  prompt: Prompt,
  text: string | null,
  limit: number | null,
): ReportedUsage | null {
  if (usage === null) return null;
  const { promptTokens, completionTokens } = usage;
  if (promptTokens === 0 || promptTokens > MOST_TOKENS || completionTokens > MOST_TOKENS) return null;
  // A character of UTF-16 has at most 3 bytes in UTF-8, and a token has at least one.
  if (promptTokens > FAR_OFF * (3 * promptLength(prompt) + AROUND_PROMPT)) return null;
  if (limit !== null && completionTokens > FAR_OFF * Math.max(SMALLEST_LIMIT, limit)) return null;
  const least = text === null ? 0 : Math.ceil(text.length / MOST_CHARACTERS_PER_TOKEN);
  return completionTokens < least ? null : usage;
}

/** Shorter prompts are cut by no server. Their counts differ by what is around them. */
const SHORTEST_CUT = 200;

/** How often a prompt is counted for a warning at most: that takes longer than all else about a request. */
const MOST_COUNTED = 8;

/**
 * Notices a server that drops a part of the prompts that are too long for it, and says so by nothing but the number of
 * their tokens. Few prompts are counted: those of which fewer tokens are reported than their length makes likely.
 */
export class CutPrompts {
  #counted = 0;
  /** Fewer tokens for the same length than any that turned out to be right. */
  #suspicious = 0.6;

  /** Whether it is worth counting a prompt. */
  suspects(prompt: Prompt, { promptTokens }: ReportedUsage): boolean {
    if (this.#counted >= MOST_COUNTED) return false;
    const likely = likelyTokens(prompt);
    if (likely < SHORTEST_CUT || promptTokens >= likely * this.#suspicious) return false;
    this.#counted += 1;
    // The next one that is counted has to be further off, if this one is right.
    this.#suspicious = Math.min(this.#suspicious, (0.8 * promptTokens) / likely);
    return true;
  }

  /** What to warn of, once; null where the server seems to have read the prompt. */
  warningOf({ promptTokens }: ReportedUsage, counted: number): string | null {
    if (promptTokens * 2 >= counted) return null;
    this.#counted = MOST_COUNTED;
    const [seen, whole] = [promptTokens, counted].map((count) => count.toLocaleString("en-US"));
    return `the server seems to cut prompts at ${seen} tokens: it reported that many for a prompt of about ${whole}. Raise its context length (num_ctx of Ollama), or ask it for shorter texts`;
  }
}

/** About how many tokens a prompt has, by its length alone. */
function likelyTokens(prompt: Prompt): number {
  const characters = promptLength(prompt);
  if (characters < SHORTEST_CUT) return 0;
  const bytes = promptBytes(prompt);
  return characters / 4.5 + (bytes - characters) * 0.3;
}
