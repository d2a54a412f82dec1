import { datasetRows, type TaskRow } from "../../store/runs/dataset-rows.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import type { GridCell, GridRow, ShownText, WholeRow } from "../../view/rows.ts";
import { ViewError } from "../../view/view-error.ts";
import { type Answer, answersOf, optionsFor } from "./cells.ts";
import { GRID_CHARACTERS, MOST_CHARACTERS, shownText } from "./shown-text.ts";
import type { Slice } from "./slice.ts";

/** The most answers in one part of a grid. */
const MOST_CELLS = 10_000;

/** All texts of a whole row together, in code points. */
const MOST_IN_ROW = 8_000_000;

/** The next rows from a position on, as many as the slice has time for, but at least one if there is any. */
export function gridRows(store: Store, run: RunRow, from: number, count: number, slice: Slice): GridRow[] {
  const rows: GridRow[] = [];
  let cells = 0;
  for (const task of datasetRows(store, run.id, { ...optionsFor(run), from })) {
    rows.push(toRow(run, task, (text) => shownText(text, GRID_CHARACTERS)));
    cells += task.cells.length;
    if (rows.length >= count || cells >= MOST_CELLS || slice.isOver()) break;
  }
  return rows;
}

/** An input with whole texts. @throws ViewError when the run has no input at the position */
export function wholeRow(store: Store, run: RunRow, position: number): WholeRow {
  return wholeRowOf(run, taskAt(store, run, position));
}

/** @param task read with {@link optionsFor} */
export function wholeRowOf(run: RunRow, task: TaskRow): WholeRow {
  let left = MOST_IN_ROW;
  return toRow(run, task, (text) => {
    const shown = shownText(text, Math.max(GRID_CHARACTERS, Math.min(MOST_CHARACTERS, left)));
    left -= shown.text.length;
    return shown;
  });
}

/** @throws ViewError when the run has no input at the position */
export function taskAt(store: Store, run: RunRow, position: number): TaskRow {
  for (const task of datasetRows(store, run.id, { ...optionsFor(run), from: position })) {
    if (task.position === position) return task;
    break;
  }
  throw new ViewError(404, `run ${run.publicId} has no input ${position}`, "Inputs count from 0.");
}

function toRow(run: RunRow, task: TaskRow, shown: (text: string) => ShownText): GridRow {
  const { position, id, input, reference } = task;
  const cells: GridCell[][] = run.config.agent_perspectives.map(() => []);
  const row = { position, id, input: shown(input), reference: reference === null ? null : shown(reference), cells };
  for (const answer of answersOf(run, task)) cells[answer.condition]?.push(toCell(answer, shown));
  return row;
}

function toCell(answer: Answer, shown: (text: string) => ShownText): GridCell {
  const { state, failure, isTruncated, isReused, isImported, response } = answer;
  return {
    state,
    failure,
    isTruncated,
    isReused,
    isImported,
    response: response === null ? null : shown(response),
  };
}
