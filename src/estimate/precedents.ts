import type { Config, Perspective } from "../config/schema.ts";
import { fitGrowth, fitLengths, type Lengths } from "./lengths.ts";
import { callsPerInput, type Step } from "../plan/calls.ts";
import { type Instructions, instructionsOf, isSameStep, textsIn, usesRow } from "../plan/prompt.ts";
import { type Settings, tokenLimit } from "../plan/settings.ts";
import type { EarlierCall } from "../store/reuse/earlier-calls.ts";
import type { EarlierPerspective, EarlierRun, History } from "../store/reuse/history.ts";

/**
 * What earlier calls have in common with the estimated ones, from the most to the least similar: they belong to the pilot;
 * or they have the same instruction; the same condition in a task of this type; a task of this type; the same model; or
 * only the same kind of step, with any model.
 */
export const LEVELS = ["pilot", "instruction", "condition", "task_type", "model", "step"] as const;
export type Level = (typeof LEVELS)[number];

/** How many calls a level needs. With fewer, the next level is tried. */
const LEAST_CALLS: Record<Level, number> = {
  pilot: 1,
  instruction: 2,
  condition: 2,
  task_type: 10,
  model: 10,
  step: 10,
};

/** More calls would not improve the prediction. */
const MOST_CALLS = 200;

/** The prediction for a step of a perspective, from earlier calls. */
export interface Precedent {
  level: Level;
  /** The ids of the answers of those calls. */
  answers: number[];
  /** The ids of the runs of those calls, the newest first. */
  runs: string[];
  completion: Lengths;
  /** The completion tokens without reasoning; for a reading, those of its notes. */
  visible: Lengths;
  /** For a reading: how many prompt tokens of its strategy one token of its notes makes. */
  notesFactor: number;
  cache: CacheShares;
}

/** The shares of a prompt that are read from the provider's cache, and written to it. */
export interface CacheShares {
  read: number;
  written: number;
  /** The part of the written share that the cache keeps for an hour. */
  writtenForHour: number;
}

/** A perspective of the config, with all texts of its prompts, and its reasoning effort. */
type Instructed = Perspective & Instructions & Pick<EarlierPerspective, "effort">;

export interface PrecededStep {
  perspective: Instructed;
  step: Step;
  /** The most completion tokens of its calls; null without a limit. */
  limit: number | null;
  /** Null without earlier calls. */
  precedent: Precedent | null;
}

export interface PrecedentOptions {
  /** The settings of each perspective. */
  asked: readonly Settings[];
  /** Earlier runs of the same model, the newest first. */
  sameModel: readonly EarlierRun[];
  /** Earlier runs of any model. */
  anyModel: () => readonly EarlierRun[];
  /** The id of the pilot. */
  pilot: string | undefined;
  /** The tokens of a step's prompt without the text that it works on, in those of the model. */
  frameTokens: (perspective: Instructions, step: Step) => number;
}

/** One earlier answer. */
interface Example {
  call: EarlierCall;
  run: string;
  input: number;
  /** Tokens of the text that it works on. */
  text: number;
  /** The tokens of its notes in the prompt of its strategy; null where there is none. */
  notes: number | null;
  cutAt: number | null;
}

interface Found {
  level: Level;
  examples: Example[];
}

type Fits = (perspective: EarlierPerspective, run: EarlierRun) => boolean;

/** What earlier calls say of each call that an input needs, in the order of the plan. */
export function findPrecedents(
  history: History,
  config: Config,
  { asked, sameModel, anyModel, pilot, frameTokens }: PrecedentOptions,
): PrecededStep[] {
  const { task_type: taskType } = config;
  const collect = createCollector(history, frameTokens);
  const shared = new Map<string, Example[]>();

  function examples(level: Level, perspective: Instructed, step: Step): Example[] {
    const { condition, reading, effort } = perspective;
    const isAsked: Fits = (other) => other.effort === effort;
    const isAlike: Fits = (other, run) => isAsked(other, run) && isOfKind(other, perspective);
    const isSame: Fits = (other, run) => isAsked(other, run) && isSameStep(other, perspective, step);
    const isOfTask: Fits = (other, run) => isAlike(other, run) && run.taskType === taskType;
    const once = (find: () => Example[]): Example[] => {
      const key = `${level} ${step} ${reading === null} ${effort}`;
      const known = shared.get(key) ?? find();
      shared.set(key, known);
      return known;
    };
    switch (level) {
      case "pilot":
        return collect(sameModel, step, (other, run) => run.publicId === pilot && isSame(other, run));
      case "instruction":
        return collect(sameModel, step, isSame);
      case "condition":
        return collect(sameModel, step, (other, run) => isOfTask(other, run) && other.condition === condition);
      case "task_type":
        return once(() => collect(sameModel, step, isOfTask));
      case "model":
        return once(() => collect(sameModel, step, isAlike));
      default:
        return once(() => collect(anyModel(), step, (other) => isOfKind(other, perspective)));
    }
  }

  const steps = instructionsOf(config).flatMap((instructions, at) => {
    const settings = asked[at]!;
    const effort = settings.parameters.reasoning_effort ?? null;
    const perspective: Instructed = { ...config.agent_perspectives[at]!, ...instructions, effort };
    const limit = tokenLimit(settings);
    return callsPerInput([perspective]).map(({ step }) => ({
      perspective,
      step,
      limit,
      found: nearest(perspective, step),
    }));
  });
  return steps.map(({ perspective, step, limit, found }) => {
    const alike = steps
      .filter((other) => other.step === step && isOfKind(other.perspective, perspective))
      .flatMap((other) => other.found ?? []);
    return { perspective, step, limit, precedent: found && precedentOf(found, alike, limit) };
  });

  function nearest(perspective: Instructed, step: Step): Found | null {
    let few: Found | null = null;
    for (const level of LEVELS) {
      if (level === "pilot" && pilot === undefined) continue;
      const found = { level, examples: examples(level, perspective, step) };
      if (found.examples.length >= LEAST_CALLS[level]) return found;
      if (found.examples.length > 0) few ??= found;
    }
    return few;
  }
}

/** Finds examples of the steps that fit, of the newest runs, each answer once. */
function createCollector(
  history: History,
  frameTokens: PrecedentOptions["frameTokens"],
): (runs: readonly EarlierRun[], step: Step, fits: Fits) => Example[] {
  const limits = new Map<number, number | null>();

  function limitOf(settingsId: number): number | null {
    const known = limits.get(settingsId);
    if (known !== undefined) return known;
    const found = tokenLimit(history.settings(settingsId));
    limits.set(settingsId, found);
    return found;
  }

  return (runs, step, fits) => {
    const found = new Map<number, Example>();
    for (const run of runs) {
      const fitting = run.perspectives.filter((perspective) => fits(perspective, run));
      const inputs = Math.ceil(MOST_CALLS / fitting.length);
      for (const perspective of fitting) {
        const strategyFrame = frameTokens(perspective, "strategy");
        // What else the prompt has of the row is not known here.
        const times = usesRow(perspective, "strategy") ? 0 : textsIn(perspective, "strategy");
        const frame = frameTokens(perspective, step);
        for (const call of history.calls(run, perspective.id, step, inputs)) {
          const inNextPrompt = (call.strategyPromptTokens ?? 0) - strategyFrame;
          found.set(call.answerId, {
            call,
            run: run.publicId,
            input: call.inputId,
            text: Math.max(0, call.promptTokens - frame),
            notes: inNextPrompt > 0 && times > 0 ? inNextPrompt / times : null,
            cutAt: call.isCut ? limitOf(call.settingsId) : null,
          });
        }
      }
      if (found.size >= MOST_CALLS) break;
    }
    return [...found.values()];
  };
}

/** Whether the steps of two perspectives work on the same kind of text: the input, or notes on it. */
function isOfKind(one: Pick<Perspective, "reading">, other: Pick<Perspective, "reading">): boolean {
  return (one.reading === null) === (other.reading === null);
}

/** @param alike what was found for all steps of this kind */
function precedentOf({ level, examples }: Found, alike: readonly Found[], limit: number | null): Precedent {
  const isSameTask = level !== "model" && level !== "step";
  const fit = (tokensOf: (call: EarlierCall) => number): Lengths => {
    const observed = (found: Found) =>
      found.examples.map((example) => ({ ...example, tokens: tokensOf(example.call) }));
    const growth = fitGrowth(alike.filter((found) => isOwn(found.level)).map(observed));
    return fitLengths(observed({ level, examples }), { limit, mayGrow: isSameTask, growth });
  };
  // What is cached is up to the provider and the model.
  const reported = level === "step" ? [] : examples.filter(({ call }) => !call.tokensEstimated);
  const total = (tokens: (call: EarlierCall) => number) => reported.reduce((sum, { call }) => sum + tokens(call), 0);
  const prompts = total(({ promptTokens }) => promptTokens) || 1;
  const shareOf = (tokens: (call: EarlierCall) => number) => total(tokens) / prompts;
  return {
    level,
    answers: examples.map(({ call }) => call.answerId),
    runs: [...new Set(examples.map(({ run }) => run))],
    completion: fit(({ completionTokens }) => completionTokens),
    visible: fit(visibleTokens),
    notesFactor: notesFactorOf(examples),
    cache: {
      read: shareOf(({ cachedTokens }) => cachedTokens),
      written: shareOf(({ cacheWriteTokens }) => cacheWriteTokens),
      writtenForHour: shareOf(({ cacheWrite1hTokens }) => cacheWrite1hTokens),
    },
  };
}

/** Whether the calls of a level have the same instruction. */
export function isOwn(level: Level): boolean {
  return level === "pilot" || level === "instruction";
}

function visibleTokens({ completionTokens, reasoningTokens }: EarlierCall): number {
  return completionTokens - reasoningTokens;
}

function notesFactorOf(examples: readonly Example[]): number {
  let [inPrompts, inAnswers] = [0, 0];
  for (const { notes, call } of examples) {
    if (notes === null) continue;
    inPrompts += notes;
    inAnswers += visibleTokens(call);
  }
  return inPrompts > 0 && inAnswers > 0 ? inPrompts / inAnswers : 1;
}
