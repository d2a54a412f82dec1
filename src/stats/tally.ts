import { AT, BLEU_AT } from "./comparison.ts";
import { Distribution, type StoredDistribution } from "./distribution.ts";
import type { Lengths } from "./lengths.ts";
import { bleuOf, chrfOf, chrfppOf, CORPUS_SUMS, corpusSums } from "./scores.ts";
import type { StatCell } from "./stream.ts";
import { ANSWER_FIGURES, type AnswerFigure, CORPUS_AT, setAll, SUM_AT, SUMS } from "./sums.ts";

/** An answer of the sample. */
export interface SampledAnswer {
  answerId: number;
  /** The group of its input. */
  group: number;
  /** Its place in the dataset. */
  position: number;
  replicate: number;
}

/** A tally as it is kept. */
export interface StoredTally extends Pick<Tally, "answered" | "truncated" | "reused" | "costNanoUsd" | "sums"> {
  latency: StoredDistribution;
  distributions: StoredDistribution[];
  /** Four numbers for each answer of the sample. */
  sample: Float64Array;
}

/** What is known of the cells of one condition, in an amount of memory that does not grow with them. */
export class Tally {
  answered = 0;
  readonly failed = new Map<string, number>();
  pending = 0;
  truncated = 0;
  reused = 0;
  /** Null once the cost of a cell is unknown. */
  costNanoUsd: number | null = 0;
  readonly latency = new Distribution();
  readonly distributions: Record<AnswerFigure, Distribution>;
  /** {@link SUMS} for each group of inputs. */
  readonly sums: Float64Array;
  private sampled: SampledAnswer[] = [];
  private readonly corpus = new Float64Array(CORPUS_SUMS);

  /** @param groups the number of groups of inputs */
  constructor(groups: number) {
    this.sums = new Float64Array(groups * SUMS);
    this.distributions = Object.fromEntries(ANSWER_FIGURES.map((name) => [name, distributionOf(name)])) as Record<
      AnswerFigure,
      Distribution
    >;
  }

  /** The answers of the sample, in the order of the dataset. */
  get sample(): SampledAnswer[] {
    this.sampled = this.sampled.toSorted(
      (one, other) => one.position - other.position || one.replicate - other.replicate,
    );
    return this.sampled;
  }

  addToSample(answer: SampledAnswer): void {
    this.sampled.push(answer);
  }

  /** What it has counted, for {@link restore}. Failed and pending cells are no part of it. */
  get stored(): StoredTally {
    const { answered, truncated, reused, costNanoUsd, sums, latency } = this;
    const distributions = ANSWER_FIGURES.map((name) => this.distributions[name].stored);
    const sample = Float64Array.from(
      this.sample.flatMap(({ answerId, group, position, replicate }) => [answerId, group, position, replicate]),
    );
    return { answered, truncated, reused, costNanoUsd, sums, latency: latency.stored, distributions, sample };
  }

  restore(stored: StoredTally): void {
    this.answered = stored.answered;
    this.truncated = stored.truncated;
    this.reused = stored.reused;
    this.costNanoUsd = stored.costNanoUsd;
    setAll(this.sums, stored.sums);
    this.latency.restore(stored.latency);
    for (const [at, name] of ANSWER_FIGURES.entries()) {
      this.distributions[name].restore(stored.distributions[at] as StoredDistribution);
    }
    const { sample } = stored;
    for (let at = 0; at < sample.length; at += 4) {
      const [answerId = 0, group = 0, position = 0, replicate = 0] = sample.subarray(at, at + 4);
      this.sampled.push({ answerId, group, position, replicate });
    }
  }

  /** Counts a cell, answered or not. */
  count(cell: StatCell): void {
    if (this.costNanoUsd !== null) {
      this.costNanoUsd = cell.costNanoUsd === null ? null : this.costNanoUsd + cell.costNanoUsd;
    }
    if (cell.response === null) {
      if (cell.failure === "pending") this.pending += 1;
      else if (cell.failure !== null) this.failed.set(cell.failure, (this.failed.get(cell.failure) ?? 0) + 1);
      return;
    }
    this.answered += 1;
    if (cell.isTruncated) this.truncated += 1;
    if (cell.isReused) this.reused += 1;
    if (cell.latencyMs !== null) this.latency.add(cell.latencyMs);
  }

  /** Adds the lengths of an answer. */
  measure(group: number, { characters, words, sentences }: Lengths, tokens: number | null, inputWords: number): void {
    this.add("characters", group, characters);
    this.add("words", group, words);
    this.add("sentences", group, sentences);
    if (tokens !== null) this.add("tokens", group, tokens);
    this.addTo("input words", group, inputWords);
  }

  /** Adds the figures of an answer. @param figures as `Comparison` gives them */
  compare(group: number, figures: Float64Array): void {
    for (const name of ["coverage", "density", "novel2", "novel3"] as const) {
      const value = figures[AT[name]] as number;
      if (!Number.isNaN(value)) this.add(name, group, value);
    }
    if (figures.length <= BLEU_AT) return;
    for (const name of ["rouge1", "rouge2", "rougeL", "set_rouge1"] as const) {
      this.add(name, group, figures[AT[name]] as number);
    }
    corpusSums(figures, this.corpus);
    this.add("bleu", group, bleuOf(this.corpus, true));
    this.add("chrf", group, chrfOf(this.corpus));
    this.add("chrfpp", group, chrfppOf(this.corpus));
    const from = group * SUMS + CORPUS_AT;
    for (let at = 0; at < CORPUS_SUMS; at += 1) {
      this.sums[from + at] = (this.sums[from + at] as number) + (this.corpus[at] as number);
    }
  }

  /** Adds to one of the sums of a group of inputs. */
  addTo(name: keyof typeof SUM_AT, group: number, value: number): void {
    const at = group * SUMS + SUM_AT[name];
    this.sums[at] = (this.sums[at] as number) + value;
  }

  private add(name: AnswerFigure, group: number, value: number): void {
    this.distributions[name].add(value);
    this.addTo(name, group, value);
    this.addTo(`${name} n`, group, 1);
  }
}

/** An empty distribution of a figure: lengths are whole numbers, and exact. */
export function distributionOf(figure: AnswerFigure): Distribution {
  return new Distribution(LENGTHS.has(figure) ? "double" : "single");
}

const LENGTHS = new Set<AnswerFigure>(["characters", "words", "sentences", "tokens"]);
