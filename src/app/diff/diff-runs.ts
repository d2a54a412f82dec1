import type { Store } from "../../store/file/store.ts";
import type { RunSummary } from "../runs/summary.ts";
import {
  type ConditionSide,
  type DiffRunsOptions,
  diffSeveralRuns,
  type LoneInputs,
  type RunFigures,
  type RunInputs,
  type SeveralRunsDiff,
} from "./diff-several-runs.ts";

/** Two runs compared, matched by input, condition and replicate. */
export interface RunDiff {
  a: RunSummary;
  b: RunSummary;
  /** The differences of their configs, including values that datagen chose and the SHA-256 of the input file. */
  config: ConfigDifference[];
  inputs: {
    both: number;
    /** Inputs with the same id in both runs, but with different texts; only if inputs are matched by their ids. */
    changed?: number;
    only_a: LoneInputs;
    only_b: LoneInputs;
  };
  /** `both` is in the order of the first run. */
  conditions: { both: ConditionDiff[]; only_a: string[]; only_b: string[] };
  /** The pairs of responses that differ most, the most different first; only if `show` asks for them. */
  most_different?: DifferentPair[];
}

/** A place where the configs of two runs differ. If a run has no value there, `a` or `b` is missing. */
export interface ConfigDifference {
  /** Such as `model_config.temperature`, or `agent_perspectives["Original"].strategy`. */
  path: string;
  a?: unknown;
  b?: unknown;
}

/** One condition over the cells (inputs times replicates) that both runs have. */
export interface ConditionDiff {
  condition: string;
  cells: number;
  /** Cells where both have a response. */
  compared: number;
  /** The number of these with the same text. */
  identical: number;
  /** The share of the compared cells; null if there are none. */
  identical_share: number | null;
  a: ConditionSide;
  b: ConditionSide;
}

/** Two different responses to the same input. */
export interface DifferentPair {
  condition: string;
  replicate: number;
  /** The numbers of the inputs, from 0. */
  task_a: number;
  task_b: number;
  context: string;
  /** The reference of the first run, or of the second if the first has none. */
  reference: string | null;
  a: string;
  b: string;
  /** From 0 to 1: 1 − the Dice similarity of their words. */
  difference: number;
}

/**
 * Compares two runs of one database; they may be the same run. Inputs are matched by their ids if all of both runs have
 * their own, else by their texts. Inputs that repeat are matched in the order of the file.
 * @param a the id of a run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function diffRuns(store: Store, a: string, b: string, options: DiffRunsOptions = {}): RunDiff {
  return asPair(diffSeveralRuns(store, [a, b], options));
}

/**
 * The comparison of two runs, by its two sides.
 * @internal
 */
export function asPair({ runs, config, inputs, conditions, most_different: responses }: SeveralRunsDiff): RunDiff {
  const [a, b] = both(runs);
  const [inputsA, inputsB] = both(inputs.some);
  const only = ({ id }: RunSummary) =>
    conditions.some.filter(({ runs: owners }) => owners.includes(id)).map(({ condition }) => condition);
  return {
    a,
    b,
    config: config.map(({ path, values: [valueA, valueB] }) => {
      return { path, ...(valueA !== undefined && { a: valueA }), ...(valueB !== undefined && { b: valueB }) };
    }),
    inputs: {
      both: inputs.all,
      ...(inputs.changed !== undefined && { changed: inputs.changed }),
      only_a: loneInputs(inputsA),
      only_b: loneInputs(inputsB),
    },
    conditions: {
      both: conditions.all.map(({ runs: figures, ...comparison }) => {
        const [sideA, sideB] = both(figures);
        return { ...comparison, a: sideOf(sideA), b: sideOf(sideB) };
      }),
      only_a: only(a),
      only_b: only(b),
    },
    ...(responses && {
      most_different: responses.map(({ tasks, responses: texts, difference, condition, replicate, ...asked }) => {
        const [[task_a, task_b], [textA, textB]] = [both(tasks), both(texts)];
        return { condition, replicate, task_a, task_b, ...asked, a: textA, b: textB, difference };
      }),
    }),
  };
}

function loneInputs({ count, examples }: RunInputs): LoneInputs {
  return { count, examples };
}

function sideOf(figures: RunFigures): ConditionSide {
  const { identical_to_first: _, identical_to_first_share: __, ...side } = figures;
  return side;
}

function both<T>([a, b]: readonly T[]): [T, T] {
  if (a === undefined || b === undefined) throw new Error("these are not two runs");
  return [a, b];
}
