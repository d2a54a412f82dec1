import type { CachedPart } from "./cached-prompts.ts";
import type { Calibration } from "./calibration.ts";
import { attemptCost, type Prices } from "../models/cost.ts";
import { assumedLength, type Lengths, lengthFor } from "./lengths.ts";
import type { PromptCounter } from "../models/prompt-tokens.ts";
import { addTo, around, clamp, exactly, map, plus, type Range } from "./range.ts";
import type { Step } from "../plan/calls.ts";
import { promptAround, promptOf, type PromptRow, textsIn, usesRow } from "../plan/prompt.ts";
import { type CacheShares, isOwn, type Level, type PrecededStep, type Precedent } from "./precedents.ts";

/** What all steps of an estimate share. */
export interface Basics {
  count: PromptCounter;
  calibration: Calibration;
  /** The relative error of prompt counts; 0 if they are exact. */
  promptWidth: number;
  isReasoning: boolean;
  prices: Prices | null;
  /** Whether the cost counts on the shared prefixes, because the provider caches what it is told to. */
  countsCache: boolean;
  /** About how many inputs there will be. */
  inputs: number;
  /** The most tokens of a prompt and its answer; null if unknown. */
  contextWindow: number | null;
}

/** Adds up the calls of one step of a perspective. */
export interface StepEstimate {
  readonly condition: string;
  readonly step: Step;
  /** Whether it works on notes. */
  readonly isOnNotes: boolean;
  readonly precedent: Precedent | null;
  readonly calls: number;
  readonly reused: number;
  readonly promptTokens: Range;
  readonly completionTokens: Range;
  /** The expected tokens, not rounded. */
  readonly expected: { promptTokens: number; completionTokens: number };
  /** For live requests, in billionths of a US dollar; 0 where prices are unknown. */
  readonly cost: Range;
  /** The same for requests in a batch. What a live request reads from the cache may be written again there. */
  readonly batchCost: Range;
  /** The expected tokens of shared prefixes that are written to the provider's cache, and read from it. */
  readonly cached: { written: number; read: number };
  /** How many calls have prompts that do not fit into the context window, with the longest answer that they allow. */
  readonly tooLong: number;
  /** Adds a call that reuses an earlier answer. */
  addReused(): void;
  /**
   * Adds a call whose prompt is known.
   * @param notes the notes of its reading; null if it has none
   * @param cached the part of its prompt that other calls share; null if they share none
   * @returns the expected tokens of a reading's notes in the prompt of its strategy
   */
  add(row: PromptRow, notes: string | null, cached: CachedPart | null): Range;
  /** Adds a call whose notes do not exist yet. @param notes their expected tokens */
  addOnNotes(row: PromptRow, notes: Range, cached: CachedPart | null): void;
}

/** The relative difference between later calls and the calls of a level that remains with any number of calls. */
const DRIFT: Record<Level, number> = {
  pilot: 0.1,
  instruction: 0.1,
  condition: 0.15,
  task_type: 0.3,
  model: 0.4,
  step: 0.6,
};

/** The number of standard errors on each side of a range. */
const SURENESS = 2;

export function createStepEstimate(
  { perspective, step, limit, precedent }: PrecededStep,
  { count, calibration, promptWidth, isReasoning, prices, countsCache, inputs, contextWindow }: Basics,
): StepEstimate {
  const frame = count(promptAround(perspective, step, null));
  const [hasRow, times] = [usesRow(perspective, step), textsIn(perspective, step)];
  const { completionOn, notesOf } = predictor(precedent, { limit, isReasoning, inputs });
  const { total, addUp } = createTotal({ limit, precedent }, { prices, countsCache, contextWindow }, completionOn);

  return {
    condition: perspective.condition,
    step,
    isOnNotes: step === "strategy" && perspective.reading !== null,
    precedent,
    get calls() {
      return total.calls;
    },
    get reused() {
      return total.reused;
    },
    get promptTokens() {
      return map(total.promptTokens, Math.round);
    },
    get completionTokens() {
      return map(total.completionTokens, Math.round);
    },
    get expected() {
      return { promptTokens: total.promptTokens.expected, completionTokens: total.completionTokens.expected };
    },
    get cost() {
      return total.cost;
    },
    get batchCost() {
      return total.batchCost;
    },
    get cached() {
      return total.cached;
    },
    get tooLong() {
      return total.tooLong;
    },
    addReused() {
      total.calls += 1;
      total.reused += 1;
    },
    add(row, notes, cached) {
      const counted = count(promptOf(perspective, step, row, notes));
      const textTokens = (counted - frame) * calibration.text;
      addUp(around(frame * calibration.frame + textTokens, promptWidth), textTokens, sharesOf(cached, counted));
      return notesOf(textTokens);
    },
    addOnNotes(row, notes, cached) {
      const known = hasRow ? count(promptAround(perspective, step, row)) : frame;
      const rowTokens = (known - frame) * calibration.text;
      const inPrompt = map(notes, (tokens) => tokens * times);
      const promptTokens = plus(around(frame * calibration.frame + rowTokens, promptWidth), inPrompt);
      addUp(promptTokens, rowTokens + inPrompt.expected, sharesOf(cached, known + inPrompt.expected));
    },
  };
}

/** What the calls of a step add up to. */
function createTotal(
  { limit, precedent }: Pick<PrecededStep, "limit" | "precedent">,
  { prices, countsCache, contextWindow }: Pick<Basics, "prices" | "countsCache" | "contextWindow">,
  completionOn: (text: number) => Range,
) {
  const costsOf = createCosts(prices, countsCache, precedent?.cache ?? NOT_CACHED);
  const total = {
    calls: 0,
    reused: 0,
    promptTokens: exactly(0),
    completionTokens: exactly(0),
    cost: exactly(0),
    batchCost: exactly(0),
    cached: { written: 0, read: 0 },
    tooLong: 0,
  };
  return {
    total,
    /** @param text the tokens of the text that the call works on */
    addUp: (promptTokens: Range, text: number, cached: CacheShares | null): void => {
      const completionTokens = completionOn(text);
      const { cost, batchCost } = costsOf(promptTokens, completionTokens, cached);
      total.calls += 1;
      addTo(total.promptTokens, promptTokens);
      addTo(total.completionTokens, completionTokens);
      addTo(total.cost, cost);
      addTo(total.batchCost, batchCost);
      // Only what is sure: the count may be that of another tokenizer.
      if (contextWindow !== null && promptTokens.low + (limit ?? 0) > contextWindow) total.tooLong += 1;
      total.cached.written += promptTokens.expected * (cached?.written ?? 0);
      total.cached.read += promptTokens.expected * (cached?.read ?? 0);
    },
  };
}

/**
 * The cost of a call, live and in a batch.
 * @param usual the shares of earlier prompts that were cached
 */
function createCosts(prices: Prices | null, countsCache: boolean, usual: CacheShares) {
  const costWith = (promptTokens: Range, completionTokens: Range, shares: CacheShares, isBatched: boolean): Range => {
    const costAt = (bound: keyof Range, readShare: number): number => {
      const prompt = promptTokens[bound];
      const usage = {
        promptTokens: prompt,
        completionTokens: completionTokens[bound],
        cachedTokens: prompt * readShare,
        cacheWriteTokens: prompt * shares.written,
        cacheWrite1hTokens: prompt * shares.writtenForHour,
      };
      return attemptCost(prices, usage, isBatched) ?? 0;
    };
    const expected = costAt("expected", shares.read);
    return { low: costAt("low", shares.read), expected, high: Math.max(expected, costAt("high", 0)) };
  };
  return (promptTokens: Range, completionTokens: Range, cached: CacheShares | null) => {
    const costOf = (shares: CacheShares, isBatched: boolean) =>
      costWith(promptTokens, completionTokens, shares, isBatched);
    if (!countsCache) return { cost: costOf(usual, false), batchCost: costOf(usual, true) };
    const { read, written } = cached ?? NOT_CACHED;
    // Each request of a batch may write its prefix, because none waits for another.
    const writing = costOf({ ...NOT_CACHED, written: written + read }, true);
    const uncached = costOf(NOT_CACHED, true);
    return {
      cost: costOf({ ...NOT_CACHED, read, written }, false),
      batchCost: { ...uncached, high: Math.max(uncached.high, writing.high) },
    };
  };
}

const NOT_CACHED: CacheShares = { read: 0, written: 0, writtenForHour: 0 };

/** @param counted the tokens of the whole prompt */
function sharesOf(cached: CachedPart | null, counted: number): CacheShares | null {
  if (!cached) return null;
  const share = Math.min(1, cached.tokens / counted);
  return { ...NOT_CACHED, ...(cached.isWritten ? { written: share } : { read: share }) };
}

/** How long the answers to calls will be, and their notes, by the tokens of the text that each works on. */
function predictor(
  precedent: Precedent | null,
  { limit, isReasoning, inputs }: Pick<Basics, "isReasoning" | "inputs"> & Pick<PrecededStep, "limit">,
): { completionOn: (text: number) => Range; notesOf: (text: number) => Range } {
  if (!precedent) {
    return {
      completionOn: (text) => assumedLength(text, limit, isReasoning),
      notesOf: (text) => assumedLength(text, limit, false),
    };
  }
  const predict = (lengths: Lengths) => {
    const width = widthOf(precedent, lengths, inputs);
    return (text: number) => clamp(around(lengthFor(lengths, text), width), 1, limit);
  };
  const visibleOn = predict(precedent.visible);
  return {
    completionOn: predict(precedent.completion),
    notesOf: (text) => map(visibleOn(text), (tokens) => tokens * precedent.notesFactor),
  };
}

/** The relative error of the predicted mean. */
function widthOf({ level, answers }: Precedent, { deviation }: Lengths, inputs: number): number {
  const sampling = SURENESS * deviation * Math.sqrt(1 / answers.length + 1 / inputs);
  // For calls of other instructions, the deviation includes the differences between these instructions.
  return DRIFT[level] + sampling + (isOwn(level) ? 0 : deviation);
}
