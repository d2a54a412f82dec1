import { NgramIndex } from "./ngram-index.ts";

/** How much of an answer is copied from its input; NaN where the answer is too short to tell. */
export interface Copying {
  /** The share of its words that stand in fragments of the input. */
  coverage: number;
  /** The mean length of the fragment that a word stands in. */
  density: number;
  /** The shares of its 2- and 3-grams that the input does not have. */
  novel2: number;
  novel3: number;
}

const MOST_NOVEL = 3;

/** An input whose words are looked for in answers. */
export class CopySource {
  private readonly index = new NgramIndex(MOST_NOVEL);
  private words: Int32Array;
  /** Where each word first stands in the input, and for each place the next one of the same word; −1 for none. */
  private first = new Map<number, number>();
  private next: Int32Array;

  /** @param words the numbers of the input's words */
  constructor(words: Int32Array) {
    this.words = words;
    this.next = new Int32Array(words.length).fill(-1);
    for (let at = words.length - 1; at >= 0; at -= 1) {
      const word = words[at] as number;
      this.next[at] = this.first.get(word) ?? -1;
      this.first.set(word, at);
    }
    this.index.build(words, words.length);
  }

  /** @param words the numbers of an answer's words; −1 for those that the input does not have */
  copying(words: Int32Array): Copying {
    const length = words.length;
    if (length === 0) return { coverage: Number.NaN, density: Number.NaN, novel2: Number.NaN, novel3: Number.NaN };
    let covered = 0;
    let squares = 0;
    for (let at = 0; at < length;) {
      const fragment = this.longestFragment(words, at);
      covered += fragment;
      squares += fragment * fragment;
      at += Math.max(1, fragment);
    }
    let [two, three] = [0, 0];
    for (let at = 0; at < length - 1; at += 1) {
      const depth = this.index.depthAt(words, length, at);
      if (depth < 2) two += 1;
      if (depth < 3 && at < length - 2) three += 1;
    }
    return {
      coverage: covered / length,
      density: squares / length,
      novel2: length < 2 ? Number.NaN : two / (length - 1),
      novel3: length < 3 ? Number.NaN : three / (length - 2),
    };
  }

  /** The greedy search of Grusky et al. (2018, figure 3): behind a match in the input, the search goes on at its end. */
  private longestFragment(words: Int32Array, start: number): number {
    let longest = 0;
    let from = 0;
    for (let at = this.first.get(words[start] as number) ?? -1; at !== -1; at = this.next[at] as number) {
      if (at < from) continue;
      let length = 1;
      while (
        start + length < words.length &&
        at + length < this.words.length &&
        words[start + length] === this.words[at + length]
      ) {
        length += 1;
      }
      longest = Math.max(longest, length);
      from = at + length;
    }
    return longest;
  }
}
