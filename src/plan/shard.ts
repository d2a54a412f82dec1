import { UsageError } from "../errors.ts";

/** A part of the inputs: of every `count` inputs in order, those at `indices`, counted from 1. */
export interface Part {
  indices: number[];
  count: number;
}

/** The part of the inputs that a run has. */
export interface Shard extends Part {
  /** The ids of the runs that were merged into this one, its own first. */
  runs: string[];
  /** The estimate for the part when it was planned, not rounded, so that parts add up to the whole. */
  expected: Expected;
}

/** Expected tokens, and the cost in billionths of a US dollar if the price is known. */
export interface Expected {
  promptTokens: number;
  completionTokens: number;
  costNanoUsd: number | null;
}

/** @throws UsageError when a text is not `i/n`, with i from 1 to n */
export function parsePart(text: string): Part {
  const [index = 0, count = 0] = (/^([1-9]\d{0,5})\/([1-9]\d{0,5})$/.exec(text) ?? []).slice(1).map(Number);
  if (index > 0 && index <= count) return { indices: [index], count };
  throw new UsageError(`--shard: expected i/n with i from 1 to n, such as 2/3, found ${JSON.stringify(text)}`);
}

/** Whether an input belongs to a shard. @param position in the sample, from 0 */
export function isInShard({ indices, count }: Part, position: number): boolean {
  return indices.includes((position % count) + 1);
}

/** The position in the sample, from 0, of a shard's nth input, from 0. @param part its indices in ascending order */
export function positionIn({ indices, count }: Part, nth: number): number {
  return Math.floor(nth / indices.length) * count + (indices[nth % indices.length] ?? 1) - 1;
}

/** The parts that are still missing. */
export function missingShards({ indices, count }: Part): number[] {
  return Array.from({ length: count }, (_, at) => at + 1).filter((index) => !indices.includes(index));
}
