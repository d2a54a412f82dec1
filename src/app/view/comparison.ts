import { type Cell, cellsOf } from "../../export/renderer.ts";
import { datasetRows, type TaskRow } from "../../store/runs/dataset-rows.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import { inputAt } from "../../store/view/inputs.ts";
import type { ComparedPair, Comparison } from "../../view/rows.ts";
import { differenceOf } from "../diff/difference.ts";
import type { Partners } from "./partners.ts";
import { GRID_CHARACTERS, shownText } from "./shown-text.ts";
import type { Slice } from "./slice.ts";

/** The most pairs in one answer. */
const MOST_PAIRS = 100;

/**
 * Compares the next inputs of a run with those of another, as many as the slice has time for. Keeps the pairs that differ
 * most. @throws SliceOver when the ids of the runs have not all been read yet
 */
export function comparisonOf(
  store: Store,
  [a, b]: [RunRow, RunRow],
  after: number,
  partners: Partners,
  slice: Slice,
): Comparison {
  const comparison = { pairs: [] as ComparedPair[], identical: 0, compared: 0 };
  let looked = 0;
  for (const task of tasksOf(store, a, after + 1)) {
    const place = inputAt(store, a.id, task.position);
    const position = place ? partners.find(a, place, b, slice) : null;
    const [other] = position === null ? [] : firstOf(tasksOf(store, b, position));
    if (other) compareTasks(comparison, [a, task], [b, other]);
    looked += 1;
    if (comparison.pairs.length >= 2 * MOST_PAIRS) comparison.pairs = mostDifferent(comparison.pairs);
    if (slice.isOver()) return { ...comparison, pairs: mostDifferent(comparison.pairs), next: task.position, looked };
  }
  return { ...comparison, pairs: mostDifferent(comparison.pairs), next: null, looked };
}

function tasksOf(store: Store, { id, config }: RunRow, from: number): Generator<TaskRow> {
  return datasetRows(store, id, { tags: config.model_config.reasoning_tags, from });
}

function firstOf<T>(values: Iterable<T>): T[] {
  for (const value of values) return [value];
  return [];
}

function mostDifferent(pairs: readonly ComparedPair[]): ComparedPair[] {
  return pairs.toSorted((one, other) => other.difference - one.difference).slice(0, MOST_PAIRS);
}

function compareTasks(
  comparison: Pick<Comparison, "pairs" | "identical" | "compared">,
  [a, taskA]: [RunRow, TaskRow],
  [b, taskB]: [RunRow, TaskRow],
): void {
  const others = new Map(responsesOf(b, taskB).map(({ key, response }) => [key, response]));
  for (const { key, response, condition, replicate } of responsesOf(a, taskA)) {
    const other = others.get(key);
    if (other === undefined) continue;
    comparison.compared += 1;
    if (other === response) {
      comparison.identical += 1;
      continue;
    }
    comparison.pairs.push({
      condition,
      replicate,
      positionA: taskA.position,
      positionB: taskB.position,
      difference: differenceOf(response, other),
      a: shownText(response, GRID_CHARACTERS),
      b: shownText(other, GRID_CHARACTERS),
    });
  }
}

/** The responses to an input, with what they are matched by. */
function responsesOf(
  run: RunRow,
  task: TaskRow,
): (Pick<Cell, "condition" | "replicate"> & { key: string; response: string })[] {
  return cellsOf(run, task).flatMap(({ strategy, condition, replicate, response }) =>
    strategy === null || response === null
      ? []
      : [{ key: `${replicate} ${condition}`, condition, replicate, response }],
  );
}
