import type { ConditionFigures, Histogram } from "./rows.ts";

/** Counts by reason. Reasons may be any text, as those of an imported run: its members have no names from a prototype. */
export function noCounts(): Record<string, number> {
  return Object.create(null) as Record<string, number>;
}

/** Where a bin begins; see {@link Histogram}. */
export function borderOf(bin: number): number {
  return bin === 0 ? 0 : 2 ** ((bin - 1) / 4);
}

/** The bin of a value from 0 on. */
export function binOf(value: number): number {
  if (value < 1) return 0;
  const bin = Math.floor(4 * Math.log2(value)) + 1;
  // The logarithm is rounded, so the value may lie beside that bin.
  if (value < borderOf(bin)) return bin - 1;
  return value < borderOf(bin + 1) ? bin : bin + 1;
}

export function emptyHistogram(): Histogram {
  return { bins: {}, count: 0, sum: 0, min: null, max: null };
}

/** The figures of a condition without answers. */
export function emptyFigures(): ConditionFigures {
  return {
    length: emptyHistogram(),
    completionTokens: emptyHistogram(),
    latencyMs: emptyHistogram(),
    costNanoUsd: emptyHistogram(),
    states: { succeeded: 0, failed: noCounts(), pending: 0, truncated: 0, reused: 0 },
  };
}

/** Counts a value, which is at least 0; null is unknown and counts nowhere. */
export function count(histogram: Histogram, value: number | null): void {
  if (value === null) return;
  const bin = binOf(value);
  histogram.bins[bin] = (histogram.bins[bin] ?? 0) + 1;
  histogram.count += 1;
  histogram.sum += value;
  histogram.min = Math.min(histogram.min ?? value, value);
  histogram.max = Math.max(histogram.max ?? value, value);
}
