import type { Endpoint } from "../config/schema.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What a chat adds to its one message: 4 tokens around it and 3 that begin the answer. */
const CHAT_OVERHEAD = 7;

/** Prompts up to this length, in UTF-16 code units, are counted whole; see {@link promptCounter}. */
const COUNTED_WHOLE = 8_000;

const CACHED_TEXTS = 64;

/** Counts the prompt tokens of a request from the three parts of its prompt. */
export type PromptCounter = (before: string, text: string, after: string) => number;

/**
 * Short prompts are counted exactly. Of long ones the parts are counted, each once: a token or two at the seams may
 * differ, and an article is not counted anew for every perspective.
 */
export function promptCounter(tokenizer: Tokenizer, endpoint: Endpoint): PromptCounter {
  const overhead = endpoint === "chat" ? CHAT_OVERHEAD : 0;
  const counts = new Map<string, number>();
  const countPart = (part: string): number => {
    const known = counts.get(part);
    if (known !== undefined) return known;
    const tokens = tokenizer.count(part);
    const [oldest] = counts.keys();
    if (oldest !== undefined && counts.size >= CACHED_TEXTS) counts.delete(oldest);
    counts.set(part, tokens);
    return tokens;
  };
  return (before, text, after) =>
    before.length + text.length + after.length <= COUNTED_WHOLE
      ? overhead + tokenizer.count(before + text + after)
      : overhead + countPart(before) + countPart(text) + countPart(after);
}
