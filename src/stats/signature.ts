import { DRAWS, SEED } from "./bootstrap.ts";
import { FIGURES_VERSION } from "./packed.ts";

/** What each figure is and which tokens it reads, as its signature says. docs/statistics.md explains every one. */
const DEFINITIONS = {
  compression_ratio: "mean words of inputs/mean words of answers|tok:space",
  redundancy: "bytes/gzip bytes",
  distinct1: "different words/words|tok:plain",
  distinct2: "different 2-grams/2-grams|tok:plain",
  self_repetition: "4-grams that another answer has/4-grams|tok:plain",
  self_bleu: "mean BLEU against the others|case:mixed|eff:yes|tok:13a|smooth:exp",
  coverage: "mean extractive coverage|tok:plain",
  density: "mean extractive density|tok:plain",
  novel2: "mean share of novel 2-grams|tok:plain",
  novel3: "mean share of novel 3-grams|tok:plain",
  bleu: "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp",
  chrf: "chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no",
  chrfpp: "chrF2++|nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no",
  rouge1: "mean ROUGE-1 F1|tok:rouge-score|stem:no",
  rouge2: "mean ROUGE-2 F1|tok:rouge-score|stem:no",
  rougeL: "mean ROUGE-L F1|tok:rouge-score|stem:no",
  set_rouge1: "mean F1 of sets of words|case:lower|tok:space",
  replicate_agreement: "mean chrF2 of replicates against each other|nc:6|nw:0|space:no",
} as const;

/** Figures of all answers, without an interval of their own. */
const OTHERS = {
  characters: "Unicode code points",
  words: "words|tok:space",
  sentences: "sentences",
  tokens: "completion tokens without reasoning, by the provider",
  latency_ms: "live requests of an answer and its notes",
  duplicates: "the same words|tok:plain|near:Jaccard of 5-shingles >= 0.8, minhash 25x5",
  similarity: "corpus chrF2 of the row's answers against the column's|nc:6|nw:0|space:no",
  mean_difference: "mean of a - mean of b",
  d: "Cohen's d, pooled sd",
  auc: "P(a > b) + P(a = b)/2",
} as const;
export type FigureName = keyof typeof DEFINITIONS | keyof typeof OTHERS;

export interface SignatureFacts {
  n?: number;
  /** The mean length of the answers, for figures that it biases. */
  meanWords?: number;
  /** Which answers were read. */
  sample?: string;
  /** How many groups of inputs are drawn; null without an interval. */
  groups?: number | null;
}

/** A line that says how a figure was made. */
export function signatureOf(name: FigureName, facts: SignatureFacts): string {
  const { n, meanWords, sample = "all", groups = null } = facts;
  return [
    { ...DEFINITIONS, ...OTHERS }[name],
    ...(n === undefined ? [] : [`n:${n}`]),
    ...(meanWords === undefined ? [] : [`words:${meanWords.toFixed(1)}`]),
    `sample:${sample}`,
    ...(groups === null ? [] : [`interval:95%, bootstrap of inputs, draws:${DRAWS}, groups:${groups}`]),
    `seed:${SEED}`,
    `figures:${FIGURES_VERSION}`,
  ].join("|");
}

/** The signatures of figures that are the same for all groups. */
export function commonSignatures(sample: string, similar: string): Record<string, string> {
  const own = { duplicates: sample, similarity: similar };
  return Object.fromEntries(
    (Object.keys(OTHERS) as (keyof typeof OTHERS)[]).map((name) => [
      name,
      signatureOf(name, { sample: name in own ? own[name as keyof typeof own] : "all" }),
    ]),
  );
}
