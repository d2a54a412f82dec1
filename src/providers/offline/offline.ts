import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Prompt } from "../../models/prompt.ts";
import { promptCounter } from "../../models/prompt-tokens.ts";
import { loadTokenizer, type Tokenizer } from "../../models/tokenizer.ts";
import type { ParameterName } from "../parameters.ts";
import type { Provider } from "../provider.ts";

/** The beginning of every answer, so that none is mistaken for a model's answer. */
const MARK = "[offline: no model was asked]";

const FENCE = "```";

/** In milliseconds: signals and timers wait for so long at most. */
const YIELD_EVERY_MS = 20;

/**
 * Answers without a model: sentences of the prompt's text, chosen by the instruction. Different perspectives get different
 * answers, and the same prompt always gets the same one. Usage is counted with the model's tokenizer.
 */
export async function connectOffline(model: string): Promise<Provider> {
  const tokenizer = await loadTokenizer(model);
  const counters = {
    chat: promptCounter(tokenizer, "chat"),
    completions: promptCounter(tokenizer, "completions"),
  };
  let yieldedAt = performance.now();
  return {
    async complete({ endpoint, prompt, parameters }) {
      // Answers that come at once would leave no time for Ctrl-C.
      if (performance.now() - yieldedAt > YIELD_EVERY_MS) {
        await setImmediate();
        yieldedAt = performance.now();
      }
      const { instruction, text, pieces } = partsOf(prompt);
      const limit = LIMITS.map((name) => parameters[name]).find((value) => typeof value === "number");
      const whole = compose(instruction, text);
      const answer = limit === undefined ? whole : shorten(whole, limit, tokenizer);
      return {
        text: answer,
        finishReason: answer === whole ? "stop" : "length",
        finishReasonRaw: null,
        usage: {
          promptTokens: counters[endpoint]({ ...prompt, pieces }),
          completionTokens: tokenizer.count(answer),
          cachedTokens: 0,
          cacheWriteTokens: 0,
          cacheWrite1hTokens: 0,
          reasoningTokens: 0,
        },
        httpStatus: null,
        requestId: null,
        servedModel: null,
        rateLimits: null,
      };
    },
    // No request is in flight for longer than a moment.
    giveUp() {},
  };
}

/** The effect of a config's parameters on the offline provider. */
const EFFECTS: Record<ParameterName, "limit" | "nothing"> = {
  max_tokens: "limit",
  max_completion_tokens: "limit",
  temperature: "nothing",
  top_p: "nothing",
  seed: "nothing",
  stop: "nothing",
  frequency_penalty: "nothing",
  presence_penalty: "nothing",
  reasoning_effort: "nothing",
};
const LIMITS = (Object.keys(EFFECTS) as ParameterName[]).filter((name) => EFFECTS[name] === "limit");

/** The text between the first and the last fence of the last message, and what is before it. Without fences, all of it. */
function partsOf({ messages }: Prompt): { instruction: string; text: string; pieces: string[] } {
  const last = messages.at(-1)?.content ?? "";
  const start = last.indexOf(FENCE) + FENCE.length;
  const end = last.lastIndexOf(FENCE);
  const isFenced = end >= start;
  const pieces = isFenced ? [last.slice(0, start), last.slice(start, end), last.slice(end)] : [last];
  const instruction = [...messages.slice(0, -1).map(({ content }) => content), pieces[0]].join("\n\n");
  return { instruction, text: pieces[1] ?? last, pieces };
}

/** Two to five sentences of the text, in their order, picked by the hash of the instruction. */
function compose(instruction: string, text: string): string {
  const hash = createHash("sha256").update(instruction).digest();
  const own = text.replace(MARK, "");
  let count = 0;
  for (const _ of sentencesOf(own)) count += 1;
  const picked = new Set<number>();
  for (let pick = 0; pick < 2 + ((hash[0] ?? 0) % 4); pick += 1) picked.add(hash.readUInt16BE(2 + 2 * pick) % count);
  const chosen: string[] = [];
  let at = 0;
  for (const sentence of sentencesOf(own)) {
    if (picked.has(at)) chosen.push(sentence);
    at += 1;
  }
  return `${MARK} ${hash.toString("hex", 28)}: ${chosen.join(" ")}`;
}

/** Yields one sentence at a time: a list would take many times the memory of a long text. */
function* sentencesOf(text: string): Generator<string> {
  let start = 0;
  for (const { index, 0: gap } of text.matchAll(/(?<=[.!?])\s+|\n+/g)) {
    const sentence = text.slice(start, index).trim();
    start = index + gap.length;
    if (sentence !== "") yield sentence;
  }
  const last = text.slice(start).trim();
  if (last !== "") yield last;
}

/** The longest beginning of a text that is no longer than `limit` tokens. */
function shorten(text: string, limit: number, tokenizer: Tokenizer): string {
  const fitsTo = (end: number) => tokenizer.count(text.slice(0, end)) <= limit;
  let [fits, tooMany] = [0, 8 * Math.max(1, limit)];
  // Count no more of a long text than needed.
  while (tooMany < text.length && fitsTo(tooMany)) [fits, tooMany] = [tooMany, 2 * tooMany];
  if (tooMany >= text.length) {
    if (fitsTo(text.length)) return text;
    tooMany = text.length;
  }
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (fitsTo(middle)) fits = middle;
    else tooMany = middle;
  }
  // Do not cut a character in half.
  return text.slice(0, fits).replace(/[\ud800-\udbff]$/, "");
}
