import { diffArrays } from "diff";

/** A piece of a text, and whether only this text has it. */
export interface Piece {
  text: string;
  isOwn: boolean;
}

/** Longer texts, and texts that differ more, are shown without marks: marking them would take too long. */
const MOST_WORDS = 20_000;
const MOST_CHANGES = 4_000;
const MOST_MS = 250;
/** How many pieces of a text get a mark. */
const MOST_MARKS = 250;

const UNSPACED =
  "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";
/** Words, runs of spaces, and single other characters; without spaces between words, each character is a word. */
const TOKEN = new RegExp(`[${UNSPACED}]|(?:(?![${UNSPACED}])[\\p{L}\\p{M}\\p{N}_])+|\\s+|[^]`, "gu");

/**
 * The words of two texts that the other one lacks.
 * @returns null if the texts are too long or too different
 */
export function markedWords(a: string, b: string): { a: Piece[]; b: Piece[] } | null {
  const [wordsA, wordsB] = [a.match(TOKEN) ?? [], b.match(TOKEN) ?? []];
  if (wordsA.length > MOST_WORDS || wordsB.length > MOST_WORDS) return null;
  const changes = diffArrays(wordsA, wordsB, { maxEditLength: MOST_CHANGES, timeout: MOST_MS });
  if (changes === undefined) return null;
  const marked = { a: [] as Piece[], b: [] as Piece[] };
  for (const { added, removed, value } of changes) {
    const text = value.join("");
    if (!added) add(marked.a, text, removed);
    if (!removed) add(marked.b, text, added);
  }
  return { a: bounded(joined(marked.a)), b: bounded(joined(marked.b)) };
}

function add(pieces: Piece[], text: string, isOwn: boolean): void {
  const last = pieces.at(-1);
  if (last?.isOwn === isOwn) last.text += text;
  else pieces.push({ text, isOwn });
}

/** Marks the spaces between words that are marked, too, so that they can be read as one. */
function joined(pieces: readonly Piece[]): Piece[] {
  const whole: Piece[] = [];
  for (const [at, { text, isOwn }] of pieces.entries()) {
    const isBetween = text.trim() === "" && pieces[at - 1]?.isOwn === true && pieces[at + 1]?.isOwn === true;
    add(whole, text, isOwn || isBetween);
  }
  return whole;
}

function bounded(pieces: Piece[]): Piece[] {
  if (pieces.length <= 2 * MOST_MARKS) return pieces;
  const rest = pieces.slice(2 * MOST_MARKS).map(({ text }) => text);
  return [...pieces.slice(0, 2 * MOST_MARKS), { text: rest.join(""), isOwn: false }];
}

/** The pieces of a text that are its own against every one of several other texts. */
export function ownAgainstAll(versions: readonly Piece[][]): Piece[] {
  const [first, ...others] = versions;
  if (first === undefined) return [];
  return others.reduce((one, other) => bothOwn(one, other), first);
}

/** Two divisions of the same text: a part is its own only if it is in both. */
function bothOwn(one: readonly Piece[], other: readonly Piece[]): Piece[] {
  const pieces: Piece[] = [];
  let [i, j, usedI, usedJ] = [0, 0, 0, 0];
  for (;;) {
    const [a, b] = [one[i], other[j]];
    if (a === undefined || b === undefined) return pieces;
    const length = Math.min(a.text.length - usedI, b.text.length - usedJ);
    add(pieces, a.text.slice(usedI, usedI + length), a.isOwn && b.isOwn);
    usedI += length;
    usedJ += length;
    if (usedI === a.text.length) [i, usedI] = [i + 1, 0];
    if (usedJ === b.text.length) [j, usedJ] = [j + 1, 0];
  }
}
