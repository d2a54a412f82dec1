import { Bpe } from "./bpe.ts";
import { encodingFor, type EncodingName } from "./encodings.ts";

/** Counts the tokens of texts for a model. */
export interface Tokenizer {
  readonly encoding: EncodingName;
  /** Whether the model has another tokenizer, so that counts are estimates. */
  readonly estimated: boolean;
  /** The number of tokens of a text. Special tokens in it, such as `<|endoftext|>`, are ordinary text. */
  count(text: string): number;
}

/** Turns texts into tokens: the same as js-tiktoken's `encode(text, [], [])`. */
export interface Encoder {
  count(text: string): number;
  encode(text: string): number[];
}

/**
 * Where the piece of `data` that starts at `start` ends. `data` is UTF-8, followed by a byte END; no piece starts at END.
 */
type PieceEnd = (data: Uint8Array, start: number) => number;

const encoders = new Map<EncodingName, Promise<Encoder>>();

/** The tokenizer for a model. The vocabulary of its encoding is loaded when it is first needed. */
export async function loadTokenizer(model: string): Promise<Tokenizer> {
  const { encoding, estimated } = encodingFor(model);
  const encoder = await loadEncoder(encoding);
  return { encoding, estimated, count: (text) => encoder.count(text) };
}

/** The encoder of an encoding. It is made once, in about 0.1 s and 40 MB for the largest. */
export function loadEncoder(name: EncodingName): Promise<Encoder> {
  const encoder = encoders.get(name) ?? createEncoder(name);
  encoders.set(name, encoder);
  return encoder;
}

async function createEncoder(name: EncodingName): Promise<Encoder> {
  const { ranks, pieceEnd } = ENCODINGS[name];
  const bpe = new Bpe((await ranks()).default.bpe_ranks);
  const tokens = (text: string, out?: number[]): number => {
    const data = utf8(text);
    let count = 0;
    for (let start = 0; data[start] !== END;) {
      const end = pieceEnd(data, start);
      count += bpe.tokens(data, start, end, out);
      start = end;
    }
    return count;
  };
  return {
    count: (text) => tokens(text),
    encode(text) {
      const out: number[] = [];
      tokens(text, out);
      return out;
    },
  };
}

// Each import is written out so that bundlers find it.
const ENCODINGS = {
  o200k_base: { ranks: () => import("js-tiktoken/ranks/o200k_base"), pieceEnd: o200kPieceEnd },
  cl100k_base: { ranks: () => import("js-tiktoken/ranks/cl100k_base"), pieceEnd: cl100kPieceEnd },
  p50k_base: { ranks: () => import("js-tiktoken/ranks/p50k_base"), pieceEnd: r50kPieceEnd },
  r50k_base: { ranks: () => import("js-tiktoken/ranks/r50k_base"), pieceEnd: r50kPieceEnd },
} satisfies Record<EncodingName, { ranks: () => Promise<{ default: { bpe_ranks: string } }>; pieceEnd: PieceEnd }>;

const textEncoder = new TextEncoder();
const scratch = new Uint8Array(1 << 18);

/** A text in UTF-8, with U+FFFD for a lone surrogate, followed by a byte END. The next call overwrites it. */
function utf8(text: string): Uint8Array {
  const data = text.length * 3 < scratch.length ? scratch : new Uint8Array(Buffer.byteLength(text) + 1);
  data[textEncoder.encodeInto(text, data).written] = END;
  return data;
}

/** A byte that never occurs in UTF-8. */
const END = 0xff;

const SPACE = 0x20;
const APOSTROPHE = 0x27;
const SLASH = 0x2f;

/** The classes of characters that pieces depend on. Each character is in one of them. */
const NEWLINE = 1; // \r \n
const BLANK = 2; // \s but for newlines
const UPPER = 4; // \p{Lu} \p{Lt}
const LOWER = 8; // \p{Ll}
const CASELESS = 16; // \p{Lm} \p{Lo}
const MARK = 32; // \p{M}
const DIGIT = 64; // \p{N}
const SYMBOL = 128; // all others
const LETTER = UPPER | LOWER | CASELESS;

// js-tiktoken cuts a text into pieces with the regular expressions above the next three functions. In them, `'s…` means
// `'s|'t|'re|'ve|'m|'ll|'d` (in any case, except for r50k_base). A regular expression needs a stack that grows with the
// piece. These functions need no stack: they read each character two or three times, whatever the length.

/**
 * `P?U*L+('s…)?|P?U+L*('s…)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`, where P is
 * `[^\r\n\p{L}\p{N}]`, U `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and L `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
 */
function o200kPieceEnd(data: Uint8Array, start: number): number {
  const first = charAt(data, start);
  const word = first & (BLANK | SYMBOL) ? start + (first >> 8) : start;
  if (charAt(data, word) & (LETTER | MARK)) {
    return contractionEnd(data, casedEnd(data, word), true);
  }
  if (first & DIGIT) {
    return numberEnd(data, start);
  }
  const symbols = data[start] === SPACE ? start + 1 : start;
  if (charAt(data, symbols) & (MARK | SYMBOL)) {
    let end = runEnd(data, symbols, MARK | SYMBOL);
    while (data[end] === SLASH || charAt(data, end) & NEWLINE) {
      end++;
    }
    return end;
  }
  return whitespaceEnd(data, start, true);
}

/** `'s…|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+` */
function cl100kPieceEnd(data: Uint8Array, start: number): number {
  const contraction = contractionEnd(data, start, true);
  if (contraction > start) {
    return contraction;
  }
  const first = charAt(data, start);
  const word = first & (BLANK | MARK | SYMBOL) ? start + (first >> 8) : start;
  if (charAt(data, word) & LETTER) {
    return runEnd(data, word, LETTER);
  }
  if (first & DIGIT) {
    return numberEnd(data, start);
  }
  const symbols = data[start] === SPACE ? start + 1 : start;
  if (charAt(data, symbols) & (MARK | SYMBOL)) {
    return runEnd(data, runEnd(data, symbols, MARK | SYMBOL), NEWLINE);
  }
  return whitespaceEnd(data, start, true);
}

/** `'s…| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, of r50k_base and p50k_base */
function r50kPieceEnd(data: Uint8Array, start: number): number {
  const contraction = contractionEnd(data, start, false);
  if (contraction > start) {
    return contraction;
  }
  const word = data[start] === SPACE ? start + 1 : start;
  const first = charAt(data, word);
  for (const kind of [LETTER, DIGIT, MARK | SYMBOL]) {
    if (first & kind) {
      return runEnd(data, word, kind);
    }
  }
  return whitespaceEnd(data, start, false);
}

/** The end of the run of characters from `start` that are in the classes `kind`. */
function runEnd(data: Uint8Array, start: number, kind: number): number {
  let end = start;
  let char = charAt(data, end);
  while (char & kind) {
    end += char >> 8;
    char = charAt(data, end);
  }
  return end;
}

/**
 * The end of `U*L+|U+L*`. Characters without case are in both U and L. So if no lower case follows, U* gives characters
 * back to L+, as far as the last character without case.
 */
function casedEnd(data: Uint8Array, start: number): number {
  let end = start;
  let caseless = start;
  let char = charAt(data, end);
  while (char & (UPPER | CASELESS | MARK)) {
    end += char >> 8;
    if (!(char & UPPER)) {
      caseless = end;
    }
    char = charAt(data, end);
  }
  return char & LOWER || caseless === start ? runEnd(data, end, LOWER | CASELESS | MARK) : caseless;
}

/** The end of a contraction, or `start` if there is none; in upper and lower case, or in lower case only. */
function contractionEnd(data: Uint8Array, start: number, anyCase: boolean): number {
  if (data[start] !== APOSTROPHE) {
    return start;
  }
  const fold = anyCase ? 0x20 : 0;
  switch (String.fromCharCode(data[start + 1]! | fold)) {
    case "s":
    case "t":
    case "m":
    case "d":
      return start + 2;
    case "r":
    case "v":
      return String.fromCharCode(data[start + 2]! | fold) === "e" ? start + 3 : start;
    case "l":
      return String.fromCharCode(data[start + 2]! | fold) === "l" ? start + 3 : start;
    default:
      return start;
  }
}

/** The end of `\p{N}{1,3}`. */
function numberEnd(data: Uint8Array, start: number): number {
  let end = start;
  for (let i = 0; i < 3; i++) {
    const char = charAt(data, end);
    end += char & DIGIT ? char >> 8 : 0;
  }
  return end;
}

/** The end of `\s+(?!\S)|\s+`, with `\s*[\r\n]+|` before it if `newlines`. */
function whitespaceEnd(data: Uint8Array, start: number, newlines: boolean): number {
  let end = start;
  let last = start;
  let newline = start;
  let char = charAt(data, end);
  while (char & (BLANK | NEWLINE)) {
    last = end;
    end += char >> 8;
    if (char & NEWLINE) {
      newline = end;
    }
    char = charAt(data, end);
  }
  if (newlines && newline > start) {
    return newline;
  }
  return data[end] === END || last === start ? end : last;
}

/** The classes by code point; 0 for code points that have not occurred yet. */
const classes = new Uint8Array(0x110000);

/** The class of the character at `at`, plus 256 times its length in bytes; 0 at END. */
function charAt(data: Uint8Array, at: number): number {
  const lead = data[at]!;
  if (lead < 0x80) {
    return 0x100 | classOf(lead);
  }
  if (lead < 0xe0) {
    return 0x200 | classOf(((lead & 0x1f) << 6) | (data[at + 1]! & 0x3f));
  }
  if (lead < 0xf0) {
    return 0x300 | classOf(((lead & 0xf) << 12) | ((data[at + 1]! & 0x3f) << 6) | (data[at + 2]! & 0x3f));
  }
  if (lead === END) {
    return 0;
  }
  const high = ((lead & 0x7) << 18) | ((data[at + 1]! & 0x3f) << 12);
  return 0x400 | classOf(high | ((data[at + 2]! & 0x3f) << 6) | (data[at + 3]! & 0x3f));
}

function classOf(point: number): number {
  return classes[point] || classify(point);
}

function classify(point: number): number {
  const char = String.fromCodePoint(point);
  const kind = CLASSES.find(([pattern]) => pattern.test(char))?.[1] ?? SYMBOL;
  classes[point] = kind;
  return kind;
}

const CLASSES: readonly (readonly [RegExp, number])[] = [
  [/[\r\n]/, NEWLINE],
  [/\s/, BLANK],
  [/[\p{Lu}\p{Lt}]/u, UPPER],
  [/\p{Ll}/u, LOWER],
  [/\p{L}/u, CASELESS],
  [/\p{M}/u, MARK],
  [/\p{N}/u, DIGIT],
];
