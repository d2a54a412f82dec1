import fc from "fast-check";
import { expect, test } from "vitest";
import { binOf, borderOf, count, emptyHistogram } from "../src/view/histogram.ts";

test("a value lies between the borders of its bin", () => {
  for (let bin = 0; bin < 200; bin += 1) {
    expect(binOf(borderOf(bin))).toBe(bin);
    if (bin > 1) expect(binOf(Math.ceil(borderOf(bin)) - 1)).toBeLessThan(bin);
  }
  fc.assert(
    fc.property(fc.double({ min: 0, max: Number.MAX_SAFE_INTEGER, noNaN: true }), (value) => {
      const bin = binOf(value);
      expect(borderOf(bin)).toBeLessThanOrEqual(value);
      expect(borderOf(bin + 1)).toBeGreaterThan(value);
    }),
  );
});

test("a histogram counts values, and leaves unknown ones out", () => {
  const histogram = emptyHistogram();
  for (const value of [0, 0.5, 1, 1, 16, null]) count(histogram, value);
  expect(histogram).toEqual({ bins: { 0: 2, 1: 2, 17: 1 }, count: 5, sum: 18.5, min: 0, max: 16 });
});
