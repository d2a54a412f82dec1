/** Parts of the work, each with the figures that it gives. Cells, cost and latency are always counted. */
export const PARTS = [
  /** Characters, words, sentences, tokens and the compression ratio. */
  "lengths",
  /** Figures of each answer against its input and its reference. */
  "comparisons",
  /** Redundancy, distinct n-grams, self-repetition and Self-BLEU. */
  "diversity",
  "duplicates",
  "similarity",
  "replicates",
] as const;
export type Part = (typeof PARTS)[number];
