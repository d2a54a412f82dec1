import type { Config } from "../config/schema.ts";
import { type CachedPrompts, createCachedPrompts } from "./cached-prompts.ts";
import { UNCALIBRATED } from "./calibration.ts";
import type { Prices } from "../models/cost.ts";
import { isReasoningModel } from "../models/facts.ts";
import { modelFacts, shortestCached } from "../models/limits.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { map, type Range, sum } from "./range.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { callsPerInput, type Step } from "../plan/calls.ts";
import type { Settings } from "../plan/settings.ts";
import type { Expected } from "../plan/shard.ts";
import { instructionsOf, promptAround, type PromptRow } from "../plan/prompt.ts";
import { sharedPrefixes } from "../plan/shared-prefix.ts";
import type { History } from "../store/reuse/history.ts";
import type { EarlierAnswer } from "../store/reuse/reuse.ts";
import { calibrateTokenizer } from "./calibrate-tokenizer.ts";
import { findPrecedents, type Level, LEVELS } from "./precedents.ts";
import { createStepEstimate, type StepEstimate } from "./step-estimate.ts";

/** In US dollars; null if the price is unknown, or for `batch` if the price of batches is unknown. */
export interface EstimatedCost {
  live: Range | null;
  batch: Range | null;
}

/** The estimate of a step of a perspective. Reused calls send nothing and cost nothing. */
export interface EstimatedStep {
  condition: string;
  step: Step;
  calls: number;
  reused: number;
  prompt_tokens: Range;
  completion_tokens: Range;
  cost_usd: EstimatedCost;
  /** The earlier calls that the completion tokens are predicted from. */
  basis: CompletionBasis;
}

/** The level is `assumed` without earlier calls. Runs are listed by id, the newest first. */
export interface CompletionBasis {
  level: Level | "assumed";
  calls: number;
  runs: string[];
}

/** The expected part of the prompt tokens that the provider's cache takes. */
export interface EstimatedCaching {
  written_tokens: number;
  read_tokens: number;
  /** Whether the cost of live requests counts on it. A provider that is not told what to cache may not do it. */
  is_counted: boolean;
  /** The shortest beginning of a prompt that is cached. */
  shortest_tokens: number;
}

/** The estimate of a run. Every total is the sum of the steps. */
export interface Estimate {
  inputs: number;
  calls: { total: number; readings: number; strategies: number; reused: number; to_send: number };
  prompt_tokens: Range;
  completion_tokens: Range;
  cost_usd: EstimatedCost;
  /** What the config's `prompt_caching` does; missing if it is not set. */
  prompt_caching?: EstimatedCaching;
  steps: EstimatedStep[];
  basis: {
    prompt_tokens: {
      encoding: string;
      /** Whether the model's own tokenizer gives the same count. */
      is_exact: boolean;
      /** The earlier calls with which the encoding of another model was calibrated. */
      calibration: { calls: number; runs: string[] } | null;
    };
    /** For each level, from the most to the least similar: how many steps with calls to send use it, and how many calls. */
    completion_tokens: (CompletionBasis & { steps: number })[];
  };
  prices: Prices | null;
  price_unknown_because?: string;
}

/** Prices, or why they are unknown. */
export type Priced = { prices: Prices } | { prices: null; reason: string };

/** The basis of an estimate: the calls to come, and the earlier ones. */
export interface EstimateBasis {
  config: Config;
  /** Whether the provider counts tokens as this program does, so that the counts are exact. */
  isCountedHere: boolean;
  /** Whether the provider caches what it is told to, and charges for that. */
  marksCache: boolean;
  /** Those of the run. */
  settings: Settings;
  /** Those of each perspective. */
  asked: readonly Settings[];
  priced: Priced;
  history: History;
  /** The earlier answers that the calls of an input reuse, in the order of `callsPerInput`. */
  answersTo: (row: PromptRow) => readonly (EarlierAnswer | null)[];
  /** The notes in an earlier answer to a reading. */
  notesOf: (answer: EarlierAnswer) => string;
  /** The id of a pilot: the estimate rests on its calls first. */
  pilot: string | undefined;
}

/** The relative error of prompts counted by another model's tokenizer, with and without calibration. */
const CALIBRATED_WIDTH = 0.05;
const UNCALIBRATED_WIDTH = 0.4;

/** Adds up the estimate of a run input by input. */
export async function createEstimator({
  config,
  isCountedHere,
  marksCache,
  settings,
  asked,
  priced,
  history,
  answersTo,
  notesOf,
  pilot,
}: EstimateBasis): Promise<{
  add: (row: PromptRow) => void;
  estimate: () => Estimate;
  expected: () => Expected;
  /** How many calls do not fit into the context window of the model. */
  tooLong: () => number;
}> {
  const { prices } = priced;
  const tokenizer = await loadTokenizer(settings.model);
  const count = promptCounter(tokenizer, settings.endpoint);

  const ofModel = history.runs(settings.model);
  const isOfTask = ({ taskType }: { taskType: string }) => taskType === config.task_type;
  const isExact = !tokenizer.estimated || isCountedHere;
  const { calibration, basis: calibratedOn } = isExact
    ? { calibration: UNCALIBRATED, basis: null }
    : calibrateTokenizer(history, [...ofModel.filter(isOfTask), ...ofModel.filter((run) => !isOfTask(run))], count);
  const precededSteps = findPrecedents(history, config, {
    asked,
    sameModel: ofModel,
    anyModel: () => history.runs(null),
    pilot,
    frameTokens: (perspective, step) => count(promptAround(perspective, step, null)) * calibration.frame,
  });
  const prefixes = sharedPrefixes(config, settings, config.data_config.sample_size);
  const cached = prefixes && createCachedPrompts(prefixes, instructionsOf(config), count);
  const countsCache = cached !== null && marksCache;
  const basics = {
    count,
    countsCache,
    calibration,
    promptWidth: isExact ? 0 : calibratedOn ? CALIBRATED_WIDTH : UNCALIBRATED_WIDTH,
    isReasoning: isReasoningModel(settings.model),
    prices,
    inputs: config.data_config.sample_size,
    contextWindow: modelFacts(settings.model)?.contextWindow ?? null,
  };
  const steps = precededSteps.map((step) => createStepEstimate(step, basics));
  const addCalls = callAdder({ config, answersTo, notesOf }, steps, cached);
  let inputs = 0;

  return {
    add(row) {
      inputs += 1;
      addCalls(row);
    },
    expected() {
      const sumOf = (which: (step: StepEstimate) => number) => steps.reduce((total, step) => total + which(step), 0);
      return {
        promptTokens: sumOf(({ expected }) => expected.promptTokens),
        completionTokens: sumOf(({ expected }) => expected.completionTokens),
        costNanoUsd: prices === null ? null : sumOf(({ cost }) => cost.expected),
      };
    },
    tooLong: () => steps.reduce((total, { tooLong }) => total + tooLong, 0),
    estimate: () => ({
      ...summed(inputs, steps, prices),
      ...(cached && { prompt_caching: cachingOf(steps, countsCache, shortestCached(settings.model)) }),
      basis: {
        prompt_tokens: { encoding: tokenizer.encoding, is_exact: isExact, calibration: calibratedOn },
        completion_tokens: basisOf(steps),
      },
      ...(priced.prices ? { prices: priced.prices } : { prices: null, price_unknown_because: priced.reason }),
    }),
  };
}

/** Adds the calls of an input to their steps. */
function callAdder(
  { config, answersTo, notesOf }: Pick<EstimateBasis, "config" | "answersTo" | "notesOf">,
  steps: readonly StepEstimate[],
  cached: CachedPrompts | null,
): (row: PromptRow) => void {
  const planned = callsPerInput(config.agent_perspectives, config.replicates);
  const stepOf = stepsOfCalls(config, steps);
  return (row) => {
    // What a reading gives to the strategy right behind it: its text, or how long that is expected to be.
    let notes: string | Range = "";
    const answers = answersTo(row);
    cached?.begin();
    for (const [at, { perspective, step: name }] of planned.entries()) {
      const step = stepOf({ perspective, step: name });
      const answer = answers[at];
      if (answer) {
        step.addReused();
        if (name === "reading") notes = notesOf(answer);
        continue;
      }
      const part = cached?.partOf(perspective, name, row) ?? null;
      if (!step.isOnNotes) notes = step.add(row, null, part);
      else if (typeof notes === "string") step.add(row, notes, part);
      else step.addOnNotes(row, notes, part);
    }
  };
}

/** Finds the step that a call belongs to. */
function stepsOfCalls(
  { agent_perspectives: perspectives }: Config,
  steps: readonly StepEstimate[],
): (call: { perspective: number; step: Step }) => StepEstimate {
  const cell = ({ perspective, step }: { perspective: number; step: Step }) => `${perspective} ${step}`;
  const stepOf = new Map(callsPerInput(perspectives).map((call, at) => [cell(call), steps[at]]));
  return (call) => {
    const step = stepOf.get(cell(call));
    if (!step) throw new Error(`the ${call.step} of perspective ${call.perspective} is not estimated`);
    return step;
  };
}

function summed(
  inputs: number,
  steps: readonly StepEstimate[],
  prices: Prices | null,
): Pick<Estimate, "inputs" | "calls" | "prompt_tokens" | "completion_tokens" | "cost_usd" | "steps"> {
  const totalOf = (which: (step: StepEstimate) => number) => steps.reduce((total, step) => total + which(step), 0);
  const total = totalOf(({ calls }) => calls);
  const readings = totalOf(({ step, calls }) => (step === "reading" ? calls : 0));
  const reused = totalOf((step) => step.reused);
  return {
    inputs,
    calls: { total, readings, strategies: total - readings, reused, to_send: total - reused },
    prompt_tokens: sum(steps.map(({ promptTokens }) => promptTokens)),
    completion_tokens: sum(steps.map(({ completionTokens }) => completionTokens)),
    cost_usd: costIn(prices, steps),
    steps: steps.map((step) => ({
      condition: step.condition,
      step: step.step,
      calls: step.calls,
      reused: step.reused,
      prompt_tokens: step.promptTokens,
      completion_tokens: step.completionTokens,
      cost_usd: costIn(prices, [step]),
      basis: {
        level: step.precedent?.level ?? "assumed",
        calls: step.precedent?.answers.length ?? 0,
        runs: step.precedent?.runs ?? [],
      },
    })),
  };
}

/** Sums whole billionths, so that totals are exactly the sums of their parts. */
function costIn(prices: Prices | null, steps: readonly StepEstimate[]): EstimatedCost {
  const inUsd = (costs: readonly Range[]): Range => map(sum(costs), (nano) => nano / 1e9);
  return {
    live: prices === null ? null : inUsd(steps.map(({ cost }) => cost)),
    batch: prices === null || prices.batch_factor === null ? null : inUsd(steps.map(({ batchCost }) => batchCost)),
  };
}

function cachingOf(steps: readonly StepEstimate[], isCounted: boolean, shortest: number): EstimatedCaching {
  const totalOf = (which: keyof StepEstimate["cached"]) =>
    Math.round(steps.reduce((total, { cached }) => total + cached[which], 0));
  return {
    written_tokens: totalOf("written"),
    read_tokens: totalOf("read"),
    is_counted: isCounted,
    shortest_tokens: shortest,
  };
}

function basisOf(steps: readonly StepEstimate[]): Estimate["basis"]["completion_tokens"] {
  const sent = steps.filter(({ calls, reused }) => reused < calls);
  return [...LEVELS, "assumed" as const].flatMap((level) => {
    const resting = sent.filter(({ precedent }) => (precedent?.level ?? "assumed") === level);
    if (resting.length === 0) return [];
    const answers = new Set(resting.flatMap(({ precedent }) => precedent?.answers ?? []));
    const runs = new Set(resting.flatMap(({ precedent }) => precedent?.runs ?? []));
    return [{ level, steps: resting.length, calls: answers.size, runs: [...runs] }];
  });
}
