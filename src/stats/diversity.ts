import { once } from "node:events";
import { createGzip } from "node:zlib";
import { clipped } from "./comparison.ts";
import { mixed, stirred } from "./hash.ts";
import { SelfBleuSample } from "./self-bleu.ts";
import { plainWords, Vocabulary } from "./tokens.ts";

/** The order of the n-grams whose repetition is counted. */
const REPEATED_ORDER = 4;

/** An answer of a sample, and the group of its input. */
export interface DiverseAnswer {
  text: string;
  group: number;
}

/** Figures of many answers together; null if they have too few words. */
export interface Diversity {
  n: number;
  meanWords: number;
  /** The bytes of all answers divided by those of all answers packed by gzip. */
  redundancy: number | null;
  /** Different words, and pairs of words, divided by all. */
  distinct1: number | null;
  distinct2: number | null;
  /** For each group of inputs: 4-grams that another answer has, and all 4-grams. */
  repeated: Map<number, { repeated: number; ngrams: number }>;
  /** Self-BLEU of answers of a sample, by the groups of their inputs. */
  selfBleu: { group: number; value: number }[];
}

/** How alike answers are. They are read once, and their words kept as numbers. */
export async function diversityOf(answers: Iterable<DiverseAnswer>): Promise<Diversity> {
  const vocabulary = new Vocabulary();
  const read: { words: Int32Array; group: number }[] = [];
  const gzip = createGzip();
  let [bytes, packed, total] = [0, 0, 0];
  gzip.on("data", (piece: Buffer) => {
    packed += piece.length;
  });
  const pairs = new HashTable();
  const bleu = new SelfBleuSample();
  for (const { text, group } of answers) {
    const words = vocabulary.add(plainWords(clipped(text)));
    read.push({ words, group });
    total += words.length;
    for (let at = 1; at < words.length; at += 1) pairs.put(keyOf(words, at - 1, 2), 0);
    bleu.add(text, group);
    const line = Buffer.from(`${text}\n`);
    bytes += line.length;
    if (!gzip.write(line)) await once(gzip, "drain");
  }
  gzip.end();
  await once(gzip, "end");
  const allPairs = read.reduce((sum, { words }) => sum + Math.max(0, words.length - 1), 0);
  return {
    n: read.length,
    meanWords: read.length === 0 ? 0 : total / read.length,
    redundancy: bytes === 0 ? null : bytes / packed,
    distinct1: total === 0 ? null : vocabulary.size / total,
    distinct2: allPairs === 0 ? null : pairs.size / allPairs,
    repeated: repetition(read),
    selfBleu: bleu.scores(),
  };
}

/** Counts, by the groups of inputs, the 4-grams of answers that another answer has. */
function repetition(answers: readonly { words: Int32Array; group: number }[]): Diversity["repeated"] {
  const SEVERAL = -1;
  const owners = new HashTable();
  for (const [answer, { words }] of answers.entries()) {
    for (let at = 0; at + REPEATED_ORDER <= words.length; at += 1) {
      const key = keyOf(words, at, REPEATED_ORDER);
      const owner = owners.get(key);
      if (owner === undefined) owners.put(key, answer);
      else if (owner !== answer) owners.put(key, SEVERAL);
    }
  }
  const found: Diversity["repeated"] = new Map();
  for (const { words, group } of answers) {
    const sums = found.get(group) ?? { repeated: 0, ngrams: 0 };
    found.set(group, sums);
    for (let at = 0; at + REPEATED_ORDER <= words.length; at += 1) {
      sums.ngrams += 1;
      if (owners.get(keyOf(words, at, REPEATED_ORDER)) === SEVERAL) sums.repeated += 1;
    }
  }
  return found;
}

/** 53 bits for `order` words from a place on. */
function keyOf(words: Int32Array, from: number, order: number): number {
  // Numbers of words are below 2^26, so that two fit exactly.
  const pairAt = (at: number) => (words[at] as number) * 2 ** 26 + (words[at + 1] as number);
  return order === 2 ? pairAt(from) : mixed(pairAt(from), pairAt(from + 2));
}

/** A table from whole numbers of 53 bits to small ones (linear probing). */
class HashTable {
  private keys = new Float64Array(1_024).fill(-1);
  private values = new Int32Array(1_024);
  size = 0;

  get(key: number): number | undefined {
    const at = this.find(key);
    return this.keys[at] === key ? this.values[at] : undefined;
  }

  put(key: number, value: number): void {
    const at = this.find(key);
    this.values[at] = value;
    if (this.keys[at] === key) return;
    this.keys[at] = key;
    this.size += 1;
    if (2 * this.size > this.keys.length) this.grow();
  }

  private find(key: number): number {
    const { keys } = this;
    let at = (stirred((key | 0) ^ stirred(key / 2 ** 32)) >>> 0) % keys.length;
    while (keys[at] !== -1 && keys[at] !== key) at = at + 1 === keys.length ? 0 : at + 1;
    return at;
  }

  private grow(): void {
    const { keys, values } = this;
    this.keys = new Float64Array(2 * keys.length).fill(-1);
    this.values = new Int32Array(this.keys.length);
    for (const [at, key] of keys.entries()) {
      if (key === -1) continue;
      const place = this.find(key);
      this.keys[place] = key;
      this.values[place] = values[at] as number;
    }
  }
}
