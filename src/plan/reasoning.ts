import type { ReasoningTags } from "../config/schema.ts";

const OPENING = "<think>";
const CLOSING = "</think>";

/** Whether a text begins with reasoning between tags. */
export function hasReasoning(text: string): boolean {
  return text.trimStart().startsWith(OPENING);
}

/**
 * An answer without the reasoning between `<think>` and `</think>` at its start; there may be several such parts. If the
 * last is never closed, nothing is left. Some models get the opening tag with the prompt: then a closing tag at the end
 * of a line ends the reasoning. The result has no reasoning itself, so that an exported dataset can be imported again.
 */
export function withoutReasoning(text: string): string {
  let rest = text;
  for (;;) {
    const end = rest.indexOf(CLOSING);
    const isOpened = hasReasoning(rest);
    if (end === -1) return isOpened ? "" : rest;
    const behind = rest.slice(end + CLOSING.length);
    const isOpenedBefore = !rest.slice(0, end).includes(OPENING) && /^[^\S\n]*(?:\n|$)/.test(behind);
    if (!isOpened && !isOpenedBefore) return rest;
    rest = behind.trimStart();
  }
}

/** The text of an answer as notes and datasets use it. */
export function usedText(text: string, tags: ReasoningTags | null | undefined): string {
  return tags === "strip" ? withoutReasoning(text) : text;
}
