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

/** Keeps the figures of answers against their input and reference, by a hash of the three texts. */
export interface KnownFigures {
  get(key: number): Float64Array | null;
  put(key: number, figures: Float64Array): void;
}
