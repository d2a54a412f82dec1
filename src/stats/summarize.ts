import { drawFigures, drawGroups, type InputGroups, intervalOf } from "./bootstrap.ts";
import { cohensD, Distribution } from "./distribution.ts";
import { type Diversity, diversityOf } from "./diversity.ts";
import { DuplicateFinder } from "./duplicates.ts";
import { hashOf } from "./hash.ts";
import type { Part } from "./parts.ts";
import type { Sample } from "./sample.ts";
import { type FigureName, type SignatureFacts, signatureOf } from "./signature.ts";
import type { Difference, Figure, GroupStatistics } from "./statistics.ts";
import {
  ANSWER_FIGURES,
  type AnswerFigure,
  FROM_SUMS,
  GROUP_FIGURES,
  type GroupFigure,
  meanOf,
  SUM_AT,
  SUMS,
} from "./sums.ts";
import { distributionOf, type Tally } from "./tally.ts";

/** Answers of a group that are compared with each other, and how many words they have at most together. */
const MOST_ANSWERS = 10_000;
const MOST_WORDS = 1_000_000;
/** Of more groups than these, the pairs would be too many to read. */
export const MOST_COMPARED = 50;

/** Answers that are looked at together. */
export interface Group {
  label: { condition: string } | { kind: string } | { model: string };
  /** The positions of its tallies. */
  members: number[];
}

export interface SummaryOptions {
  tallies: readonly Tally[];
  inputs: InputGroups;
  sample: Sample;
  parts: ReadonlySet<Part>;
  /** The text of an answer of a tally. */
  textOf: (tally: number, answerId: number) => string;
}

/** Turns what was collected into figures. */
export class Summary {
  private readonly options: SummaryOptions;
  private readonly groups: number;
  private readonly times: Float64Array;
  private readonly duplicates: DuplicateFinder | null;

  constructor(options: SummaryOptions) {
    this.options = options;
    this.groups = options.inputs.used;
    this.times = drawGroups(this.groups);
    this.duplicates = options.parts.has("duplicates") ? this.findDuplicates() : null;
  }

  /**
   * The figures of a group.
   * @param isCompared whether its differences to others are wanted: what they are computed from takes much memory
   */
  async of(group: Group, isCompared: boolean): Promise<Summarized> {
    const { tallies, parts } = this.options;
    const members = group.members.map((at) => tallies[at] as Tally);
    const diversity = parts.has("diversity") ? await diversityOf(this.sampled(group)) : null;
    const sums = this.sumsOf(members, diversity);
    const total = totalOf(sums);
    const figures = [
      ...GROUP_FIGURES.map((name) => FROM_SUMS[name]),
      ...(isCompared ? ANSWER_FIGURES.map(meanOf) : []),
    ];
    const drawn = this.groups < 2 ? [] : drawFigures(this.times, this.groups, sums, figures);
    const distributions = Object.fromEntries(
      ANSWER_FIGURES.map((name) => [
        name,
        together(
          members.map((tally) => tally.distributions[name]),
          distributionOf(name),
        ),
      ]),
    ) as Record<AnswerFigure, Distribution>;
    const answered = sumOf(members, (tally) => tally.answered);
    const sampled = {
      n: diversity?.n ?? 0,
      meanWords: diversity?.meanWords ?? 0,
      sample: this.sampleOf(members, diversity?.n ?? 0),
    };
    const figure = (name: GroupFigure): Figure | null => {
      const value = FROM_SUMS[name](total);
      if (Number.isNaN(value)) return null;
      const draws = drawn[GROUP_FIGURES.indexOf(name)];
      return this.figure(value, draws, name, this.factsOf(name, total, answered, sampled));
    };
    const ofAll = (name: FigureName, value: number | null): Figure | null =>
      value === null ? null : { value, low: null, high: null, signature: signatureOf(name, sampled) };
    const latency = together(members.map((tally) => tally.latency));
    const statistics: GroupStatistics = {
      ...group.label,
      n: answered,
      failed: failuresOf(members),
      truncated: sumOf(members, (tally) => tally.truncated),
      reused: sumOf(members, (tally) => tally.reused),
      cost_usd: costOf(members),
      latency_ms: { median: latency.quantile(0.5), p95: latency.quantile(0.95) },
      characters: distributions.characters.spread(),
      words: distributions.words.spread(),
      sentences: distributions.sentences.spread(),
      tokens: distributions.tokens.spread(),
      compression_ratio: figure("compression_ratio"),
      redundancy: ofAll("redundancy", diversity?.redundancy ?? null),
      distinct1: ofAll("distinct1", diversity?.distinct1 ?? null),
      distinct2: ofAll("distinct2", diversity?.distinct2 ?? null),
      self_repetition: figure("self_repetition"),
      self_bleu: figure("self_bleu"),
      duplicates: this.duplicates?.countFor(new Set(group.members)) ?? NO_DUPLICATES,
      coverage: figure("coverage"),
      density: figure("density"),
      novel2: figure("novel2"),
      novel3: figure("novel3"),
      bleu: figure("bleu"),
      chrf: figure("chrf"),
      chrfpp: figure("chrfpp"),
      rouge1: figure("rouge1"),
      rouge2: figure("rouge2"),
      rougeL: figure("rougeL"),
      set_rouge1: figure("set_rouge1"),
      replicate_agreement: figure("replicate_agreement"),
    };
    const averages = Object.fromEntries(ANSWER_FIGURES.map((name) => [name, meanOf(name)(total)])) as Record<
      AnswerFigure,
      number
    >;
    const means = drawn.slice(GROUP_FIGURES.length);
    return { name: Object.values(group.label)[0] as string, statistics, distributions, averages, means };
  }

  /** How groups differ, pair by pair; none of more than {@link MOST_COMPARED} groups. */
  differences(groups: readonly Summarized[]): Difference[] {
    if (groups.length > MOST_COMPARED) return [];
    return ANSWER_FIGURES.flatMap((figure, place) =>
      groups.flatMap((a, at) =>
        groups.slice(at + 1).flatMap((b) => {
          const [one, other] = [a.distributions[figure], b.distributions[figure]];
          if (one.size === 0 || other.size === 0) return [];
          const [means, others] = [a.means[place], b.means[place]];
          const draws = means && others && means.map((mean, draw) => mean - (others[draw] as number));
          const value = a.averages[figure] - b.averages[figure];
          const facts = { n: one.size + other.size };
          return [
            {
              figure,
              a: a.name,
              b: b.name,
              d: cohensD(one, other),
              auc: one.exceeds(other),
              mean_difference: this.figure(value, draws, "mean_difference", facts),
            },
          ];
        }),
      ),
    );
  }

  private figure(value: number, draws: Float64Array | undefined, name: FigureName, facts: SignatureFacts): Figure {
    const interval = draws === undefined ? null : intervalOf(draws);
    const groups = interval === null ? null : this.groups;
    return {
      value,
      low: interval?.low ?? null,
      high: interval?.high ?? null,
      signature: signatureOf(name, { ...facts, groups }),
    };
  }

  /** The sums of a group, for each group of inputs. */
  private sumsOf(members: readonly Tally[], diversity: Diversity | null): Float64Array {
    const sums = new Float64Array(this.groups * SUMS);
    for (const tally of members)
      for (let at = 0; at < sums.length; at += 1) sums[at] = (sums[at] as number) + (tally.sums[at] as number);
    const add = (name: keyof typeof SUM_AT, group: number, value: number) => {
      const at = group * SUMS + SUM_AT[name];
      sums[at] = (sums[at] as number) + value;
    };
    for (const [group, { repeated, ngrams }] of diversity?.repeated ?? []) {
      add("repeated", group, repeated);
      add("ngrams", group, ngrams);
    }
    for (const { group, value } of diversity?.selfBleu ?? []) {
      add("self_bleu", group, value);
      add("self_bleu n", group, 1);
    }
    return sums;
  }

  /** Which answers of a group are compared with each other, of which `read` were read. */
  private sampleOf(members: readonly Tally[], read: number): string {
    const { sample } = this.options;
    const all = sumOf(members, (tally) => tally.sample.length);
    if (read >= all) return sample.toString();
    return `${read} of ${all} answers${sample.isWhole ? "" : `, ${sample.toString()}`}`;
  }

  /** How many answers a figure is of, and which. */
  private factsOf(
    name: GroupFigure,
    total: Float64Array,
    answered: number,
    sampled: Required<Pick<SignatureFacts, "n" | "meanWords" | "sample">>,
  ): SignatureFacts {
    if (name === "compression_ratio") return { n: answered };
    if (name === "self_repetition") return sampled;
    const n = total[SUM_AT[`${name} n`]] as number;
    if (name === "self_bleu") return { ...sampled, n, sample: `${n} of ${sampled.n}` };
    return name === "replicate_agreement" ? { n, sample: this.options.sample.toString() } : { n };
  }

  /** The answers of a group that are compared with each other. */
  private *sampled({ members }: Group): Generator<{ text: string; group: number }> {
    const { tallies, textOf } = this.options;
    const answers = sumOf(members, (at) => (tallies[at] as Tally).sample.length);
    const words = together(members.map((at) => (tallies[at] as Tally).distributions.words));
    const all = answers * (words.size === 0 ? 1 : words.sum / words.size);
    const part = Math.min(1, MOST_ANSWERS / answers, MOST_WORDS / all);
    for (const at of members) {
      for (const [place, { answerId, group }] of (tallies[at] as Tally).sample.entries()) {
        if (part < 1 && hashOf(`${at} ${place}`) / 2 ** 53 >= part) continue;
        yield { text: textOf(at, answerId), group };
      }
    }
  }

  private findDuplicates(): DuplicateFinder {
    const { tallies, textOf } = this.options;
    const finder = new DuplicateFinder();
    const read: { tally: number; answerId: number }[] = [];
    for (const [tally, { sample }] of tallies.entries()) {
      for (const { answerId } of sample) {
        finder.add(tally, textOf(tally, answerId));
        read.push({ tally, answerId });
      }
    }
    finder.compare((at) => {
      const { tally, answerId } = read[at] as (typeof read)[number];
      return textOf(tally, answerId);
    });
    return finder;
  }
}

/** A group with its figures. */
export interface Summarized {
  name: string;
  statistics: GroupStatistics;
  distributions: Record<AnswerFigure, Distribution>;
  /** The mean of each figure of answers. */
  averages: Record<AnswerFigure, number>;
  /** The same in each draw; empty if inputs cannot be drawn, or the group is not compared. */
  means: Float64Array[];
}

const NO_DUPLICATES = { within: 0, between: 0, near_within: 0, near_between: 0 };

function sumOf<T>(members: readonly T[], value: (member: T) => number): number {
  return members.reduce((sum, member) => sum + value(member), 0);
}

function together(distributions: readonly Distribution[], empty = new Distribution()): Distribution {
  const [only] = distributions;
  return only !== undefined && distributions.length === 1 ? only : empty.addAll(distributions);
}

function totalOf(sums: Float64Array): Float64Array {
  const total = new Float64Array(SUMS);
  for (let at = 0; at < sums.length; at += 1) total[at % SUMS] = (total[at % SUMS] as number) + (sums[at] as number);
  return total;
}

function failuresOf(members: readonly Tally[]): Record<string, number> {
  const reasons = new Map<string, number>();
  for (const { failed } of members) {
    for (const [reason, count] of failed) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  }
  return Object.fromEntries([...reasons].toSorted(([, one], [, other]) => other - one));
}

function costOf(members: readonly Tally[]): number | null {
  let nanoUsd = 0;
  for (const { costNanoUsd } of members) {
    if (costNanoUsd === null) return null;
    nanoUsd += costNanoUsd;
  }
  return nanoUsd / 1e9;
}
