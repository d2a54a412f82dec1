import { CopySource } from "./copying.ts";
import { NgramIndex } from "./ngram-index.ts";
import { BLEU_ORDER, CHRF_ORDER, CHRF_WORD_ORDER, commonSubsequence, f1, setF1 } from "./overlap.ts";
import {
  chrfWords,
  codePoints,
  plainWords,
  rougeTokens,
  setWords,
  tokens13a,
  Vocabulary,
  withoutSpaces,
} from "./tokens.ts";

/** The figures look at this many characters of a text. The lengths are those of the whole text. */
const MOST_CHARACTERS = 100_000;

/** The figures of an answer against its input, in their order in an array. */
const COPYING_FIGURES = ["coverage", "density", "novel2", "novel3"] as const;
/** Those against its reference, which follow. */
const SCORES = ["rouge1", "rouge2", "rougeL", "set_rouge1"] as const;
/** Then come counts, from which the scores of an answer and of a corpus are computed. */
const COUNTS = [
  ...named("bleu", BLEU_ORDER),
  "bleu length",
  "bleu reference",
  ...named("chrf", CHRF_ORDER),
  "chrf length",
  "chrf reference",
  ...named("words", CHRF_WORD_ORDER),
  "words length",
  "words reference",
];

export const WITHOUT_REFERENCE = COPYING_FIGURES.length;
export const WITH_REFERENCE = WITHOUT_REFERENCE + SCORES.length + COUNTS.length;

/** Where a figure stands in the array. */
export const AT = Object.fromEntries(
  [...COPYING_FIGURES, ...SCORES, ...COUNTS].map((name, at) => [name, at]),
) as Record<(typeof COPYING_FIGURES)[number] | (typeof SCORES)[number], number>;
export const BLEU_AT = WITHOUT_REFERENCE + SCORES.length;
export const CHRF_AT = BLEU_AT + BLEU_ORDER + 2;
export const WORDS_AT = CHRF_AT + CHRF_ORDER + 2;

function named(name: string, orders: number): string[] {
  return Array.from({ length: orders }, (_, at) => `${name} ${at + 1}`);
}

/** What of a text the figures look at. A pair of surrogates is not cut. */
export function clipped(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  const last = text.charCodeAt(MOST_CHARACTERS - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? MOST_CHARACTERS - 1 : MOST_CHARACTERS);
}

/**
 * Compares answers with one input and its reference. What is needed of these two is made at the first comparison, so that
 * an object costs nothing if all its comparisons are known.
 */
export class Comparison {
  private readonly input: string;
  private readonly reference: string | null;
  private source: { words: Vocabulary; copies: CopySource } | null = null;
  private target: Target | null = null;

  constructor(input: string, reference: string | null) {
    this.input = input;
    this.reference = reference;
  }

  /** The figures of an answer, in the order of {@link AT}: of {@link WITHOUT_REFERENCE} or of {@link WITH_REFERENCE} numbers. */
  figuresOf(answer: string): Float64Array {
    const text = clipped(answer);
    const figures = new Float64Array(this.reference === null ? WITHOUT_REFERENCE : WITH_REFERENCE);
    this.source ??= sourceOf(clipped(this.input));
    const { coverage, density, novel2, novel3 } = this.source.copies.copying(this.source.words.find(plainWords(text)));
    figures.set([coverage, density, novel2, novel3]);
    if (this.reference === null) return figures;
    this.target ??= new Target(clipped(this.reference));
    this.target.compare(text, figures);
    return figures;
  }
}

function sourceOf(input: string): { words: Vocabulary; copies: CopySource } {
  const words = new Vocabulary();
  return { words, copies: new CopySource(words.add(plainWords(input))) };
}

/** The tokens of a reference by one tokenizer, and the index of their n-grams. */
class Side {
  private readonly vocabulary = new Vocabulary();
  private readonly index: NgramIndex;
  private readonly matches: Int32Array;
  readonly tokens: Int32Array;

  constructor(tokens: readonly string[], order: number) {
    this.tokens = this.vocabulary.add(tokens);
    this.index = new NgramIndex(order).build(this.tokens, this.tokens.length);
    this.matches = new Int32Array(order);
  }

  find(tokens: readonly string[]): Int32Array {
    return this.vocabulary.find(tokens);
  }

  /** The clipped matches by order. Valid until the next call. */
  overlap(tokens: Int32Array): Int32Array {
    this.index.overlap(tokens, tokens.length, this.matches);
    return this.matches;
  }
}

const ROUGE_ORDER = 2;

/** A reference, read by each tokenizer. */
class Target {
  private readonly bleu: Side;
  private readonly rouge: Side;
  private readonly words: Side;
  private readonly set: Set<string>;
  private readonly characters: CharacterSide;

  constructor(reference: string) {
    this.bleu = new Side(tokens13a(reference), BLEU_ORDER);
    this.rouge = new Side(rougeTokens(reference), ROUGE_ORDER);
    this.words = new Side(chrfWords(reference), CHRF_WORD_ORDER);
    this.characters = new CharacterSide(reference);
    this.set = setWords(reference);
  }

  compare(text: string, figures: Float64Array): void {
    const tokens = this.bleu.find(tokens13a(text));
    figures.set(this.bleu.overlap(tokens), BLEU_AT);
    figures.set([tokens.length, this.bleu.tokens.length], BLEU_AT + BLEU_ORDER);
    const points = codePoints(withoutSpaces(text));
    figures.set(this.characters.overlap(points), CHRF_AT);
    figures.set([points.length, this.characters.length], CHRF_AT + CHRF_ORDER);
    const words = this.words.find(chrfWords(text));
    figures.set(this.words.overlap(words), WORDS_AT);
    figures.set([words.length, this.words.tokens.length], WORDS_AT + CHRF_WORD_ORDER);

    const found = this.rouge.find(rougeTokens(text));
    const [own, other] = [found.length, this.rouge.tokens.length];
    const [one = 0, two = 0] = this.rouge.overlap(found);
    figures[AT.rouge1] = f1(one, own, other);
    figures[AT.rouge2] = f1(two, Math.max(0, own - 1), Math.max(0, other - 1));
    figures[AT.rougeL] = f1(commonSubsequence(found, this.rouge.tokens), own, other);
    figures[AT.set_rouge1] = setF1(setWords(text), this.set);
  }
}

/** The characters of a text without white space, and the index of their n-grams. */
export class CharacterSide {
  private readonly index: NgramIndex;
  private readonly matches = new Int32Array(CHRF_ORDER);
  readonly length: number;

  constructor(text: string) {
    const points = codePoints(withoutSpaces(text));
    this.index = new NgramIndex(CHRF_ORDER).build(points, points.length);
    this.length = points.length;
  }

  /** The clipped matches by order. Valid until the next call. */
  overlap(points: Int32Array): Int32Array {
    this.index.overlap(points, points.length, this.matches);
    return this.matches;
  }
}
