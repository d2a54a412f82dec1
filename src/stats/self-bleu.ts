import { SEED } from "./bootstrap.ts";
import { clipped } from "./comparison.ts";
import { hashOf, mixed } from "./hash.ts";
import { bleu, BLEU_ORDER, ngramsIn } from "./overlap.ts";
import { tokens13a, Vocabulary } from "./tokens.ts";

/** How many answers are compared with each other. */
const SELF_BLEU_ANSWERS = 100;

interface Drawn {
  place: number;
  text: string;
  group: number;
}

/** Draws answers from a stream, and compares each of them with all others (Self-BLEU, Zhu et al. 2018). */
export class SelfBleuSample {
  private count = 0;
  private drawn: Drawn[] = [];

  add(text: string, group: number): void {
    const place = hashOf(String(this.count), SEED + 3);
    this.count += 1;
    this.drawn.push({ place, text: clipped(text), group });
    if (this.drawn.length >= 2 * SELF_BLEU_ANSWERS) this.prune();
  }

  /** BLEU of each drawn answer, with all others as its references. */
  scores(): { group: number; value: number }[] {
    this.prune();
    const values = selfBleu(this.drawn.map(({ text }) => text));
    return this.drawn.map(({ group }, at) => ({ group, value: values[at] as number }));
  }

  private prune(): void {
    this.drawn = this.drawn.toSorted((one, other) => one.place - other.place).slice(0, SELF_BLEU_ANSWERS);
  }
}

/** How often an n-gram occurs at most in one text, in which one, and how often at most in another. */
interface Most {
  count: number;
  owner: number;
  second: number;
}

/** BLEU from 0 to 100 of each text, with all others as its references; empty if there is only one. */
function selfBleu(texts: readonly string[]): number[] {
  if (texts.length < 2) return [];
  const vocabulary = new Vocabulary();
  const sequences = texts.map((text) => vocabulary.add(tokens13a(text)));
  const counts = sequences.map(ngramCounts);
  const most = Array.from({ length: BLEU_ORDER }, () => new Map<number, Most>());
  for (const [owner, orders] of counts.entries()) {
    for (const [order, grams] of orders.entries()) {
      for (const [gram, count] of grams) keepMost(most[order] as Map<number, Most>, gram, count, owner);
    }
  }
  const lengths = sequences.map(({ length }) => length);
  return counts.map((orders, own) => {
    const length = lengths[own] as number;
    const matches = orders.map((grams, order) => {
      let sum = 0;
      for (const [gram, count] of grams) {
        const other = most[order]?.get(gram);
        if (other) sum += Math.min(count, other.owner === own ? other.second : other.count);
      }
      return sum;
    });
    const totals = matches.map((_, order) => ngramsIn(length, order + 1));
    return bleu({ matches, totals, length, referenceLength: closest(lengths, own) }, true);
  });
}

function keepMost(most: Map<number, Most>, gram: number, count: number, owner: number): void {
  const known = most.get(gram);
  if (known === undefined) most.set(gram, { count, owner, second: 0 });
  else if (count > known.count) most.set(gram, { count, owner, second: known.count });
  else known.second = Math.max(known.second, count);
}

/** The n-grams of a sequence by order, each as a hash. */
function ngramCounts(sequence: Int32Array): Map<number, number>[] {
  const orders = Array.from({ length: BLEU_ORDER }, () => new Map<number, number>());
  for (const start of sequence.keys()) {
    let gram = 0;
    for (const [order, counts] of orders.entries()) {
      if (start + order >= sequence.length) break;
      gram = mixed(gram, sequence[start + order] as number);
      counts.set(gram, (counts.get(gram) ?? 0) + 1);
    }
  }
  return orders;
}

/** The length of another text that is closest to that of one; of two, the shorter. */
function closest(lengths: readonly number[], own: number): number {
  const length = lengths[own] as number;
  let best = Number.POSITIVE_INFINITY;
  for (const [at, other] of lengths.entries()) {
    if (at === own) continue;
    const [distance, least] = [Math.abs(other - length), Math.abs(best - length)];
    if (distance < least || (distance === least && other < best)) best = other;
  }
  return best;
}
