import { clipped } from "./comparison.ts";
import { hashOf, mixed, randoms, stirred } from "./hash.ts";
import { plainWords } from "./tokens.ts";

/** Near duplicates share at least this part of their shingles (Jaccard). */
const LEAST_JACCARD = 0.8;
const SHINGLE = 5;
/** A pair at the least similarity shares all rows of some band with a probability of 99.995%. */
const BANDS = 25;
const ROWS = 5;
/** How many of the texts with the same band each is compared with: of those that follow it, and of some of all conditions. */
const MOST_COMPARED = 20;
const MOST_OF_ALL = 8;
/** How many pairs are remembered that were compared. */
const MOST_PAIRS = 1_000_000;
/** How many texts' shingles are kept. */
const MOST_KEPT = 4_000;

/** How many answers of a group are the same as, or nearly the same as, others within the group and outside of it. */
export interface Duplicates {
  within: number;
  between: number;
  near_within: number;
  near_between: number;
}

/** The text of an answer as duplicates are compared: without case, white space and punctuation. */
export function plainText(text: string): string {
  const words = plainWords(clipped(text));
  // A text without any word is compared as it is, so that it is not the same as an empty one.
  return words.length === 0 ? `\0${text.trim()}` : words.join(" ");
}

/** Finds answers that are the same (once case, white space and punctuation are left out), or nearly. */
export class DuplicateFinder {
  /** The different texts, by the hash of their words. */
  private readonly entries = new Map<number, number>();
  /** The conditions of the answers that have each text. */
  private readonly conditions: number[][] = [];
  /** The first answer that has each text. */
  private readonly firsts: number[] = [];
  private readonly near = new Map<number, number[]>();
  private readonly byCondition = new Map<number, number[]>();
  private bands = new Uint32Array(BANDS * 1_024);
  private readonly seeds: Int32Array;
  private answers = 0;

  constructor() {
    const random = randoms(7);
    this.seeds = Int32Array.from({ length: BANDS * ROWS }, () => random(2 ** 32) | 0);
  }

  add(condition: number, text: string): void {
    const plain = plainText(text);
    const hash = hashOf(plain);
    let entry = this.entries.get(hash);
    if (entry === undefined) {
      entry = this.conditions.length;
      this.entries.set(hash, entry);
      this.conditions.push([]);
      this.firsts.push(this.answers);
      this.keepBands(entry, shinglesOf(plain));
    }
    const having = this.conditions[entry] as number[];
    if (!having.includes(condition)) {
      const own = this.byCondition.get(condition) ?? [];
      this.byCondition.set(condition, own);
      own.push(entry);
    }
    having.push(condition);
    this.answers += 1;
  }

  /** Finds the near duplicates. @param textOf the text of an answer, by the order in which they were added */
  compare(textOf: (answer: number) => string): void {
    const kept = new Map<number, Float64Array>();
    const shingles = (entry: number): Float64Array => {
      const known = kept.get(entry);
      if (known !== undefined) return known;
      if (kept.size >= MOST_KEPT) kept.clear();
      const found = shinglesOf(plainText(textOf(this.firsts[entry] as number)));
      kept.set(entry, found);
      return found;
    };
    const seen = new Set<number>();
    for (const [one, other] of this.candidates()) {
      const pair = one * 2 ** 26 + other;
      if (seen.has(pair)) continue;
      if (seen.size >= MOST_PAIRS) seen.clear();
      seen.add(pair);
      if (jaccard(shingles(one), shingles(other)) < LEAST_JACCARD) continue;
      this.link(one, other);
      this.link(other, one);
    }
  }

  /** @param group the conditions of a group */
  countFor(group: ReadonlySet<number>): Duplicates {
    const found: Duplicates = { within: 0, between: 0, near_within: 0, near_between: 0 };
    const entries = new Set([...group].flatMap((condition) => this.byCondition.get(condition) ?? []));
    for (const entry of entries) {
      const having = this.conditions[entry] as number[];
      const own = having.filter((condition) => group.has(condition)).length;
      const isOutside = own < having.length;
      const near = (this.near.get(entry) ?? []).flatMap((other) => this.conditions[other] as number[]);
      if (own > 1) found.within += own;
      if (isOutside) found.between += own;
      if (own > 1 || near.some((condition) => group.has(condition))) found.near_within += own;
      if (isOutside || near.some((condition) => !group.has(condition))) found.near_between += own;
    }
    return found;
  }

  /** Pairs of texts that have a band in common, the smaller number first; some pairs come more than once. */
  private *candidates(): Generator<[number, number]> {
    for (let band = 0; band < BANDS; band += 1) {
      for (const alike of this.textsByBand(band)) {
        // The texts that follow one may all be of its own condition.
        const others = alike.length <= MOST_COMPARED ? [] : this.someOfEachCondition(alike, band);
        for (const [at, one] of alike.entries()) {
          for (const other of alike.subarray(at + 1, at + 1 + MOST_COMPARED)) yield [one, other];
          for (const other of others) if (one !== other) yield [Math.min(one, other), Math.max(one, other)];
        }
      }
    }
  }

  /** The texts that have the same band, in order of their numbers: each time at least two. */
  private *textsByBand(band: number): Generator<Uint32Array> {
    const count = this.conditions.length;
    const keys = new Float64Array(count);
    for (let entry = 0; entry < count; entry += 1) {
      keys[entry] = (this.bands[entry * BANDS + band] as number) * 2 ** 20 + entry;
    }
    keys.sort();
    const bandAt = (at: number) => Math.floor((keys[at] as number) / 2 ** 20);
    for (let [from, to] = [0, 0]; from < count; from = to) {
      while (to < count && bandAt(to) === bandAt(from)) to += 1;
      if (to - from > 1) yield Uint32Array.from(keys.subarray(from, to), (key) => key % 2 ** 20);
    }
  }

  /** Up to {@link MOST_OF_ALL} texts, of each condition as many as of the others; other ones for each band. */
  private someOfEachCondition(entries: Uint32Array, band: number): Set<number> {
    const byCondition = new Map<number, number[]>();
    const placeOf = (entry: number) => stirred(entry ^ stirred(band + 1)) >>> 0;
    for (const entry of entries.toSorted((one, other) => placeOf(one) - placeOf(other))) {
      for (const condition of new Set(this.conditions[entry])) {
        const own = byCondition.get(condition) ?? [];
        byCondition.set(condition, own);
        if (own.length < MOST_OF_ALL) own.push(entry);
      }
    }
    const chosen = new Set<number>();
    for (let place = 0; place < MOST_OF_ALL; place += 1) {
      for (const own of byCondition.values()) {
        const entry = own[place];
        if (entry !== undefined) chosen.add(entry);
        if (chosen.size === MOST_OF_ALL) return chosen;
      }
    }
    return chosen;
  }

  private link(one: number, other: number): void {
    const linked = this.near.get(one) ?? [];
    if (linked.length === 0) this.near.set(one, linked);
    linked.push(other);
  }

  /** Keeps the bands of a text: hashes of {@link ROWS} least hashes of its shingles (MinHash, Broder 1997). */
  private keepBands(entry: number, shingles: Float64Array): void {
    if ((entry + 1) * BANDS > this.bands.length) {
      const larger = new Uint32Array(2 * this.bands.length);
      larger.set(this.bands);
      this.bands = larger;
    }
    const least = new Uint32Array(BANDS * ROWS).fill(0xffff_ffff);
    for (const shingle of shingles) {
      const hash = stirred((shingle | 0) ^ Math.floor(shingle / 2 ** 32));
      for (let at = 0; at < least.length; at += 1) {
        let own = Math.imul(hash ^ (this.seeds[at] as number), 0x9e3779b1);
        own = (own ^ (own >>> 15)) >>> 0;
        if (own < (least[at] as number)) least[at] = own;
      }
    }
    for (let band = 0; band < BANDS; band += 1) {
      let hash = band;
      for (let row = 0; row < ROWS; row += 1) hash = stirred(hash ^ (least[band * ROWS + row] as number));
      this.bands[entry * BANDS + band] = hash;
    }
  }
}

/** The different runs of {@link SHINGLE} words of a text, as sorted hashes; of a shorter text, all its words. */
function shinglesOf(plain: string): Float64Array {
  const words = plain.split(" ").map((word) => hashOf(word));
  const found = new Set<number>();
  for (let start = 0; start === 0 || start + SHINGLE <= words.length; start += 1) {
    found.add(words.slice(start, start + SHINGLE).reduce((hash, word) => mixed(hash, word), 0));
  }
  return Float64Array.from(found).toSorted();
}

/** The part of two sets' members that both have. */
function jaccard(one: Float64Array, other: Float64Array): number {
  let [at, place, both] = [0, 0, 0];
  while (at < one.length && place < other.length) {
    const [own, others] = [one[at] as number, other[place] as number];
    if (own === others) both += 1;
    if (own <= others) at += 1;
    if (others <= own) place += 1;
  }
  return both / (one.length + other.length - both);
}
