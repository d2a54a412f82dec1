import type { Endpoint } from "../config/schema.ts";
import type { Message, Prompt } from "./prompt.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The tokens that a chat adds to each message, and those that begin the answer. */
const MESSAGE_OVERHEAD = 4;
const ANSWER_OVERHEAD = 3;

/** Last messages up to this length, in UTF-16 code units, are counted whole; see {@link promptCounter}. */
const COUNTED_WHOLE = 8_000;

/** The cache holds the texts, so that both their number and their characters have a limit. */
const MOST_CACHED = { texts: 1_024, characters: 12_800_000 };
/** Counts of longer texts, in UTF-16 code units, are not cached, because the cache holds the text. */
const LONGEST_CACHED = 200_000;

/** Counts the tokens of a prompt. */
export type PromptCounter = (prompt: Prompt) => number;

/**
 * Short prompts are counted exactly. For a long last message the counts of its pieces are added, and each piece is counted
 * only once: the sum may be off by a token or two, but an article is not counted again for every perspective.
 */
export function promptCounter(tokenizer: Tokenizer, endpoint: Endpoint): PromptCounter {
  const overheadOf = ({ messages }: Prompt) =>
    endpoint === "chat" ? messages.length * MESSAGE_OVERHEAD + ANSWER_OVERHEAD : 0;
  const counts = new Map<string, number>();
  let characters = 0;
  /** The last long text. All perspectives of an input come one after the other, so one text is enough. */
  let last = { piece: "", tokens: 0 };
  const countPiece = (piece: string): number => {
    if (piece.length > LONGEST_CACHED && last.piece === piece) return last.tokens;
    const known = counts.get(piece);
    if (known !== undefined) return known;
    const tokens = tokenizer.count(piece);
    if (piece.length > LONGEST_CACHED) {
      last = { piece, tokens };
      return tokens;
    }
    counts.set(piece, tokens);
    characters += piece.length;
    for (const oldest of counts.keys()) {
      if (counts.size <= MOST_CACHED.texts && characters <= MOST_CACHED.characters) break;
      counts.delete(oldest);
      characters -= oldest.length;
    }
    return tokens;
  };
  /** The counts of the messages before the last, which are the same objects in many prompts. */
  const before = new WeakMap<Message, number>();
  const countMessage = (message: Message): number => {
    const tokens = before.get(message) ?? tokenizer.count(message.content);
    before.set(message, tokens);
    return tokens;
  };
  return (prompt) => {
    const { messages, pieces } = prompt;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const tokens =
      length <= COUNTED_WHOLE
        ? tokenizer.count(pieces.join(""))
        : pieces.reduce((sum, piece) => sum + countPiece(piece), 0);
    const around = messages.slice(0, -1).reduce((sum, message) => sum + countMessage(message), 0);
    return overheadOf(prompt) + around + tokens;
  };
}
