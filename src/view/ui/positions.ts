import type { ViewedRun } from "../rows.ts";

/** The inputs that the grid shows: from an index, which has no gaps, to a position in the run, and back. */
export interface Positions {
  count: number;
  at(index: number): number;
  /** The index of a position or, if it is not shown, of the next one. */
  indexOf(position: number): number;
}

/** All inputs of a run. Those of a shard have gaps, which its part of the inputs tells. */
export function allPositions({ run, inputs }: ViewedRun): Positions {
  const { count, first, last } = inputs;
  const { indices, count: parts } = run.shard ?? { indices: [1], count: 1 };
  const at = (index: number) => Math.floor(index / indices.length) * parts + (indices[index % indices.length] ?? 1) - 1;
  if (count > 0 && at(0) === first && at(count - 1) === last) {
    return { count, at, indexOf: (position) => firstIndex(count, at, position) };
  }
  // Positions that the run lacks are empty rows.
  const length = count === 0 ? 0 : last - first + 1;
  const shifted = (index: number) => first + index;
  return { count: length, at: shifted, indexOf: (position) => firstIndex(length, shifted, position) };
}

export function listedPositions(list: readonly number[]): Positions {
  const at = (index: number) => list[index] ?? -1;
  return { count: list.length, at, indexOf: (position) => firstIndex(list.length, at, position) };
}

function firstIndex(count: number, at: (index: number) => number, position: number): number {
  let [low, high] = [0, Math.max(0, count - 1)];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(middle) < position) low = middle + 1;
    else high = middle;
  }
  return low;
}
