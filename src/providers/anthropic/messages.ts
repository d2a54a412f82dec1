import type { Message } from "../../models/prompt.ts";
import type { Question } from "../provider.ts";
import { parametersOf } from "./parameters.ts";

interface TextBlock {
  type: "text";
  text: string;
  cache_control?: { type: "ephemeral" };
}

/** The body of a request for one answer. System messages have a member of their own. */
export function bodyOf(question: Question): Record<string, unknown> {
  const { model, prompt, cachedPrefix } = question;
  const contents = prompt.messages.map(({ role, content }, at) => {
    const length = cachedPrefix?.message === at ? cachedPrefix.length : 0;
    return { role, content: length > 0 ? splitAt(content, length) : content };
  });
  const system = contents.filter(({ role }) => role === "system").map(({ content }) => content);
  return {
    ...parametersOf(question),
    model,
    ...(system.length > 0 && { system: system.length === 1 ? system[0] : system.flatMap(blocksOf) }),
    messages: contents.filter(({ role }) => role !== "system"),
  };
}

/** A text with a mark after so many UTF-16 code units, up to which it is cached. */
function splitAt(text: Message["content"], length: number): string | TextBlock[] {
  // A pair of code units that is one character stays together.
  const end = /[\ud800-\udbff]/.test(text.charAt(length - 1)) ? length - 1 : length;
  const [start, rest] = [text.slice(0, end), text.slice(end)];
  const cached = (part: string): TextBlock => ({ type: "text", text: part, cache_control: { type: "ephemeral" } });
  // No block may have white space alone.
  if (start.trim() === "") return text;
  return rest.trim() === "" ? [cached(text)] : [cached(start), { type: "text", text: rest }];
}

function blocksOf(content: string | TextBlock[]): TextBlock[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}
