import type { RunSummary } from "../app/runs/summary.ts";
import type { RunStatistics } from "../app/stats/run-statistics.ts";
import type { Difference } from "../stats/statistics.ts";
import type { Suspicion } from "../stats/suspects.ts";

/*
 * What the page reads, whoever answers: the server (`/api`, see api.ts), or the data inside an exported file. Positions
 * are those of inputs in their run; those of a shard have gaps. Conditions count from 0, replicates from 1.
 */

/** A text that may be cut. */
export interface ShownText {
  text: string;
  /** Of the whole text, in Unicode code points. */
  length: number;
  isCut: boolean;
}

export type State = "succeeded" | "failed" | "pending";

export interface Condition {
  condition: string;
  /** What stands before its first colon; null if it has none. */
  kind: string | null;
  hasReading: boolean;
}

/** A run, without its rows. */
export interface ViewedRun {
  run: RunSummary;
  conditions: Condition[];
  /** The kinds of `datagen stats`, with the numbers of their conditions. A condition may be in several. */
  kinds: { name: string; conditions: number[] }[];
  replicates: number;
  /** Whether any of the first 1,000 inputs has a reference. */
  hasReferences: boolean;
  inputs: { count: number; first: number; last: number };
}

/** The answer of one replicate under one condition. */
export interface GridCell {
  state: State;
  /** Why there is no response; null unless it failed. Notes that failed are `reading: ` and their reason. */
  failure: string | null;
  /** Whether the token limit cut the answer. */
  isTruncated: boolean;
  isReused: boolean;
  isImported: boolean;
  response: ShownText | null;
}

/** One input with the beginnings of its texts. */
export interface GridRow {
  position: number;
  id: string | number;
  input: ShownText;
  reference: ShownText | null;
  /** By condition, in the order of {@link ViewedRun.conditions}, then by replicate. */
  cells: GridCell[][];
}

/** One input with whole texts: each at most 1 MB, and all together at most 8 MB; longer ones are cut. */
export type WholeRow = GridRow;

/** One request. */
export interface AttemptView {
  /** ISO 8601, UTC. */
  startedAt: string;
  durationMs: number;
  outcome: string;
  decision: string;
  httpStatus: number | null;
  requestId: string | null;
  errorCode: string | null;
  message: string | null;
  refusal: string | null;
  /** The base URL of the server, if the run has several. */
  server: string | null;
  isBatched: boolean;
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  costUsd: number | null;
}

/** One call of a cell. */
export interface StepView {
  step: "reading" | "strategy";
  state: State;
  failure: string | null;
  /** Null if they are not known, because there are no notes to work on. */
  messages: { role: string; content: ShownText }[] | null;
  /** Whether the answer was asked with these messages; null if that is not known, or if there is no answer. */
  isAsSent: boolean | null;
  /** Provider, server, endpoint, model and parameters as they were asked; null if that is not known. */
  parameters: Record<string, unknown> | null;
  text: ShownText | null;
  finishReason: string | null;
  /** Of the answer, whoever paid for it; null if there is none. */
  tokens: {
    prompt: number | null;
    completion: number | null;
    cached: number | null;
    reasoning: number | null;
    estimated: boolean;
  } | null;
  origin: "live" | "batch" | "imported" | null;
  /** The model that answered, by the provider; null if it has the requested name. */
  servedModel: string | null;
  /** The run that sent for the answer, or imported it; null if it was deleted, or if there is no answer. */
  fromRun: string | null;
  /** Other runs that hold the same answer, at most 20. */
  otherRuns: string[];
  /** The requests of this run, the oldest first; of very many only the last 100. */
  attempts: AttemptView[];
  /** What these requests cost; null if any part is unknown. */
  costUsd: number | null;
}

export interface CellView {
  position: number;
  condition: string;
  replicate: number;
  /** The notes, if the condition has them, and the answer. */
  steps: StepView[];
}

/** Everything that is given must hold for a cell. Numbers are from `…From` on, and below `…To`. */
export interface Filter {
  state?: State;
  /** As {@link GridCell.failure} says it. */
  reason?: string;
  truncated?: boolean;
  reused?: boolean;
  condition?: string;
  /** Of the response, in Unicode code points. */
  lengthFrom?: number;
  lengthTo?: number;
  /** Of the live requests that gave notes and response, in milliseconds. */
  latencyFrom?: number;
  latencyTo?: number;
  /** Of the requests of this run for the cell, in US dollars. */
  costFrom?: number;
  costTo?: number;
  /** Whether the response is the same text as the reference, or as another response to the same input. */
  equal?: "reference" | "other";
  /** A part of the response, the input or the reference; case does not matter. */
  text?: string;
}

/** The next matches of a filter, as far as one slice got. It may have found none and still go on. */
export interface Matches {
  rows: { position: number; cells: [condition: number, replicate: number][] }[];
  /** The position after which to go on; null at the end. */
  next: number | null;
  /** How many inputs this slice has looked at. */
  looked: number;
}

/**
 * Counts in bins whose borders do not depend on the data, so that slices can be added. Bin b holds the values v with
 * border(b) <= v < border(b + 1), where border(0) = 0 and border(b) = 2 ** ((b - 1) / 4) for all others.
 */
export interface Histogram {
  bins: Record<number, number>;
  count: number;
  sum: number;
  min: number | null;
  max: number | null;
}

/** The figures of one condition. Values that are unknown are in no histogram. */
export interface ConditionFigures {
  /** Of responses, in Unicode code points. */
  length: Histogram;
  /** Of notes and response together. */
  completionTokens: Histogram;
  latencyMs: Histogram;
  costNanoUsd: Histogram;
  states: {
    succeeded: number;
    failed: Record<string, number>;
    pending: number;
    truncated: number;
    reused: number;
  };
}

export interface Distributions {
  conditions: ConditionFigures[];
  /** The position after which to go on; null at the end. */
  next: number | null;
  /** How many inputs this slice has looked at. */
  looked: number;
}

/** An answer that may be wrong. */
export interface SuspectCell {
  position: number;
  condition: number;
  replicate: number;
  reasons: Suspicion[];
  response: ShownText;
}

/** The figures of `datagen stats --json`. */
export interface Figures extends Omit<RunStatistics, "differences"> {
  /** Between conditions, and between kinds: of each figure the largest ones. */
  differences: { condition: Difference[]; kind: Difference[] };
  /** The first ones, in the order of the dataset, and how many there are in all. */
  suspects: { count: number; first: SuspectCell[] };
}

/** How far the figures are: each step has so many inputs, or groups of answers. */
export interface Computing {
  state: "computing";
  /** `waiting`: those of another run are computed first. */
  step: "waiting" | "reading" | "measuring" | "suspects";
  done: number;
  total: number;
}

export type Statistics = { state: "ready"; figures: Figures } | Computing | { state: "none"; why: string };

/** Two different responses to the same input. */
export interface ComparedPair {
  condition: string;
  replicate: number;
  positionA: number;
  positionB: number;
  /** From 0 to 1, as in `datagen diff`. */
  difference: number;
  a: ShownText;
  b: ShownText;
}

/**
 * The pairs of two runs that differ, as far as one slice got. Inputs are matched as `datagen diff` does: by ids if all of
 * both runs have them, else by text and occurrence.
 */
export interface Comparison {
  pairs: ComparedPair[];
  /** Pairs with the same text. */
  identical: number;
  /** Pairs where both have a response. */
  compared: number;
  /** The position in the first run after which to go on; null at the end. */
  next: number | null;
  /** How many inputs of the first run this slice has looked at. */
  looked: number;
}

/** The rows of runs. To begin, `after` is -1. */
export interface Rows {
  runs(): Promise<RunSummary[]>;
  run(run: string): Promise<ViewedRun>;
  /**
   * The next rows whose position is at least `from`, in order: at most `count`, which is at most 100. Rows with very many
   * cells come in smaller numbers; there are none only at the end.
   */
  grid(run: string, from: number, count: number): Promise<GridRow[]>;
  row(run: string, position: number): Promise<WholeRow>;
  cell(run: string, position: number, condition: number, replicate: number): Promise<CellView>;
  matches(run: string, filter: Filter, after: number): Promise<Matches>;
  distributions(run: string, after: number): Promise<Distributions>;
  /** Ask again every second while they are computed. Only a file may have none. */
  statistics(run: string): Promise<Statistics>;
  compare(a: string, b: string, after: number): Promise<Comparison>;
  /** The position of the same input in another run; null if it lacks it. */
  partner(run: string, position: number, other: string): Promise<number | null>;
  /** Calls back when the totals of a run change; returns what ends it. A file never calls. */
  watch(run: string, onChange: (run: RunSummary) => void): () => void;
}
