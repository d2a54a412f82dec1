import type { ReasoningTags } from "../config/schema.ts";

const OPENING = "<think>";
const CLOSING = "</think>";

/** Whether a text begins with reasoning between tags. */
export function hasReasoning(text: string): boolean {
  return text.trimStart().startsWith(OPENING);
}

/**
 * An answer without the reasoning between `<think>` and `</think>` at its start, which may stand there several times.
 * Reasoning that is never closed is all that there is. Some models are given the opening tag with the prompt: then a
 * closing tag at the end of a line ends the reasoning. What is left has none, so that a dataset can be taken in again.
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

/** The text of an answer where it is used: as notes, and in datasets. */
export function usedText(text: string, tags: ReasoningTags | null | undefined): string {
  return tags === "strip" ? withoutReasoning(text) : text;
}
