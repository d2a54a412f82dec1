/** A cell of a dataset, as the figures need it. */
export interface StatCell {
  /** The position of its perspective in the config. */
  condition: number;
  replicate: number;
  answerId: number | null;
  /** Null if there is no answer. */
  response: string | null;
  /** Why there is none; null if there is one. */
  failure: string | null;
  isTruncated: boolean;
  isReused: boolean;
  /** The tokens of the response without reasoning; null if they are not known. */
  tokens: number | null;
  /** In billionths of a US dollar; null if unknown. */
  costNanoUsd: number | null;
  /** Null without a live request of this run. */
  latencyMs: number | null;
}

/** An input with all its cells. */
export interface StatTask {
  position: number;
  id: string | number;
  input: string;
  reference: string | null;
  cells: StatCell[];
}

/** Keeps the figures of answers, by hashes of their texts. */
export interface KnownFigures {
  /**
   * What is known of answers to an input.
   * @param pair the hash of the input and the reference
   * @param size how many figures an answer has
   */
  of(pair: number, size: number): Map<number, Float64Array>;
  /** Keeps what is known now. */
  keep(pair: number, size: number, answers: ReadonlyMap<number, Float64Array>): void;
}
