import { CharacterSide, clipped } from "./comparison.ts";
import { chrf, CHRF_ORDER, ngramsIn } from "./overlap.ts";
import { MOST_SIMILAR } from "./sample.ts";
import { codePoints, withoutSpaces } from "./tokens.ts";

/** The sums of a pair of conditions: n-grams of the one, of the other and of both, by order. */
const PAIR_SUMS = 3 * CHRF_ORDER;

/** Compares texts by chrF in both directions at once. */
class ChrfPair {
  private readonly side: CharacterSide;

  constructor(text: string) {
    this.side = new CharacterSide(clipped(text));
  }

  /** Adds the counts of the pair to sums, as if this text were the answer; `from` says where they begin. */
  addTo(sums: Float64Array, from: number, other: Int32Array): void {
    const matches = this.side.overlap(other);
    for (let at = 0; at < CHRF_ORDER; at += 1) {
      const [own, others] = [ngramsIn(this.side.length, at + 1), ngramsIn(other.length, at + 1)];
      sums[from + at] = (sums[from + at] as number) + own;
      sums[from + CHRF_ORDER + at] = (sums[from + CHRF_ORDER + at] as number) + others;
      sums[from + 2 * CHRF_ORDER + at] = (sums[from + 2 * CHRF_ORDER + at] as number) + (matches[at] as number);
    }
  }
}

/** What a {@link ChrfPair} compares with. */
function characters(text: string): Int32Array {
  return codePoints(withoutSpaces(clipped(text)));
}

/** chrF of sums. @param isReversed whether the other text is the answer, and this one the reference */
function chrfOfPair(sums: Float64Array, isReversed: boolean): number {
  const [one, other] = [sums.subarray(0, CHRF_ORDER), sums.subarray(CHRF_ORDER, 2 * CHRF_ORDER)];
  const matches = sums.subarray(2 * CHRF_ORDER, PAIR_SUMS);
  return chrf({ hypothesis: isReversed ? other : one, reference: isReversed ? one : other, matches });
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
    this.sums.set(sums);
  }

  /** Adds the answers to an input, by their condition. */
  add(answers: ReadonlyMap<number, string>): void {
    const texts = [...answers].filter(([condition]) => condition < this.size).toSorted(([one], [other]) => one - other);
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
        if (row === column) return 100;
        return sums[0] === 0 && sums[CHRF_ORDER] === 0 ? null : chrfOfPair(sums, row > column);
      }),
    );
  }

  private from(row: number, column: number): number {
    return (row * this.size + column) * PAIR_SUMS;
  }
}
