/*
 * The tokenizers of the figures. Each follows the definition that docs/statistics.md names, so that a figure equals that of
 * the program where it comes from.
 */

/** What Python takes for white space: `str.split` and `str.isspace`. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACES = new RegExp(`[${SPACE}]+`, "g");
const WORDS = new RegExp(`[^${SPACE}]+`, "g");

/** The parts of a text between white space. */
function spacedWords(text: string): string[] {
  return text.match(WORDS) ?? [];
}

/** A text without white space, for character n-grams. */
export function withoutSpaces(text: string): string {
  return text.replaceAll(SPACES, "");
}

/** The tokenizer `13a` of sacreBLEU, which is that of NIST's mteval-v13a. */
export function tokens13a(text: string): string[] {
  let line = withoutLastSpaces(text).replaceAll("<skipped>", "").replaceAll("-\n", "").replaceAll("\n", " ");
  if (line.includes("&")) for (const [entity, character] of ENTITIES) line = line.replaceAll(entity, character);
  line = ` ${line} `
    .replaceAll(SYMBOL, " $& ")
    .replaceAll(POINT_BEHIND_NO_DIGIT, "$1 $2 ")
    .replaceAll(POINT_BEFORE_NO_DIGIT, " $1 $2")
    .replaceAll(DASH_BEHIND_DIGIT, "$1 $2 ");
  return spacedWords(line);
}

/** Not by an expression, which would take quadratic time for a long run of spaces inside the text. */
function withoutLastSpaces(text: string): string {
  let end = text.length;
  while (end > 0 && ONE_SPACE.test(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

const ONE_SPACE = new RegExp(`[${SPACE}]`);
const ENTITIES = [
  ["&quot;", '"'],
  ["&amp;", "&"],
  ["&lt;", "<"],
  ["&gt;", ">"],
] as const;
/** All of ASCII's symbols but apostrophe, comma, dash and full stop. */
const SYMBOL = /[!-&(-+/:-@[-`{-~]/g;
const POINT_BEHIND_NO_DIGIT = /([^0-9])([.,])/g;
const POINT_BEFORE_NO_DIGIT = /([.,])([^0-9])/g;
const DASH_BEHIND_DIGIT = /([0-9])(-)/g;

/** The words of chrF++: a mark at the end of a word, or else at its beginning, is a word of its own. */
export function chrfWords(text: string): string[] {
  const words: string[] = [];
  for (const word of spacedWords(text)) {
    if (isOneCharacter(word)) words.push(word);
    else if (isMark(word.charCodeAt(word.length - 1))) words.push(word.slice(0, -1), word.slice(-1));
    else if (isMark(word.charCodeAt(0))) words.push(word.slice(0, 1), word.slice(1));
    else words.push(word);
  }
  return words;
}

function isOneCharacter(word: string): boolean {
  return word.length === 1 || (word.length === 2 && (word.codePointAt(0) as number) > 0xffff);
}

/** Whether a code unit is one of ASCII's symbols. */
function isMark(unit: number): boolean {
  return (
    (unit >= 0x21 && unit <= 0x2f) ||
    (unit >= 0x3a && unit <= 0x40) ||
    (unit >= 0x5b && unit <= 0x60) ||
    (unit >= 0x7b && unit <= 0x7e)
  );
}

/** The tokens of rouge-score without its stemmer. */
export function rougeTokens(text: string): string[] {
  return text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
}

/** The words of the set-based ROUGE-1. */
export function setWords(text: string): Set<string> {
  return new Set(spacedWords(text.toLowerCase()));
}

/** What a code unit is to {@link plainWords}. */
const [APART, IN_WORD, ALONE, IN_PAIR] = [0, 1, 2, 3] as const;
let unitKinds: Uint8Array | null = null;

/** The kind of every code unit. */
function kindsOfUnits(): Uint8Array {
  const kinds = new Uint8Array(0x10000);
  for (let unit = 0; unit < kinds.length; unit += 1) {
    kinds[unit] = unit >= 0xd800 && unit < 0xdc00 ? IN_PAIR : kindOfCharacter(String.fromCharCode(unit));
  }
  return kinds;
}

const LETTER = /[\p{L}\p{M}\p{N}]/u;
const LETTER_ALONE = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u;

function kindOfCharacter(character: string): typeof APART | typeof IN_WORD | typeof ALONE {
  if (!LETTER.test(character)) return APART;
  return LETTER_ALONE.test(character) ? ALONE : IN_WORD;
}

/**
 * The words of a text without case and punctuation: runs of letters, marks and digits in lower case. A Chinese or Japanese
 * character is a word, since no space divides these.
 */
export function plainWords(text: string): string[] {
  const kinds = (unitKinds ??= kindsOfUnits());
  const lower = text.toLowerCase();
  const words: string[] = [];
  let start = -1;
  for (let [at, width] = [0, 1]; at <= lower.length; at += width) {
    width = 1;
    let kind = at === lower.length ? APART : kinds[lower.charCodeAt(at)];
    if (kind === IN_PAIR) {
      const character = String.fromCodePoint(lower.codePointAt(at) as number);
      width = character.length;
      kind = kindOfCharacter(character);
    }
    if (kind === IN_WORD) {
      if (start === -1) start = at;
      continue;
    }
    if (start !== -1) words.push(lower.slice(start, at));
    start = -1;
    if (kind === ALONE) words.push(lower.slice(at, at + width));
  }
  return words;
}

/** Gives each different token a number from 0. */
export class Vocabulary {
  private readonly numbers = new Map<string, number>();

  /** How many different tokens it has. */
  get size(): number {
    return this.numbers.size;
  }

  /** The numbers of tokens; new tokens get the next ones. */
  add(tokens: readonly string[]): Int32Array {
    const { numbers } = this;
    return Int32Array.from(tokens, (token) => {
      const known = numbers.get(token);
      if (known !== undefined) return known;
      numbers.set(token, numbers.size);
      return numbers.size - 1;
    });
  }

  /** The numbers of tokens; −1 for those that are not known. */
  find(tokens: readonly string[]): Int32Array {
    return Int32Array.from(tokens, (token) => this.numbers.get(token) ?? -1);
  }
}

/** The code points of a text. */
export function codePoints(text: string): Int32Array {
  const points = new Int32Array(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at += 1) {
    const point = text.codePointAt(at) as number;
    if (point > 0xffff) at += 1;
    points[length] = point;
    length += 1;
  }
  return points.subarray(0, length);
}
