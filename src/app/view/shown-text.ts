import type { ShownText } from "../../view/rows.ts";

/** How much of a text a grid shows, in code points. */
export const GRID_CHARACTERS = 400;

/** The longest text that is shown at once, in code points. */
export const MOST_CHARACTERS = 1_000_000;

/** The length of a text in Unicode code points; a lone surrogate counts as one. */
export function codePoints(text: string): number {
  let pairs = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (!isPairAt(text, at)) continue;
    pairs += 1;
    at += 1;
  }
  return text.length - pairs;
}

/** A text with at most so many code points of it. */
export function shownText(text: string, most: number): ShownText {
  const length = codePoints(text);
  if (length <= most) return { text, length, isCut: false };
  let end = 0;
  for (let points = 0; points < most; points += 1) end += isPairAt(text, end) ? 2 : 1;
  return { text: text.slice(0, end), length, isCut: true };
}

function isPairAt(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  if (code < 0xd800 || code > 0xdbff) return false;
  const next = text.charCodeAt(at + 1);
  return next >= 0xdc00 && next <= 0xdfff;
}
