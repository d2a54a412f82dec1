import { datasetRows, type TaskRow } from "../../store/runs/dataset-rows.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import { positionsInState } from "../../store/view/inputs.ts";
import type { Filter, Matches } from "../../view/rows.ts";
import { type Answer, answersOf, optionsFor } from "./cells.ts";
import { codePoints } from "./shown-text.ts";
import type { Slice } from "./slice.ts";

/** The most inputs with matches in one answer, and the most cells. */
const MOST_ROWS = 200;
const MOST_CELLS = 10_000;

/** If no more calls than this are in the state that a filter wants, only their inputs are looked at. */
const FEW_CALLS = 5_000;

/** The next inputs with cells that a filter takes. @param after the position after which to look */
export function matchesOf(store: Store, run: RunRow, filter: Filter, after: number, slice: Slice): Matches {
  const rows: Matches["rows"] = [];
  const matches = matcherOf(run, filter);
  let [looked, cells] = [0, 0];
  for (const task of candidates(store, run, filter, after)) {
    const found = matches(task);
    looked += 1;
    cells += found.length;
    if (found.length > 0) rows.push({ position: task.position, cells: found });
    if (rows.length >= MOST_ROWS || cells >= MOST_CELLS || slice.isOver()) {
      return { rows, next: task.position, looked };
    }
  }
  return { rows, next: null, looked };
}

/** The inputs that may have a match. */
function* candidates(store: Store, run: RunRow, { state, reason }: Filter, after: number): Generator<TaskRow> {
  const indexed = state === "failed" || reason !== undefined ? "failed" : state === "pending" ? "pending" : null;
  const few = indexed === null ? null : positionsInState(store, run.id, indexed, FEW_CALLS);
  const rowsFrom = (from: number) => datasetRows(store, run.id, { ...optionsFor(run), from });
  if (few === null) {
    yield* rowsFrom(after + 1);
    return;
  }
  for (const position of few.filter((each) => each > after)) {
    for (const task of rowsFrom(position)) {
      yield task;
      break;
    }
  }
}

type Matcher = (task: TaskRow) => [condition: number, replicate: number][];

function matcherOf(run: RunRow, filter: Filter): Matcher {
  const wanted = filter.text?.toLowerCase();
  const has = (text: string | null) => wanted === undefined || (text?.toLowerCase().includes(wanted) ?? false);
  const condition = run.config.agent_perspectives.map((perspective) => perspective.condition);
  return (task) => {
    const answers = answersOf(run, task);
    const isOfAll = has(task.input) || has(task.reference);
    const repeated = filter.equal === "other" ? repeatedIn(answers) : null;
    return answers
      .filter((answer) => {
        if (filter.condition !== undefined && condition[answer.condition] !== filter.condition) return false;
        if (!fits(filter, answer)) return false;
        if (filter.equal === "reference" && (answer.response === null || answer.response !== task.reference))
          return false;
        if (repeated !== null && !repeated.has(answer.response)) return false;
        return isOfAll || has(answer.response);
      })
      .map(({ condition: at, replicate }) => [at, replicate]);
  };
}

/** The texts that several answers have. */
function repeatedIn(answers: readonly Answer[]): ReadonlySet<string | null> {
  const [seen, repeated] = [new Set<string | null>([null]), new Set<string | null>()];
  for (const { response } of answers) {
    if (response !== null && seen.has(response)) repeated.add(response);
    seen.add(response);
  }
  return repeated;
}

/** Whether an answer has what a filter wants of it, besides its condition and its text. */
function fits(filter: Filter, answer: Answer): boolean {
  const { state, reason, truncated, reused } = filter;
  if (state !== undefined && answer.state !== state) return false;
  if (reason !== undefined && answer.failure !== reason) return false;
  if (truncated !== undefined && answer.isTruncated !== truncated) return false;
  if (reused !== undefined && answer.isReused !== reused) return false;
  const { lengthFrom, lengthTo, latencyFrom, latencyTo, costFrom, costTo } = filter;
  const hasLength = lengthFrom !== undefined || lengthTo !== undefined;
  if (hasLength && !isWithin(answer.response === null ? null : codePoints(answer.response), lengthFrom, lengthTo)) {
    return false;
  }
  return (
    isWithin(answer.latencyMs, latencyFrom, latencyTo) && isWithin(answer.costNanoUsd, toNano(costFrom), toNano(costTo))
  );
}

/** Whether a value is in a range; an unknown one is in none. */
function isWithin(value: number | null, from: number | undefined, to: number | undefined): boolean {
  if (from === undefined && to === undefined) return true;
  return value !== null && (from === undefined || value >= from) && (to === undefined || value < to);
}

/** Billionths of a dollar, rounded to a millionth of one, so that a border that was a whole number is one again. */
function toNano(usd: number | undefined): number | undefined {
  return usd === undefined ? undefined : Math.round(usd * 1e15) / 1e6;
}
