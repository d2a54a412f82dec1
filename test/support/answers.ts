import { hash } from "node:crypto";
import { fakes, type RemoteName } from "./providers/index.ts";

export type Endpoint = "chat" | "completions";

/** What decides an answer of the loopback server, and so all that is needed to compute it again. */
export interface Asked {
  model: string;
  /** The text of a single user message or of the `prompt`; for any other messages, their JSON. */
  prompt: string;
  /** Changes what is reported as usage, never the text. Default: openai. */
  provider?: RemoteName | undefined;
  /** Default: chat. */
  endpoint?: Endpoint | undefined;
  max_tokens?: number | undefined;
  max_completion_tokens?: number | undefined;
  temperature?: number | undefined;
}

/** Tokens; `cached` is a part of `prompt`, `reasoning` a part of `completion`. */
export interface Usage {
  prompt: number;
  completion: number;
  total: number;
  cached: number;
  reasoning: number;
}

/** Tokens of a prompt that are written to the cache, and the part of them that is kept for an hour. Only Anthropic reports them. */
export interface CacheWrites {
  written?: number;
  writtenForHour?: number;
}

const WORDS = (
  "river stone paper window garden letter morning winter bridge engine market village station harbour " +
  "teacher doctor farmer captain painter witness council museum library kitchen forest island weather music " +
  "quiet narrow simple heavy bright distant early modern careful honest patient broken empty golden Grün Straße " +
  "opens carries follows answers repairs measures forgets promises delivers remembers naïve café 3.14 1989 " +
  'and but while because although "quoted" it\'s over under between'
).split(" ");

/** SHA-256 of a prompt in hex. JSON keeps apart lone surrogates, which UTF-8 would all turn into one character. */
export function promptHashOf(prompt: string): string {
  return hash("sha256", JSON.stringify(prompt), "hex");
}

/**
 * SHA-256 of the canonical form of a request. The limit counts under either of its names, so that a client which
 * renames it for a model that takes only one of them gets the same answer.
 */
export function digestOf(asked: Asked, promptHash = promptHashOf(asked.prompt)): Buffer {
  const canonical = [asked.endpoint ?? "chat", asked.model, promptHash, limitOf(asked), asked.temperature ?? null];
  return hash("sha256", JSON.stringify(canonical), "buffer");
}

/** The answer of the loopback server: 16 hex digits of the request's hash, then words; 5 to 120, within the limit. */
export function answerTo(asked: Asked): string {
  return answerFrom(asked, digestOf(asked));
}

export function answerFrom(asked: Asked, digest: Buffer): string {
  const most = Math.max(1, Math.min(120, limitOf(asked) ?? 120));
  const least = Math.min(5, most);
  const count = least + (digest.readUInt16BE(8) % (most - least + 1));
  let text = digest.toString("hex", 0, 8);
  let state = digest.readUInt32BE(12);
  for (let word = 1; word < count; word++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const separator = state % 41 === 0 ? "\n\n" : state % 13 === 0 ? ", " : " ";
    text += separator + WORDS[(state >>> 16) % WORDS.length];
  }
  return `${text}.`;
}

/** What is left of an answer that is cut off at its limit: the first half of its words. */
export function shortened(answer: string): string {
  const words = answer.split(" ");
  return words.slice(0, Math.ceil(words.length / 2)).join(" ");
}

/** The usage that the loopback server reports; `text` is what it served, where that is not `answerTo(asked)`. */
export function usageFor(asked: Asked, text?: string): Usage {
  const digest = digestOf(asked);
  return usageFrom(asked, digest, text ?? answerFrom(asked, digest));
}

export function usageFrom(asked: Asked, digest: Buffer, text: string): Usage {
  const prompt = Math.ceil(Buffer.byteLength(asked.prompt) / 4) + 7;
  const completion = text.match(/\S+/g)?.length ?? 0;
  const detailed = fakes[asked.provider ?? "openai"].detailsUsage(asked.endpoint ?? "chat");
  const blocks = Math.floor((prompt - 1) / 128);
  const cached = detailed && blocks > 0 && digest[20]! % 2 === 0 ? 128 * (1 + (digest[21]! % blocks)) : 0;
  const reasoning = detailed && digest[22]! % 4 === 0 ? digest[23]! % (completion + 1) : 0;
  return { prompt, completion, total: prompt + completion, cached, reasoning };
}

function limitOf(asked: Asked): number | null {
  return asked.max_completion_tokens ?? asked.max_tokens ?? null;
}
