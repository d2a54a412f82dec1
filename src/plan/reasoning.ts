import type { ReasoningTags } from "../config/schema.ts";

const OPENING = "<think>";
const CLOSING = "</think>";

/** Whether a text begins with reasoning between tags. */
export function hasReasoning(text: string): boolean {
  return text.trimStart().startsWith(OPENING);
}

/**
 * An answer without the reasoning between `<think>` and `</think>` at its start. Reasoning that is never closed is all
 * that there is. Some models are given the opening tag with the prompt: then a line that ends with the closing tag ends
 * the reasoning.
 */
export function withoutReasoning(text: string): string {
  let rest = text;
  while (hasReasoning(rest)) {
    const end = rest.indexOf(CLOSING);
    if (end === -1) return "";
    rest = rest.slice(end + CLOSING.length).trimStart();
  }
  if (rest !== text) return rest;
  const end = text.indexOf(CLOSING);
  if (end === -1 || text.slice(0, end).includes(OPENING)) return text;
  const behind = text.slice(end + CLOSING.length);
  return /^[^\S\n]*(?:\n|$)/.test(behind) ? behind.trimStart() : text;
}

/** The text of an answer where it is used: as notes, and in datasets. */
export function usedText(text: string, tags: ReasoningTags | null | undefined): string {
  return tags === "strip" ? withoutReasoning(text) : text;
}
