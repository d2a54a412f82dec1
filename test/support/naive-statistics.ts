import { gzipSync } from "node:zlib";

/*
 * The figures of `datagen stats` once more, from the definitions in docs/statistics.md and as simply as can be: no
 * indexes, no hashes, nothing kept. Slow, and for small runs only.
 */

/** A row of JSON Lines. */
export interface Row {
  task: number;
  condition: string;
  replicate: number;
  context: string;
  reference: string | null;
  response: string | null;
  failure: string | null;
  finish_reason: string | null;
  /** Of the response alone, without reasoning. */
  response_tokens: number;
  cost_usd: number | null;
  latency_ms: number | null;
  origin_run: string | null;
  run_id: string;
}

type Answered = Row & { response: string };

// oxlint-disable-next-line no-control-regex -- Python takes these for white space
const WHITE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

const split = (text: string): string[] => text.split(WHITE).filter((word) => word !== "");

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
export const mean = (values: number[]): number => sum(values) / values.length;

export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place % 1);
}

function variance(values: number[]): number {
  return sum(values.map((value) => (value - mean(values)) ** 2)) / (values.length - 1);
}

export function spread(values: number[]): Record<string, number> {
  return {
    mean: mean(values),
    sd: Math.sqrt(variance(values)),
    min: Math.min(...values),
    q1: quantile(values, 0.25),
    median: quantile(values, 0.5),
    q3: quantile(values, 0.75),
    max: Math.max(...values),
  };
}

function sentences(text: string): number {
  return text
    .split(
      // oxlint-disable-next-line no-control-regex -- likewise
      /[\r\n\x85\u2028\u2029]+|(?<=[.!?…]["'”’“»«)\]}」』）]*)[\t-\r\x1c-\x20\xa0\u3000]+|(?<=[。！？]["'”’“»«)\]}」』）]*)(?!["'”’“»«)\]}」』）])/,
    )
    .filter((part) => /[^\s"'”’“»«)\]}」』）]/.test(part)).length;
}

/** N-grams as texts, with repetitions. */
function grams(tokens: string[], n: number): string[] {
  return tokens.slice(0, Math.max(0, tokens.length - n + 1)).map((_, at) => tokens.slice(at, at + n).join("\0"));
}

function counts(items: string[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const item of items) found.set(item, (found.get(item) ?? 0) + 1);
  return found;
}

function clipped(own: string[], other: string[]): number {
  const others = counts(other);
  return sum([...counts(own)].map(([gram, count]) => Math.min(count, others.get(gram) ?? 0)));
}

function tokens13a(text: string): string[] {
  const plain = text
    .trimEnd()
    .replaceAll("-\n", "")
    .replaceAll("\n", " ")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">");
  return split(
    ` ${plain} `
      .replaceAll(/[{-~[-` -&(-+:-@/]/g, (mark) => ` ${mark} `)
      .replaceAll(/([^0-9])([.,])/g, "$1 $2 ")
      .replaceAll(/([.,])([^0-9])/g, " $1 $2")
      .replaceAll(/([0-9])(-)/g, "$1 $2 "),
  );
}

export interface Pair {
  hypothesis: string;
  reference: string;
}

function bleu(pairs: Pair[], isSentence: boolean): number {
  const tokens = pairs.map(({ hypothesis, reference }) => [tokens13a(hypothesis), tokens13a(reference)] as const);
  const [length, other] = [sum(tokens.map(([own]) => own.length)), sum(tokens.map(([, own]) => own.length))];
  let [smoothing, logs, order] = [1, 0, 0];
  const matches = [1, 2, 3, 4].map((n) => sum(tokens.map(([a, b]) => clipped(grams(a, n), grams(b, n)))));
  if (sum(matches) === 0) return 0;
  for (const n of [1, 2, 3, 4]) {
    const total = sum(tokens.map(([own]) => grams(own, n).length));
    if (total === 0 && isSentence) break;
    if (total === 0) return 0;
    const match = matches[n - 1]!;
    if (match === 0) smoothing *= 2;
    logs += Math.log(match === 0 ? 1 / (smoothing * total) : match / total);
    order = n;
  }
  return 100 * Math.exp(logs / order) * Math.min(1, Math.exp(1 - other / length));
}

function marksApart(text: string): string[] {
  const mark = /[!-/:-@[-`{-~]/;
  return split(text).flatMap((word) => {
    if ([...word].length === 1) return [word];
    if (mark.test(word.at(-1)!)) return [word.slice(0, -1), word.slice(-1)];
    return mark.test(word[0]!) ? [word[0]!, word.slice(1)] : [word];
  });
}

function chrf(pairs: Pair[], wordOrder: number): number {
  const orders = [
    ...[1, 2, 3, 4, 5, 6].map((n) => (text: string) => grams(Array.from(text.replaceAll(WHITE, "")), n)),
    ...[1, 2].slice(0, wordOrder).map((n) => (text: string) => grams(marksApart(text), n)),
  ];
  const scores = orders.flatMap((gramsOf) => {
    const found = pairs.map(({ hypothesis, reference }) => [gramsOf(hypothesis), gramsOf(reference)] as const);
    const own = sum(found.map(([a, b]) => (b.length === 0 ? 0 : a.length)));
    const other = sum(found.map(([, b]) => b.length));
    const match = sum(found.map(([a, b]) => clipped(a, b)));
    return own > 0 && other > 0 ? [{ precision: match / own, recall: match / other }] : [];
  });
  if (scores.length === 0) return 0;
  const precision = mean(scores.map((score) => score.precision));
  const recall = mean(scores.map((score) => score.recall));
  return precision + recall === 0 ? 0 : (100 * 5 * precision * recall) / (4 * precision + recall);
}

function f1(match: number, own: number, other: number): number {
  if (match === 0) return 0;
  const [precision, recall] = [match / own, match / other];
  return (2 * precision * recall) / (precision + recall);
}

const rougeTokens = (text: string): string[] =>
  text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean);

function rouge({ hypothesis, reference }: Pair, n: number): number {
  const [own, other] = [grams(rougeTokens(hypothesis), n), grams(rougeTokens(reference), n)];
  return f1(clipped(own, other), own.length, other.length);
}

function rougeL({ hypothesis, reference }: Pair): number {
  const [a, b] = [rougeTokens(hypothesis), rougeTokens(reference)];
  const lengths = Array.from({ length: a.length + 1 }, () => Array.from({ length: b.length + 1 }, () => 0));
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      lengths[i]![j] =
        a[i - 1] === b[j - 1] ? lengths[i - 1]![j - 1]! + 1 : Math.max(lengths[i - 1]![j]!, lengths[i]![j - 1]!);
    }
  }
  return f1(lengths[a.length]![b.length]!, a.length, b.length);
}

function setRouge1({ hypothesis, reference }: Pair): number {
  const [own, other] = [new Set(split(hypothesis.toLowerCase())), new Set(split(reference.toLowerCase()))];
  return f1([...own].filter((word) => other.has(word)).length, own.size, other.size);
}

/** Words without case and punctuation. */
function plainWords(text: string): string[] {
  return (
    text
      .toLowerCase()
      .match(
        /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}])[\p{L}\p{M}\p{N}])+/gu,
      ) ?? []
  );
}

/** Coverage and density by the algorithm as it is printed in the paper. */
function copying(input: string, answer: string): { coverage: number; density: number } {
  const [article, summary] = [plainWords(input), plainWords(answer)];
  const fragments: number[] = [];
  for (let i = 0; i < summary.length;) {
    let longest = 0;
    for (let j = 0; j < article.length;) {
      if (summary[i] !== article[j]) {
        j += 1;
        continue;
      }
      let [ii, jj] = [i, j];
      while (ii < summary.length && jj < article.length && summary[ii] === article[jj]) [ii, jj] = [ii + 1, jj + 1];
      longest = Math.max(longest, ii - i);
      j = jj;
    }
    i += Math.max(1, longest);
    fragments.push(longest);
  }
  return {
    coverage: sum(fragments) / summary.length,
    density: sum(fragments.map((length) => length ** 2)) / summary.length,
  };
}

function novelty(input: string, answer: string, n: number): number {
  const known = new Set(grams(plainWords(input), n));
  const own = grams(plainWords(answer), n);
  return own.filter((gram) => !known.has(gram)).length / own.length;
}

function distinct(texts: string[], n: number): number {
  const all = texts.flatMap((text) => grams(plainWords(text), n));
  return new Set(all).size / all.length;
}

function selfRepetition(texts: string[]): number {
  const own = texts.map((text) => grams(plainWords(text), 4));
  const sets = own.map((grams4) => new Set(grams4));
  const repeated = own.map(
    (grams4, at) => grams4.filter((gram) => sets.some((others, other) => other !== at && others.has(gram))).length,
  );
  return sum(repeated) / sum(own.map(({ length }) => length));
}

export function selfBleu(texts: string[]): number {
  const tokens = texts.map(tokens13a);
  const known = tokens.map((own) => [1, 2, 3, 4].map((n) => counts(grams(own, n))));
  return mean(
    tokens.map((own, at) => {
      const others = known.filter((_, other) => other !== at);
      const reference = tokens
        .filter((_, other) => other !== at)
        .map(({ length }) => length)
        .toSorted((a, b) => Math.abs(a - own.length) - Math.abs(b - own.length) || a - b)[0]!;
      let [smoothing, logs, order, any] = [1, 0, 0, 0];
      for (const n of [1, 2, 3, 4]) {
        const total = grams(own, n).length;
        if (total === 0) break;
        const match = sum(
          [...known[at]![n - 1]!].map(([gram, count]) =>
            Math.min(count, Math.max(...others.map((other) => other[n - 1]!.get(gram) ?? 0))),
          ),
        );
        any += match;
        if (match === 0) smoothing *= 2;
        logs += Math.log(match === 0 ? 1 / (smoothing * total) : match / total);
        order = n;
      }
      return any === 0 ? 0 : 100 * Math.exp(logs / order) * Math.min(1, Math.exp(1 - reference / own.length));
    }),
  );
}

function redundancy(texts: string[]): number {
  const whole = Buffer.from(texts.map((text) => `${text}\n`).join(""));
  return whole.length / gzipSync(whole).length;
}

function shingles(text: string): Set<string> {
  const words = plainWords(text);
  return new Set(words.length < 5 ? [words.join(" ")] : grams(words, 5));
}

/** Counts the answers of a group of which another one, in the group or outside of it, is the same or nearly so. */
export function duplicatesIn(rows: Answered[]): (isIn: (condition: string) => boolean) => Record<string, number> {
  const texts = rows.map(({ response }) => plainWords(response).join(" "));
  const sets = rows.map(({ response }) => shingles(response));
  const pairs = rows.flatMap((_, at) =>
    rows.flatMap((__, other) => {
      if (other === at) return [];
      const both = [...sets[at]!].filter((shingle) => sets[other]!.has(shingle)).length;
      const isNear = both / (sets[at]!.size + sets[other]!.size - both) >= 0.8;
      return isNear ? [{ at, other, isSame: texts[at] === texts[other] }] : [];
    }),
  );
  return (isIn) => {
    const found = { within: new Set(), between: new Set(), near_within: new Set(), near_between: new Set() };
    for (const { at, other, isSame } of pairs) {
      if (!isIn(rows[at]!.condition)) continue;
      const place = isIn(rows[other]!.condition) ? "within" : "between";
      if (isSame) found[place].add(at);
      found[`near_${place}`].add(at);
    }
    return Object.fromEntries(Object.entries(found).map(([name, { size }]) => [name, size]));
  };
}

/** The mean chrF of replicates of a cell against each other, by input. */
export function agreement(rows: Answered[]): number {
  const cells = [...Map.groupBy(rows, ({ task, condition }) => `${task} ${condition}`).values()];
  return mean(
    cells
      .filter(({ length }) => length > 1)
      .map((cell) =>
        mean(
          cell.flatMap((one) =>
            cell
              .filter((other) => other !== one)
              .map((other) => chrf([{ hypothesis: one.response, reference: other.response }], 0)),
          ),
        ),
      ),
  );
}

export function similarity(rows: Answered[], row: string, column: string): number {
  const of = (condition: string) =>
    new Map(
      rows
        .filter((each) => each.condition === condition && each.replicate === 1)
        .map((each) => [each.task, each.response]),
    );
  const others = of(column);
  const pairs = [...of(row)].flatMap(([task, hypothesis]) => {
    const reference = others.get(task);
    return reference === undefined ? [] : [{ hypothesis, reference }];
  });
  return chrf(pairs, 0);
}

export function cohensD(a: number[], b: number[]): number {
  const pooled = ((a.length - 1) * variance(a) + (b.length - 1) * variance(b)) / (a.length + b.length - 2);
  return (mean(a) - mean(b)) / Math.sqrt(pooled);
}

export function auc(a: number[], b: number[]): number {
  return mean(a.flatMap((one) => b.map((other) => (one > other ? 1 : one === other ? 0.5 : 0))));
}

/** The figures of each answer by which groups are compared. */
export const OF_ANSWERS: Record<string, (row: Answered) => number> = {
  characters: ({ response }) => Array.from(response).length,
  words: ({ response }) => split(response).length,
  sentences: ({ response }) => sentences(response),
  tokens: (row) => row.response_tokens,
  coverage: ({ context, response }) => copying(context, response).coverage,
  density: ({ context, response }) => copying(context, response).density,
  novel2: ({ context, response }) => novelty(context, response, 2),
  novel3: ({ context, response }) => novelty(context, response, 3),
  bleu: (row) => bleu([pairOf(row)], true),
  chrf: (row) => chrf([pairOf(row)], 0),
  chrfpp: (row) => chrf([pairOf(row)], 2),
  rouge1: (row) => rouge(pairOf(row), 1),
  rouge2: (row) => rouge(pairOf(row), 2),
  rougeL: (row) => rougeL(pairOf(row)),
  set_rouge1: (row) => setRouge1(pairOf(row)),
};

function pairOf({ response, reference }: Answered): Pair {
  return { hypothesis: response, reference: reference! };
}

/** The figures of a group with a value, by their names. */
export function figuresOf(rows: Answered[]): Record<string, number> {
  const texts = rows.map(({ response }) => response);
  const pairs = rows.map(pairOf);
  const means = ["coverage", "density", "novel2", "novel3", "rouge1", "rouge2", "rougeL", "set_rouge1"].map((name) => [
    name,
    mean(rows.map(OF_ANSWERS[name]!).filter((value) => !Number.isNaN(value))),
  ]);
  return {
    ...(Object.fromEntries(means) as Record<string, number>),
    compression_ratio:
      sum(rows.map(({ context }) => split(context).length)) / sum(texts.map((text) => split(text).length)),
    redundancy: redundancy(texts),
    distinct1: distinct(texts, 1),
    distinct2: distinct(texts, 2),
    self_repetition: selfRepetition(texts),
    bleu: bleu(pairs, false),
    chrf: chrf(pairs, 0),
    chrfpp: chrf(pairs, 2),
  };
}
