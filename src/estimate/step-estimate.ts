import type { Calibration } from "./calibration.ts";
import { costOf, type Prices } from "../models/cost.ts";
import { assumedLength, type Lengths, lengthFor } from "./lengths.ts";
import type { PromptCounter } from "../models/prompt-tokens.ts";
import { addTo, around, clamp, exactly, map, plus, type Range } from "./range.ts";
import type { Step } from "../plan/calls.ts";
import { promptOf } from "../plan/prompt.ts";
import { isOwn, type Level, type PrecededStep, type Precedent } from "./precedents.ts";

/** What all steps of an estimate share. */
export interface Basics {
  count: PromptCounter;
  calibration: Calibration;
  /** How far counts of prompts may be off, in proportion; 0 where they are exact. */
  promptWidth: number;
  /** The most completion tokens of a call; null where nothing limits them. */
  limit: number | null;
  isReasoning: boolean;
  prices: Prices | null;
  /** About how many inputs there will be. */
  inputs: number;
}

/** The calls of one step of a perspective, added up as they are met. */
export interface StepEstimate {
  readonly condition: string;
  readonly step: Step;
  /** Whether it works on what a reading has returned. */
  readonly isOnNotes: boolean;
  readonly precedent: Precedent | null;
  readonly calls: number;
  readonly reused: number;
  readonly promptTokens: Range;
  readonly completionTokens: Range;
  /** The same, not rounded. */
  readonly expected: { promptTokens: number; completionTokens: number };
  /** For live requests, in billionths of a US dollar; 0 where prices are unknown. */
  readonly cost: Range;
  /** A call whose earlier answer does for it. */
  addReused(): void;
  /**
   * A call whose prompt is known.
   * @param notes what its reading returned; null where it has none
   * @returns what a reading's notes are expected to add to the next prompt
   */
  add(input: string, notes: string | null): Range;
  /** A call on notes that are still to come. */
  addOnNotes(notes: Range): void;
}

/** How different calls to come may be from those of a level, in proportion, however many those are. */
const DRIFT: Record<Level, number> = {
  pilot: 0.1,
  instruction: 0.1,
  condition: 0.15,
  task_type: 0.3,
  model: 0.4,
  step: 0.6,
};

/** Standard errors on either side. */
const SURENESS = 2;

export function createStepEstimate(
  { perspective, step, precedent }: PrecededStep,
  { count, calibration, promptWidth, limit, isReasoning, prices, inputs }: Basics,
): StepEstimate {
  const tokensOn = (input: string, notes: string | null) => count(promptOf(perspective, step, input, notes));
  const frame = tokensOn("", null);
  const { cachedShare, cacheWriteShare } = precedent ?? { cachedShare: 0, cacheWriteShare: 0 };
  const { completionOn, notesOf } = predictor(precedent, { limit, isReasoning, inputs });
  const total = {
    calls: 0,
    reused: 0,
    promptTokens: exactly(0),
    completionTokens: exactly(0),
    cost: exactly(0),
  };

  function addUp(promptTokens: Range, text: number): void {
    const completionTokens = completionOn(text);
    total.calls += 1;
    addTo(total.promptTokens, promptTokens);
    addTo(total.completionTokens, completionTokens);
    const costAt = (bound: keyof Range, cached: number): number =>
      costOf(prices, {
        promptTokens: promptTokens[bound],
        completionTokens: completionTokens[bound],
        cachedTokens: promptTokens[bound] * cached,
        cacheWriteTokens: promptTokens[bound] * cacheWriteShare,
      }) ?? 0;
    const expected = costAt("expected", cachedShare);
    addTo(total.cost, { low: costAt("low", cachedShare), expected, high: Math.max(expected, costAt("high", 0)) });
  }

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
    addReused() {
      total.calls += 1;
      total.reused += 1;
    },
    add(input, notes) {
      const counted = tokensOn(input, notes);
      const textTokens = (counted - frame) * calibration.text;
      addUp(around(frame * calibration.frame + textTokens, promptWidth), textTokens);
      return notesOf(textTokens);
    },
    addOnNotes(notes) {
      addUp(plus(around(frame * calibration.frame, promptWidth), notes), notes.expected);
    },
  };
}

/** How long the answers to calls will be, and their notes, by the tokens of the text that each works on. */
function predictor(
  precedent: Precedent | null,
  { limit, isReasoning, inputs }: Pick<Basics, "limit" | "isReasoning" | "inputs">,
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

/** How far the mean of the calls to come may be from what was predicted, in proportion. */
function widthOf({ level, answers }: Precedent, { deviation }: Lengths, inputs: number): number {
  const sampling = SURENESS * deviation * Math.sqrt(1 / answers.length + 1 / inputs);
  // Of other instructions: how those differ from each other is in their deviation.
  return DRIFT[level] + sampling + (isOwn(level) ? 0 : deviation);
}
