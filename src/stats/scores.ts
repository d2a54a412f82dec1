import { BLEU_AT, CHRF_AT, WORDS_AT } from "./comparison.ts";
import { bleu, BLEU_ORDER, chrf, CHRF_ORDER, CHRF_WORD_ORDER, ngramsIn } from "./overlap.ts";

/*
 * The sums of a corpus, in their order: BLEU's matches and totals by order, both lengths; then for each of chrF's orders, of
 * characters and then of words, the n-grams of the answer, of the reference, and of both.
 */
const BLEU_SUMS = 2 * BLEU_ORDER + 2;
const CHRF_ORDERS = CHRF_ORDER + CHRF_WORD_ORDER;
const CHRF_SUMS = 3 * CHRF_ORDERS;
export const CORPUS_SUMS = BLEU_SUMS + CHRF_SUMS;

/** Writes what the figures of one answer add to the sums of a corpus. @param figures as `Comparison` gives them */
export function corpusSums(figures: ArrayLike<number>, sums: Float64Array): void {
  const length = figures[BLEU_AT + BLEU_ORDER] as number;
  for (let at = 0; at < BLEU_ORDER; at += 1) {
    sums[at] = figures[BLEU_AT + at] as number;
    sums[BLEU_ORDER + at] = ngramsIn(length, at + 1);
  }
  sums[2 * BLEU_ORDER] = length;
  sums[2 * BLEU_ORDER + 1] = figures[BLEU_AT + BLEU_ORDER + 1] as number;
  writeChrf(figures, CHRF_AT, CHRF_ORDER, sums, BLEU_SUMS);
  writeChrf(figures, WORDS_AT, CHRF_WORD_ORDER, sums, BLEU_SUMS + CHRF_ORDER);
}

function writeChrf(figures: ArrayLike<number>, from: number, orders: number, sums: Float64Array, to: number): void {
  const [length, reference] = [figures[from + orders] as number, figures[from + orders + 1] as number];
  for (let at = 0; at < orders; at += 1) {
    const other = ngramsIn(reference, at + 1);
    // As sacreBLEU does, an answer's n-grams do not count if its reference is too short to have any.
    sums[to + at] = other === 0 ? 0 : ngramsIn(length, at + 1);
    sums[to + CHRF_ORDERS + at] = other;
    sums[to + 2 * CHRF_ORDERS + at] = figures[from + at] as number;
  }
}

/** BLEU of a corpus, or of a sentence if `effectiveOrder`. */
export function bleuOf(sums: Float64Array, effectiveOrder = false): number {
  return bleu(
    {
      matches: sums,
      totals: sums.subarray(BLEU_ORDER, 2 * BLEU_ORDER),
      length: sums[2 * BLEU_ORDER] as number,
      referenceLength: sums[2 * BLEU_ORDER + 1] as number,
    },
    effectiveOrder,
  );
}

/** chrF of a corpus or a sentence. */
export function chrfOf(sums: Float64Array): number {
  return chrfUpTo(sums, CHRF_ORDER);
}

/** chrF++ of a corpus or a sentence. */
export function chrfppOf(sums: Float64Array): number {
  return chrfUpTo(sums, CHRF_ORDERS);
}

function chrfUpTo(sums: Float64Array, orders: number): number {
  const from = (place: number) => BLEU_SUMS + place * CHRF_ORDERS;
  return chrf({
    hypothesis: sums.subarray(from(0), from(0) + orders),
    reference: sums.subarray(from(1), from(1) + orders),
    matches: sums.subarray(from(2), from(2) + orders),
  });
}
