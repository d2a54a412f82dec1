import type { Spread } from "./distribution.ts";
import type { Duplicates } from "./duplicates.ts";

/** A figure with its 95% interval. */
export interface Figure {
  value: number;
  /** Null where inputs cannot be drawn again, as for distinct n-grams, or where there are too few of them. */
  low: number | null;
  high: number | null;
  /** How it was made. */
  signature: string;
}

/** The figures of a condition, a kind or a model. A figure is null if there is nothing to compute it from. */
export interface GroupStatistics {
  condition?: string;
  kind?: string;
  model?: string;
  /** Answers. */
  n: number;
  /** Cells without an answer, by the reason; those that are pending do not count. */
  failed: Record<string, number>;
  truncated: number;
  reused: number;
  cost_usd: number | null;
  latency_ms: { median: number | null; p95: number | null };
  characters: Spread;
  words: Spread;
  sentences: Spread;
  tokens: Spread;
  compression_ratio: Figure | null;
  redundancy: Figure | null;
  distinct1: Figure | null;
  distinct2: Figure | null;
  self_repetition: Figure | null;
  self_bleu: Figure | null;
  duplicates: Duplicates;
  coverage: Figure | null;
  density: Figure | null;
  novel2: Figure | null;
  novel3: Figure | null;
  bleu: Figure | null;
  chrf: Figure | null;
  chrfpp: Figure | null;
  rouge1: Figure | null;
  rouge2: Figure | null;
  rougeL: Figure | null;
  set_rouge1: Figure | null;
  replicate_agreement: Figure | null;
  /** The scores that were imported, by their names; only if the runs have any. */
  scores?: Record<string, ScoreSpread>;
}

/** The values of a score. */
export interface ScoreSpread extends Spread {
  n: number;
}

/** How two groups differ in a figure of answers. */
export interface Difference {
  figure: string;
  a: string;
  b: string;
  /** Cohen's d: positive if the mean of `a` is higher; null if neither group varies. */
  d: number | null;
  /** The probability that an answer of `a` has a higher figure than one of `b`; ties count half. */
  auc: number;
  /** The mean of `a` minus that of `b`. */
  mean_difference: Figure;
}
