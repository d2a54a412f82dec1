/** What is not known exactly: the least that is likely, what is expected, and the most that is likely. */
export interface Range {
  low: number;
  expected: number;
  high: number;
}

/** A number that is known. */
export function exactly(value: number): Range {
  return { low: value, expected: value, high: value };
}

/** A range around a number: wider by the same factor on either side, 0 for none. */
export function around(expected: number, width: number): Range {
  return { low: expected / (1 + width), expected, high: expected * (1 + width) };
}

/** A range within bounds; null for none. */
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
  // In steps of a power of two, so that the sum is exact, and the same in whatever order and parts it is made.
  total.expected += Math.round(expected * 1024) / 1024;
  total.high += high;
}

export function plus(a: Range, b: Range): Range {
  return { low: a.low + b.low, expected: a.expected + b.expected, high: a.high + b.high };
}

export function map({ low, expected, high }: Range, change: (value: number) => number): Range {
  return { low: change(low), expected: change(expected), high: change(high) };
}
