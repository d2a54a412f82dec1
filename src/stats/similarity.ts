import { CharacterSide, clipped } from "./comparison.ts";
import { chrf, CHRF_ORDER, ngramsIn } from "./overlap.ts";
import { MOST_SIMILAR } from "./sample.ts";
import { setAll } from "./sums.ts";
import { codePoints, withoutSpaces } from "./tokens.ts";

/**
 * The sums of a pair of conditions, by order: n-grams of the one, of the other, of both; then those of the one and of the
 * other whose counterpart is not too short to have any. As in sacreBLEU, only these count for the answer.
 */
const PAIR_SUMS = 5 * CHRF_ORDER;
const [OF_ONE, OF_OTHER, OF_BOTH, COUNTED_OF_ONE, COUNTED_OF_OTHER] = [0, 1, 2, 3, 4].map(
  (place) => place * CHRF_ORDER,
) as [number, number, number, number, number];

/** Compares texts by chrF in both directions at once. */
class ChrfPair {
  private readonly side: CharacterSide;

  constructor(text: string) {
    this.side = new CharacterSide(clipped(text));
  }

  /** Adds the counts of the pair to sums, with this text as the one; `from` says where they begin. */
  addTo(sums: Float64Array, from: number, other: Int32Array): void {
    const matches = this.side.overlap(other);
    for (let at = 0; at < CHRF_ORDER; at += 1) {
      const [own, others] = [ngramsIn(this.side.length, at + 1), ngramsIn(other.length, at + 1)];
      const add = (place: number, count: number) => {
        sums[from + place + at] = (sums[from + place + at] as number) + count;
      };
      add(OF_ONE, own);
      add(OF_OTHER, others);
      add(OF_BOTH, matches[at] as number);
      if (others > 0) add(COUNTED_OF_ONE, own);
      if (own > 0) add(COUNTED_OF_OTHER, others);
    }
  }
}

/** What a {@link ChrfPair} compares with. */
function characters(text: string): Int32Array {
  return codePoints(withoutSpaces(clipped(text)));
}

/** chrF of sums. @param isReversed whether the other text is the answer, and this one the reference */
function chrfOfPair(sums: Float64Array, isReversed: boolean): number {
  const at = (place: number) => sums.subarray(place, place + CHRF_ORDER);
  return chrf({
    hypothesis: at(isReversed ? COUNTED_OF_OTHER : COUNTED_OF_ONE),
    reference: at(isReversed ? OF_ONE : OF_OTHER),
    matches: at(OF_BOTH),
  });
}

/** The mean chrF of texts against each other, each as the answer and as the reference; null for fewer than two. */
export function agreement(texts: readonly string[]): number | null {
  if (texts.length < 2) return null;
  const points = texts.map(characters);
  let sum = 0;
  for (const [at, text] of texts.entries()) {
    const pair = new ChrfPair(text);
    for (let other = at + 1; other < texts.length; other += 1) {
      const counts = new Float64Array(PAIR_SUMS);
      pair.addTo(counts, 0, points[other] as Int32Array);
      sum += chrfOfPair(counts, false) + chrfOfPair(counts, true);
    }
  }
  return sum / (texts.length * (texts.length - 1));
}

/** chrF of each condition with each other on the same inputs. */
export class Similarity {
  private readonly size: number;
  private readonly sums: Float64Array;

  constructor(conditions: number) {
    this.size = Math.min(conditions, MOST_SIMILAR);
    this.sums = new Float64Array(this.size * this.size * PAIR_SUMS);
  }

  get stored(): Float64Array {
    return this.sums;
  }

  restore(sums: Float64Array): void {
    setAll(this.sums, sums);
  }

  /** Adds the answers to an input, by their condition. */
  add(answers: ReadonlyMap<number, string>): void {
    const texts = [...answers].filter(([condition]) => condition < this.size).toSorted(([one], [other]) => one - other);
    // A pair of a condition with itself only says that the condition has answers.
    for (const [condition] of texts) this.sums[this.from(condition, condition)] = 1;
    if (texts.length < 2) return;
    const points = texts.map(([, text]) => characters(text));
    for (const [at, [condition, text]] of texts.entries()) {
      const pair = new ChrfPair(text);
      for (let other = at + 1; other < texts.length; other += 1) {
        const [otherCondition] = texts[other] as [number, string];
        pair.addTo(this.sums, this.from(condition, otherCondition), points[other] as Int32Array);
      }
    }
  }

  /** Corpus chrF with the answers of the row's condition as answers, and those of the column's as references. */
  matrix(): (number | null)[][] {
    const every = Array.from({ length: this.size }, (_, at) => at);
    return every.map((row) =>
      every.map((column) => {
        const from = this.from(Math.min(row, column), Math.max(row, column));
        const sums = this.sums.subarray(from, from + PAIR_SUMS);
        if (sums[OF_ONE] === 0 && sums[OF_OTHER] === 0) return null;
        return row === column ? 100 : chrfOfPair(sums, row > column);
      }),
    );
  }

  private from(row: number, column: number): number {
    return (row * this.size + column) * PAIR_SUMS;
  }
}
