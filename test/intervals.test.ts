import { describe, expect, test } from "vitest";
import { drawFigures, drawGroups, InputGroups, intervalOf } from "../src/stats/bootstrap.ts";
import { hashOf } from "../src/stats/hash.ts";
import { rounds } from "./support/rounds.ts";

/** How many datasets are simulated. */
const DATASETS = rounds(100, 1_000);
/**
 * Which coverage is accepted. Of 100 datasets, a method that covers the truth in 95% covers it in fewer than 88 with a
 * probability of less than one in a hundred. The datasets have seeds, so that the result is always the same.
 */
const [LEAST, MOST] = DATASETS < 1_000 ? [0.88, 1] : [0.93, 0.97];

const INPUTS = 200;
const ANSWERS = 4;

/** Pseudo-random numbers with a seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A dataset: answers to one input are alike, since they share half of their variance. */
function simulated(seed: number, inputs: number): { group: string; a: number; b: number; weight: number }[] {
  const random = numbers(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Array.from({ length: inputs }, (_, input) => {
    const shared = normal();
    return Array.from({ length: ANSWERS }, () => ({
      group: `input ${input} of ${seed}`,
      a: 10 + shared + normal(),
      b: 9 + shared + normal(),
      weight: 1 + random(),
    }));
  }).flat();
}

type Sums = [a: number, b: number, n: number, weighted: number, weight: number];

/** The figures whose truth is known: a mean, a difference of means, and a ratio of sums. */
const FIGURES: [name: string, truth: number, figure: (sums: Float64Array) => number][] = [
  ["mean", 10, (sums) => sums[0]! / sums[2]!],
  ["difference", 1, (sums) => (sums[0]! - sums[1]!) / sums[2]!],
  ["ratio", 10, (sums) => sums[3]! / sums[4]!],
];

/** The part of the datasets whose intervals have the truth, by figure. */
function coverage(datasets: number, inputs: number): Map<string, number> {
  const covered = new Map(FIGURES.map(([name]) => [name, 0]));
  for (let seed = 1; seed <= datasets; seed += 1) {
    const groups = new InputGroups(inputs, 2);
    const width = 5;
    const sums = new Float64Array(groups.count * width);
    for (const { group, a, b, weight } of simulated(seed, inputs)) {
      const from = groups.of(hashOf(group)) * width;
      const added: Sums = [a, b, 1, a * weight, weight];
      for (const [at, value] of added.entries()) sums[from + at]! += value;
    }
    const times = drawGroups(groups.used);
    const drawn = drawFigures(
      times,
      groups.used,
      sums,
      FIGURES.map(([, , figure]) => figure),
    );
    for (const [at, [name, truth]] of FIGURES.entries()) {
      const { low, high } = intervalOf(drawn[at]!)!;
      if (low <= truth && truth <= high) covered.set(name, covered.get(name)! + 1);
    }
  }
  return new Map([...covered].map(([name, count]) => [name, count / datasets]));
}

describe("95% intervals of clustered answers", () => {
  test(`cover the truth in ${100 * LEAST} to ${100 * MOST}% of ${DATASETS} datasets`, { timeout: 600_000 }, () => {
    for (const [name, part] of coverage(DATASETS, INPUTS)) {
      expect(part, name).toBeGreaterThanOrEqual(LEAST);
      expect(part, name).toBeLessThanOrEqual(MOST);
    }
  });

  test("also where inputs are put into groups by their hash", { timeout: 600_000 }, () => {
    expect(new InputGroups(2_001, 2)).toMatchObject({ isHashed: true, count: 1_000 });
    for (const [name, part] of coverage(rounds(40, 500), 2_001)) {
      expect(part, name).toBeGreaterThanOrEqual(rounds(0.85, 0.93));
    }
  });

  test("would cover it far less often if answers were drawn, and not inputs", () => {
    const datasets = 60;
    let covered = 0;
    for (let seed = 1; seed <= datasets; seed += 1) {
      const rows = simulated(seed, 50);
      const sums = Float64Array.from(rows.flatMap(({ a }) => [a, 1]));
      const [drawn] = drawFigures(drawGroups(rows.length), rows.length, sums, [(of) => of[0]! / of[1]!]);
      const { low, high } = intervalOf(drawn!)!;
      if (low <= 10 && 10 <= high) covered += 1;
    }
    expect(covered / datasets).toBeLessThan(0.9);
  });
});
