import { UsageError } from "../../errors.ts";
import { usd } from "../../models/cost.ts";
import { usedText } from "../../plan/reasoning.ts";
import type { FigureRow } from "../../store/diff/figures.ts";
import { type JoinedRun, type JoinedRuns, joinRuns } from "../../store/diff/join-runs.ts";
import type { Store } from "../../store/file/store.ts";
import { answerText } from "../../store/runs/calls.ts";
import { findRuns } from "../../store/runs/experiments.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { getRun, type RunRow } from "../../store/runs/runs.ts";
import { getText } from "../../store/texts.ts";
import { decidedConfig } from "../runs/run-config.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { configDifferences, type ConfigValues } from "./config-differences.ts";
import { meanDifference } from "./difference.ts";

/** How many runs can be compared at once. */
const MOST_RUNS = 20;

/** How many inputs of a run to show that not all runs have. */
const MOST_EXAMPLES = 5;

export interface DiffRunsOptions {
  /** For how many of the inputs and conditions whose responses differ most to show the responses. Default: none. */
  show?: number | undefined;
}

/** Several runs compared, matched by input, condition and replicate. Lists with a member for each run are in their order. */
export interface SeveralRunsDiff {
  runs: RunSummary[];
  /** The differences of their configs, including values that datagen chose and the SHA-256 of the input file. */
  config: ConfigValues[];
  inputs: {
    /** How many inputs all runs have. */
    all: number;
    /** Inputs with the same id in all runs, but with different texts; only if inputs are matched by their ids. */
    changed?: number;
    /** For each run, its inputs that not all runs have. */
    some: RunInputs[];
  };
  conditions: {
    /** In the order of the first run. */
    all: ConditionComparison[];
    /** The conditions that not all runs have, with the ids of the runs that have them. */
    some: { condition: string; runs: string[] }[];
  };
  /** The inputs and conditions whose responses differ most, the most different first; only if `show` asks for them. */
  most_different?: DifferentResponses[];
}

/** Inputs that other runs lack, or have fewer times. */
export interface LoneInputs {
  count: number;
  /** The first inputs; `task` is the number of the input, from 0. */
  examples: { task: number; input: string }[];
}

export interface RunInputs extends LoneInputs {
  /** The id of the run that has them. */
  run: string;
}

/** One condition over the cells (inputs times replicates) that all runs have. */
export interface ConditionComparison {
  condition: string;
  cells: number;
  /** Cells where all runs have a response. */
  compared: number;
  /** The number of these where all have the same text. */
  identical: number;
  /** The share of the compared cells; null if there are none. */
  identical_share: number | null;
  runs: RunFigures[];
}

/** The figures of one run for these cells. Null means unknown, or the mean or median of no values. */
export interface ConditionSide {
  /** Of the compared responses, in Unicode code points. */
  mean_characters: number | null;
  /** Of the compared responses. */
  mean_completion_tokens: number | null;
  /** Of all answers, including notes and reused answers. */
  tokens: { prompt: number | null; completion: number | null; estimated: boolean };
  /** The cost of this run, including notes. */
  cost_usd: number | null;
  /** Of the requests that succeeded, including those for notes, in milliseconds. */
  median_latency_ms: number | null;
  /** Responses that the token limit cut off. */
  truncated: number;
  failed: number;
  pending: number;
}

export interface RunFigures extends ConditionSide {
  /** Compared responses with the same text as the first run's. */
  identical_to_first: number;
  /** The share of the compared responses; null if there are none. */
  identical_to_first_share: number | null;
}

/** The responses to one input under one condition, of which at least two differ. */
export interface DifferentResponses {
  condition: string;
  replicate: number;
  /** The number of the input in each run, from 0. */
  tasks: number[];
  context: string;
  /** The reference of the first run that has one. */
  reference: string | null;
  responses: string[];
  /** From 0 to 1: the mean of 1 − the Dice similarity of the words, over all pairs of runs. */
  difference: number;
}

/**
 * Compares from 2 to 20 runs of one database. Inputs are matched by their ids if all inputs of all runs have their own, else
 * by their texts. Inputs that repeat are matched in the order of the file.
 * @param runs the id of a run, a unique prefix of it, `latest`, or the name of an experiment, which stands for all its runs
 * @throws UsageError when there is no such run or experiment, or when one of more than two runs is named twice
 */
export function diffSeveralRuns(
  store: Store,
  runs: readonly string[],
  { show }: DiffRunsOptions = {},
): SeveralRunsDiff {
  const joining = runsOf(store, runs).map((id) => {
    return { id, reasoningTags: getRun(store, id).config.model_config.reasoning_tags };
  });
  return joinRuns(store, joining, (joined) => {
    const rows = joining.map(({ id }) => getRun(store, id));
    const conditions = conditionComparisons(joined, rows.length);
    return {
      runs: rows.map((row) => summaryOf(row)),
      config: configDifferences(rows.map((row) => comparedConfig(store, row))),
      inputs: {
        all: joined.tasks,
        ...(joined.isById && { changed: joined.changedTasks() }),
        some: rows.map((row, at) => inputsOf(store, joined, row, at)),
      },
      conditions: { all: conditions, some: conditionsOfSome(rows) },
      ...(show !== undefined && { most_different: mostDifferent(store, joined, joining, show) }),
    };
  });
}

/** The runs that names stand for, in the order of the names. */
function runsOf(store: Store, names: readonly string[]): number[] {
  const named = names.flatMap((name) => findRuns(store, name).runIds.map((id) => ({ name: JSON.stringify(name), id })));
  const ids = named.map(({ id }) => id);
  if (ids.length < 2) throw new UsageError("only one run is named, and `diff` compares runs", "Name another run.");
  if (ids.length > MOST_RUNS) {
    throw new UsageError(
      `${ids.length} runs are named, and \`diff\` compares at most ${MOST_RUNS}`,
      "Name fewer runs.",
    );
  }
  const again = named.find(({ id }, at) => ids.indexOf(id) < at);
  if (ids.length === 2 || again === undefined) return ids;
  const first = named.find(({ id }) => id === again.id)?.name;
  throw new UsageError(
    first === again.name ? `${first} is named twice` : `${first} and ${again.name} have a run in common`,
    "Name each run once.",
  );
}

function comparedConfig(store: Store, run: RunRow) {
  const config = decidedConfig(run, getSettings(store, run.settingsId));
  const { baseUrl, servers, inputSha256 } = run;
  return {
    ...config,
    model_config: { ...config.model_config, ...(baseUrl !== null && { base_url: servers ?? baseUrl }) },
    data_config: { ...config.data_config, input_sha256: inputSha256 },
  };
}

function inputsOf(store: Store, joined: JoinedRuns, { publicId, tasks }: RunRow, at: number): RunInputs {
  const examples = joined.loneTasks(at, MOST_EXAMPLES).map(({ position, inputId }) => {
    return { task: position, input: getText(store, inputId) };
  });
  return { run: publicId, count: tasks - joined.tasks, examples };
}

function conditionComparisons(joined: JoinedRuns, runs: number): ConditionComparison[] {
  const figures = Array.from({ length: runs }, (_, run) => joined.figures(run));
  return joined.conditions().map(({ identicalToFirst, ...row }, at) => {
    const shareOf = (cells: number) => (row.compared === 0 ? null : cells / row.compared);
    return {
      ...row,
      identical_share: shareOf(row.identical),
      runs: figures.flatMap((rows, run) => {
        const [own, identical] = [rows[at], identicalToFirst[run]];
        if (!own || identical === undefined) return [];
        return [{ identical_to_first: identical, identical_to_first_share: shareOf(identical), ...toSide(own) }];
      }),
    };
  });
}

function toSide(row: FigureRow): ConditionSide {
  return {
    mean_characters: row.meanCharacters,
    mean_completion_tokens: row.meanCompletionTokens,
    tokens: { prompt: row.promptTokens, completion: row.completionTokens, estimated: row.tokensEstimated === 1 },
    cost_usd: row.costNanoUsd === null ? null : usd(row.costNanoUsd),
    median_latency_ms: row.medianLatencyMs,
    truncated: row.truncated,
    failed: row.failed,
    pending: row.pending,
  };
}

function conditionsOfSome(rows: readonly RunRow[]): SeveralRunsDiff["conditions"]["some"] {
  const owners = new Map<string, string[]>();
  for (const { config, publicId } of rows) {
    for (const condition of new Set(config.agent_perspectives.map((perspective) => perspective.condition))) {
      owners.set(condition, [...(owners.get(condition) ?? []), publicId]);
    }
  }
  return [...owners].flatMap(([condition, runs]) => (runs.length === rows.length ? [] : [{ condition, runs }]));
}

/** Keeps at most twice the wanted number of cells in memory, and no texts. Of equally different cells the first win. */
function mostDifferent(
  store: Store,
  joined: JoinedRuns,
  runs: readonly JoinedRun[],
  count: number,
): DifferentResponses[] {
  const responsesOf = (answers: readonly number[]) =>
    answers.map((answer, at) => usedText(answerText(store, answer), runs[at]?.reasoningTags));
  let best: { id: number; answers: number[]; difference: number }[] = [];
  const shrink = () => {
    best = best.toSorted((one, other) => other.difference - one.difference).slice(0, count);
  };
  for (const cell of joined.differing()) {
    const difference = meanDifference(responsesOf(cell.answers));
    if (best.push({ ...cell, difference }) >= 2 * count) shrink();
  }
  shrink();
  return best.map(({ id, answers, difference }) => {
    const { condition, replicate, tasks, inputId, referenceId } = joined.place(id);
    return {
      condition,
      replicate,
      tasks,
      context: getText(store, inputId),
      reference: referenceId === null ? null : getText(store, referenceId),
      responses: responsesOf(answers),
      difference,
    };
  });
}
