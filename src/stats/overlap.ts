/** The orders of BLEU, of chrF's characters, and of chrF++'s words. */
export const BLEU_ORDER = 4;
export const CHRF_ORDER = 6;
export const CHRF_WORD_ORDER = 2;
const CHRF_BETA_SQUARED = 4;

/** What BLEU is computed from, of one pair or summed over a corpus. `matches[n - 1]` is that of order n. */
export interface BleuCounts {
  matches: ArrayLike<number>;
  totals: ArrayLike<number>;
  length: number;
  referenceLength: number;
}

/**
 * BLEU from 0 to 100 (Papineni et al. 2002), as sacreBLEU computes it with the smoothing `exp`: a precision of 0 becomes
 * half of the one that a single match would give, the next a quarter, and so on.
 * @param effectiveOrder for sentences: orders that the text is too short for do not count
 */
export function bleu({ matches, totals, length, referenceLength }: BleuCounts, effectiveOrder: boolean): number {
  let smoothing = 1;
  let logs = 0;
  let order = BLEU_ORDER;
  let isAny = false;
  for (let at = 0; at < BLEU_ORDER; at += 1) if ((matches[at] as number) > 0) isAny = true;
  if (!isAny) return 0;
  for (let at = 0; at < BLEU_ORDER; at += 1) {
    const total = totals[at] as number;
    if (total === 0) {
      if (!effectiveOrder) return 0;
      order = at;
      break;
    }
    const match = matches[at] as number;
    if (match === 0) smoothing *= 2;
    logs += Math.log(match === 0 ? 100 / (smoothing * total) : (100 * match) / total);
  }
  const brevity = length < referenceLength ? Math.exp(1 - referenceLength / length) : 1;
  return brevity * Math.exp(logs / order);
}

/** What chrF is computed from: the n-grams of the text, of the reference, and of both, by order. */
export interface ChrfCounts {
  hypothesis: ArrayLike<number>;
  reference: ArrayLike<number>;
  matches: ArrayLike<number>;
}

/** chrF or chrF++ from 0 to 100 (Popović 2015, 2017): F2 of the mean precision and recall of the orders that both texts have. */
export function chrf({ hypothesis, reference, matches }: ChrfCounts): number {
  let precision = 0;
  let recall = 0;
  let orders = 0;
  for (let at = 0; at < matches.length; at += 1) {
    const [own, other] = [hypothesis[at] as number, reference[at] as number];
    if (own <= 0 || other <= 0) continue;
    precision += (matches[at] as number) / own;
    recall += (matches[at] as number) / other;
    orders += 1;
  }
  if (orders === 0 || precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  return (100 * (1 + CHRF_BETA_SQUARED) * precision * recall) / (CHRF_BETA_SQUARED * precision + recall);
}

/** The number of n-grams of order n that a sequence has. */
export function ngramsIn(length: number, n: number): number {
  return Math.max(0, length - n + 1);
}

/** The harmonic mean of precision and recall, from 0 to 1. */
export function f1(matches: number, own: number, other: number): number {
  return own + other === 0 || matches === 0 ? 0 : (2 * matches) / (own + other);
}

/** The size of two sets' overlap, as F1 of the smaller set in the larger one. */
export function setF1(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  let matches = 0;
  for (const member of one) if (other.has(member)) matches += 1;
  return f1(matches, one.size, other.size);
}

/**
 * The length of the longest common subsequence, 32 columns at a time (Hyyrö 2004): a bit of a row is 0 where the length
 * grows.
 */
export function commonSubsequence(one: Int32Array, other: Int32Array): number {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one];
  const words = Math.ceil(short.length / 32);
  const places = new Map<number, Int32Array>();
  for (const [at, symbol] of short.entries()) {
    const bits = places.get(symbol) ?? new Int32Array(words);
    places.set(symbol, bits);
    bits[at >>> 5] = (bits[at >>> 5] as number) | (1 << (at & 31));
  }
  const row = new Int32Array(words).fill(-1);
  for (const symbol of long) {
    const bits = places.get(symbol);
    if (bits === undefined) continue;
    let carry = 0;
    for (let at = 0; at < words; at += 1) {
      const old = row[at] as number;
      const hit = old & (bits[at] as number);
      const sum = (old >>> 0) + (hit >>> 0) + carry;
      carry = sum > 0xffff_ffff ? 1 : 0;
      row[at] = sum | 0 | (old & ~(bits[at] as number));
    }
  }
  let length = 0;
  for (let at = 0; at < short.length; at += 1) if ((((row[at >>> 5] as number) >>> (at & 31)) & 1) === 0) length += 1;
  return length;
}
