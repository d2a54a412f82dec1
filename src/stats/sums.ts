import { bleuOf, chrfOf, chrfppOf, CORPUS_SUMS } from "./scores.ts";

/** Figures of an answer against its input and its reference. */
const OVERLAPS = [
  "coverage",
  "density",
  "novel2",
  "novel3",
  "bleu",
  "chrf",
  "chrfpp",
  "rouge1",
  "rouge2",
  "rougeL",
  "set_rouge1",
] as const;

/** Figures that every answer has by itself. Groups are compared by them. */
export const ANSWER_FIGURES = ["characters", "words", "sentences", "tokens", ...OVERLAPS] as const;
export type AnswerFigure = (typeof ANSWER_FIGURES)[number];

/** Other sums of answers, from which figures of groups are computed. */
const OTHERS = [
  "input words",
  "repeated",
  "ngrams",
  "self_bleu",
  "self_bleu n",
  "replicate_agreement",
  "replicate_agreement n",
] as const;

type SumName = AnswerFigure | `${AnswerFigure} n` | (typeof OTHERS)[number];

const NAMES: readonly SumName[] = [...ANSWER_FIGURES, ...ANSWER_FIGURES.map((name) => `${name} n` as const), ...OTHERS];

/** Where each sum stands. Those of `corpusSums` follow. */
export const SUM_AT = Object.fromEntries(NAMES.map((name, at) => [name, at])) as Record<SumName, number>;
export const CORPUS_AT = NAMES.length;
/** How many sums a group of inputs has for each condition. */
export const SUMS = CORPUS_AT + CORPUS_SUMS;

export const GROUP_FIGURES = [
  "compression_ratio",
  "self_repetition",
  "self_bleu",
  ...OVERLAPS,
  "replicate_agreement",
] as const;
export type GroupFigure = (typeof GROUP_FIGURES)[number];

type FromSums = (sums: Float64Array) => number;

/** The mean over the answers that have a figure; NaN if none has. */
export function meanOf(figure: AnswerFigure | "self_bleu" | "replicate_agreement"): FromSums {
  return ratio(SUM_AT[figure], SUM_AT[`${figure} n`]);
}

function ratio(over: number, under: number): FromSums {
  return (sums) => (sums[under] === 0 ? Number.NaN : (sums[over] as number) / (sums[under] as number));
}

/** A score of a corpus; NaN without references. */
function ofCorpus(score: FromSums): FromSums {
  return (sums) => (sums[SUM_AT["bleu n"]] === 0 ? Number.NaN : score(sums.subarray(CORPUS_AT)));
}

/** How each figure of a group follows from the sums of its answers; NaN if it does not exist. */
export const FROM_SUMS: Record<GroupFigure, FromSums> = {
  compression_ratio: ratio(SUM_AT["input words"], SUM_AT.words),
  self_repetition: ratio(SUM_AT.repeated, SUM_AT.ngrams),
  self_bleu: meanOf("self_bleu"),
  coverage: meanOf("coverage"),
  density: meanOf("density"),
  novel2: meanOf("novel2"),
  novel3: meanOf("novel3"),
  bleu: ofCorpus(bleuOf),
  chrf: ofCorpus(chrfOf),
  chrfpp: ofCorpus(chrfppOf),
  rouge1: meanOf("rouge1"),
  rouge2: meanOf("rouge2"),
  rougeL: meanOf("rougeL"),
  set_rouge1: meanOf("set_rouge1"),
  replicate_agreement: meanOf("replicate_agreement"),
};

/**
 * Copies kept sums.
 * @throws RangeError if they are not as many, or no numbers
 */
export function setAll(sums: Float64Array, kept: Float64Array): void {
  if (!(kept instanceof Float64Array) || kept.length !== sums.length) throw new RangeError("these are other sums");
  sums.set(kept);
}
