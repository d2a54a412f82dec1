import { afterAll, beforeAll, expect, test } from "vitest";
import { comparisonOf } from "../src/app/view/comparison.ts";
import { distributionsOf } from "../src/app/view/distributions.ts";
import { gridRows } from "../src/app/view/grid.ts";
import { matchesOf } from "../src/app/view/matches.ts";
import { Partners } from "../src/app/view/partners.ts";
import { Reader } from "../src/app/view/reader.ts";
import { runOf } from "../src/app/view/run.ts";
import { type Slice, SliceOver } from "../src/app/view/slice.ts";
import { createRun, executeRun, openStore, parseConfig, type Store } from "../src/index.ts";
import { inputAt } from "../src/store/view/inputs.ts";
import type { ConditionFigures, Filter, Histogram } from "../src/view/rows.ts";
import { configFor, rows, type Workspace, workspace } from "./support/harness.ts";

/** The time of a slice is over after every row, and never. */
const SHORT: Slice = { isOver: () => true };
const LONG: Slice = { isOver: () => false };

let space: Workspace;
let store: Store;
/** A run whose inputs have ids, and runs of other inputs with ids, and of inputs without. */
const runs = { first: "", turned: "", without: "" };

beforeAll(async () => {
  space = await workspace();
  store = openStore(space.at("datagen.db"));
  const numbered = rows(12).map((row, id) => ({ id: `row-${id}`, ...row }));
  const repeated = [...rows(6), ...rows(6), ...rows(2)];
  const files = { first: numbered, turned: [...numbered.toReversed(), ...rows(13).slice(12)], without: repeated };
  for (const [name, list] of Object.entries(files)) {
    await space.write(`${name}.json`, list);
    const fields = name === "turned" ? { id: null } : undefined;
    const { data_config, ...config } = configFor({ api_provider: "offline" });
    const parsed = parseConfig({
      ...config,
      data_config: { ...data_config, input_data_path: space.at(`${name}.json`), ...(fields && { fields }) },
    });
    const run = await createRun(store, parsed, { environment: {} });
    await executeRun(store, run, { environment: {} });
    runs[name as keyof typeof runs] = run;
  }
});

afterAll(async () => {
  store.close();
  await space[Symbol.asyncDispose]();
});

/** Asks slice by slice, as the page does. A question that has no answer yet is asked again. */
function slices<T extends { next: number | null }>(ask: (after: number) => T): { all: T[]; repeated: number } {
  const all: T[] = [];
  let repeated = 0;
  for (let after: number | null = -1; after !== null;) {
    try {
      const slice = ask(after);
      all.push(slice);
      after = slice.next;
    } catch (error) {
      if (!(error instanceof SliceOver)) throw error;
      repeated += 1;
    }
  }
  return { all, repeated };
}

test("slices of one row give the same rows and matches as one slice", () => {
  const run = runOf(store, runs.first);
  const whole = gridRows(store, run, 0, 100, LONG);
  expect(whole).toHaveLength(12);
  const each = whole.map(({ position }) => gridRows(store, run, position, 100, SHORT));
  expect(each).toEqual(whole.map((row) => [row]));
  const filters: Filter[] = [{}, { state: "succeeded" }, { text: "keys" }, { lengthFrom: 1 }, { state: "failed" }];
  for (const filter of filters) {
    const { all } = slices((after) => matchesOf(store, run, filter, after, SHORT));
    const { rows: matches, next, looked } = matchesOf(store, run, filter, -1, LONG);
    expect(next).toBe(null);
    expect(all.flatMap((slice) => slice.rows)).toEqual(matches);
    expect(all.reduce((sum, slice) => sum + slice.looked, 0)).toBe(looked);
  }
});

test("the histograms of slices add up to those of one slice", () => {
  const run = runOf(store, runs.without);
  const { all } = slices((after) => distributionsOf(store, run, after, SHORT));
  expect(all.length).toBeGreaterThanOrEqual(14);
  const whole = distributionsOf(store, run, -1, LONG);
  const sumOf = (of: (figures: ConditionFigures) => Histogram, at: number) => {
    const bins: Record<string, number> = {};
    let [count, sum] = [0, 0];
    for (const { conditions } of all) {
      const histogram = of(conditions[at]!);
      for (const [bin, number] of Object.entries(histogram.bins)) bins[bin] = (bins[bin] ?? 0) + number;
      count += histogram.count;
      sum += histogram.sum;
    }
    return { bins, count, sum };
  };
  whole.conditions.forEach((figures, at) => {
    for (const name of ["length", "completionTokens", "latencyMs", "costNanoUsd"] as const) {
      expect(figures[name]).toMatchObject(sumOf((each) => each[name], at));
    }
    expect(figures.length.count).toBe(14);
  });
});

test.each([
  ["the same ids", "first", "first"],
  ["ids on one side only", "first", "turned"],
  ["inputs that repeat", "without", "first"],
  ["inputs that repeat on the other side", "first", "without"],
  ["inputs that repeat on both sides", "without", "without"],
] as const)("slices of a comparison give the same as one slice, for %s", (_, a, b) => {
  const pair = [runOf(store, runs[a]), runOf(store, runs[b])] as [ReturnType<typeof runOf>, ReturnType<typeof runOf>];
  const partners = new Partners(store);
  const { all, repeated } = slices((after) => comparisonOf(store, pair, after, partners, SHORT));
  if (a === "first" && b === "first") expect(repeated).toBeGreaterThan(10);
  const whole = comparisonOf(store, pair, -1, new Partners(store), LONG);
  expect(whole.next).toBe(null);
  for (const name of ["identical", "compared", "looked"] as const) {
    expect(all.reduce((sum, slice) => sum + slice[name], 0)).toBe(whole[name]);
  }
  expect(whole.compared).toBeGreaterThan(20);
  expect(new Set(all.flatMap(({ pairs }) => pairs))).toEqual(new Set(whole.pairs));
});

test("inputs that repeat have the partner with the same number among them", () => {
  const [a, b] = [runOf(store, runs.without), runOf(store, runs.without)];
  const partners = new Partners(store);
  for (const position of [0, 6, 12, 1, 7, 13, 5, 11]) {
    expect(partners.find(a, inputAt(store, a.id, position)!, b, LONG)).toBe(position);
  }
  const once = runOf(store, runs.turned);
  expect(partners.find(a, inputAt(store, a.id, 0)!, once, LONG)).toBe(11);
  expect(partners.find(a, inputAt(store, a.id, 6)!, once, LONG)).toBe(null);
});

test("a reader says nothing of totals that cannot have changed", () => {
  const reader = new Reader(store);
  expect(reader.totals([runs.first], false)).toMatchObject([{ id: runs.first, status: "completed" }]);
  expect(reader.totals([runs.first], false)).toBe(null);
  expect(reader.totals([runs.first, runs.turned], true)).toHaveLength(2);
  {
    using other = openStore(store.path);
    other.sqlite.exec("update runs set name = 'renamed'");
  }
  expect(reader.totals([runs.first], false)).toMatchObject([{ name: "renamed" }]);
  expect(reader.totals([runs.first], false)).toBe(null);
});
