import { SEED } from "./bootstrap.ts";
import { hashOf } from "./hash.ts";

/** A condition with more answers is sampled for figures of which answers are compared with each other. */
const MOST_ANSWERS = 10_000;
/** The same for all conditions of a run together. */
const MOST_OF_ALL = 300_000;
const SAMPLED_ANSWERS = 1_000;
/** How many pairs of answers are compared for the similarity of conditions. */
const MOST_PAIRS = 100_000;
/** How many conditions are compared with each other. */
export const MOST_SIMILAR = 100;

/**
 * Chooses inputs by their hash: the same ones in every condition, in whatever order they come. An input that is added takes
 * no other one out, unless the number of inputs moves the bound.
 */
export class Sample {
  /** The part of all inputs, from 0 to 1. */
  private readonly part: number;

  constructor(part: number) {
    this.part = Math.min(1, part);
  }

  get isWhole(): boolean {
    return this.part === 1;
  }

  /** @param input the {@link hashOf} of its text */
  has(input: number): boolean {
    return this.isWhole || hashOf(String(input), SEED + 1) / 2 ** 53 < this.part;
  }

  toString(): string {
    return this.isWhole ? "all" : `${this.part.toPrecision(4)} of the inputs`;
  }
}

/** The inputs whose answers are compared with the other answers of their condition. */
export function answerSample(inputs: number, conditions: number, replicates: number): Sample {
  const each = inputs * replicates;
  const isSmall = each <= MOST_ANSWERS && each * conditions <= MOST_OF_ALL;
  return new Sample(isSmall ? 1 : Math.min(SAMPLED_ANSWERS, MOST_OF_ALL / conditions) / each);
}

/** The inputs for which the answers of all conditions are compared. */
export function similaritySample(inputs: number, conditions: number): Sample {
  const compared = Math.min(conditions, MOST_SIMILAR);
  const pairs = (compared * (compared - 1)) / 2;
  return new Sample(MOST_PAIRS / Math.max(1, pairs * inputs));
}
