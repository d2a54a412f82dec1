/** An estimated number: the lowest likely value, the expected one, and the highest likely one. */
export interface Range {
  low: number;
  expected: number;
  high: number;
}

/** The range of a known number. */
export function exactly(value: number): Range {
  return { low: value, expected: value, high: value };
}

/** A range around a number, by the same factor on both sides. @param width 0 for an exact number */
export function around(expected: number, width: number): Range {
  return { low: expected / (1 + width), expected, high: expected * (1 + width) };
}

/** Limits a range to bounds; null for no upper bound. */
export function clamp(range: Range, least: number, most: number | null): Range {
  return map(range, (value) => Math.max(least, Math.min(most ?? Number.POSITIVE_INFINITY, value)));
}

export function sum(ranges: Iterable<Range>): Range {
  const total = exactly(0);
  for (const range of ranges) addTo(total, range);
  return total;
}

export function addTo(total: Range, { low, expected, high }: Range): void {
  total.low += low;
  // Rounded to steps of a power of two, so that sums are exact in any order.
  total.expected += Math.round(expected * 1024) / 1024;
  total.high += high;
}

export function plus(a: Range, b: Range): Range {
  return { low: a.low + b.low, expected: a.expected + b.expected, high: a.high + b.high };
}

export function map({ low, expected, high }: Range, change: (value: number) => number): Range {
  return { low: change(low), expected: change(expected), high: change(high) };
}
