import type { ReasoningTags } from "../../config/schema.ts";
import { usd } from "../../models/cost.ts";
import { usedText } from "../../plan/reasoning.ts";
import { answerText } from "../../store/runs/calls.ts";
import { type JoinedRuns, joinRuns, type PairRow, type Side, type SideRow } from "../../store/diff.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { findRun, getRun, type RunRow } from "../../store/runs/runs.ts";
import { getText } from "../../store/texts.ts";
import { type ConfigDifference, configDifferences } from "./config-differences.ts";
import { differenceOf } from "./difference.ts";
import { decidedConfig } from "../runs/run-config.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";

/** How many inputs to show that only one run has. */
const MOST_EXAMPLES = 5;

export interface DiffRunsOptions {
  /** How many of the most different pairs of responses to show. Default: none. */
  show?: number | undefined;
}

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

/** Inputs that the other run lacks, or has fewer times. */
export interface LoneInputs {
  count: number;
  /** The first inputs; `task` is the number of the input, from 0. */
  examples: { task: number; input: string }[];
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
  /** From 0 to 1: 1 − the Dice similarity of their words; see {@link differenceOf}. */
  difference: number;
}

/**
 * Compares two runs of one database; they may be the same run. Inputs are matched by their ids if all of both runs have
 * their own, else by their texts. Inputs that repeat are matched in the order of the file.
 * @param a the id of a run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function diffRuns(store: Store, a: string, b: string, { show }: DiffRunsOptions = {}): RunDiff {
  const [idA, idB] = [findRun(store, a), findRun(store, b)];
  const tagsOf = (id: number) => getRun(store, id).config.model_config.reasoning_tags;
  const tags = { a: tagsOf(idA), b: tagsOf(idB) };
  return joinRuns(store, [idA, idB], tags, (joined) => {
    const [runA, runB] = [getRun(store, idA), getRun(store, idB)];
    const pairs = joined.pairs();
    const matched = new Set(pairs.map(({ condition }) => condition));
    const only = ({ config }: RunRow) =>
      config.agent_perspectives.map(({ condition }) => condition).filter((condition) => !matched.has(condition));
    const lone = (side: Side, { tasks }: RunRow) => loneInputs(store, joined, side, tasks);
    return {
      a: summaryOf(runA),
      b: summaryOf(runB),
      config: configDifferences(comparedConfig(store, runA), comparedConfig(store, runB)),
      inputs: {
        both: joined.tasks,
        ...(joined.isById && { changed: joined.changedTasks() }),
        only_a: lone("a", runA),
        only_b: lone("b", runB),
      },
      conditions: { both: conditionDiffs(joined, pairs), only_a: only(runA), only_b: only(runB) },
      ...(show !== undefined && { most_different: mostDifferent(store, joined, tags, show) }),
    };
  });
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

function loneInputs(store: Store, joined: JoinedRuns, side: Side, tasks: number): LoneInputs {
  const examples = joined.loneTasks(side, MOST_EXAMPLES).map(({ position, inputId }) => {
    return { task: position, input: getText(store, inputId) };
  });
  return { count: tasks - joined.tasks, examples };
}

function conditionDiffs(joined: JoinedRuns, pairs: readonly PairRow[]): ConditionDiff[] {
  const [sidesA, sidesB] = [joined.side("a").map(toSide), joined.side("b").map(toSide)];
  return pairs.flatMap((pair, at) => {
    const [a, b] = [sidesA[at], sidesB[at]];
    const identical_share = pair.compared === 0 ? null : pair.identical / pair.compared;
    return a && b ? [{ ...pair, identical_share, a, b }] : [];
  });
}

function toSide(row: SideRow): ConditionSide {
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

/** Keeps at most twice the wanted number of pairs in memory, and no texts. Of equally different pairs the first win. */
function mostDifferent(
  store: Store,
  joined: JoinedRuns,
  tags: Record<Side, ReasoningTags | undefined>,
  count: number,
): DifferentPair[] {
  const responseOf = (side: Side, answerId: number) => usedText(answerText(store, answerId), tags[side]);
  let best: { id: number; answerA: number; answerB: number; difference: number }[] = [];
  const shrink = () => {
    best = best.toSorted((one, other) => other.difference - one.difference).slice(0, count);
  };
  for (const cell of joined.differing()) {
    const difference = differenceOf(responseOf("a", cell.answerA), responseOf("b", cell.answerB));
    if (best.push({ ...cell, difference }) >= 2 * count) shrink();
  }
  shrink();
  return best.map(({ id, answerA, answerB, difference }) => {
    const { condition, replicate, taskA, taskB, inputId, referenceId } = joined.place(id);
    return {
      condition,
      replicate,
      task_a: taskA,
      task_b: taskB,
      context: getText(store, inputId),
      reference: referenceId === null ? null : getText(store, referenceId),
      a: responseOf("a", answerA),
      b: responseOf("b", answerB),
      difference,
    };
  });
}
