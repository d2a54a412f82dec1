import Table from "cli-table3";
import { oneLine } from "./text.ts";
import { widthOf } from "./width.ts";

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  align?: "left" | "right";
  /** On a narrow terminal, columns with the highest rank are left out first; rank 0 always stays. */
  rank: number;
  /** The least useful width; the column is cut to it before any column is left out. Default: never cut. */
  least?: number;
}

const GAP = 2;

/**
 * Rows as the lines of a table no wider than `width` characters: long texts are cut, then the least important columns
 * are left out.
 * @param rows read twice, first for the widths; they need not be in memory
 * @param totals the cells of a last line, by column
 */
export function* tableLines<Row>(
  columns: readonly Column<Row>[],
  rows: Iterable<Row>,
  width: number,
  totals: readonly string[] | null = null,
): Generator<string> {
  const natural = columns.map(({ title }, at) => Math.max(widthOf(title), widthOf(totals?.[at] ?? "")));
  for (const row of rows) {
    for (const [at, { value }] of columns.entries()) {
      natural[at] = Math.max(natural[at] ?? 0, widthOf(oneLine(value(row))));
    }
  }
  const shown = fit(columns, natural, width);
  const cellsOf = (text: (column: Column<Row>, at: number) => string) =>
    shown.map(({ at, width: own }) => cut(text(columns[at] as Column<Row>, at), own));
  const page = [cellsOf(({ title }) => title)];
  const lines = () => laidOut(page.splice(0), columns, shown);
  for (const row of rows) {
    page.push(cellsOf(({ value }) => oneLine(value(row))));
    if (page.length === PAGE_ROWS) yield* lines();
  }
  if (totals) page.push(cellsOf((_, at) => totals[at] ?? ""));
  yield* lines();
}

/** The lines of a table as {@link tableLines} makes them, or one line that says that there are no rows. */
export function* linesOrNone<Row>(
  none: string,
  columns: readonly Column<Row>[],
  rows: Iterable<Row>,
  width: number,
): Generator<string> {
  if (isEmpty(rows)) yield none;
  else yield* tableLines(columns, rows, width);
}

/** Leaving the loop ends the iteration, and with it the reading of the database. */
function isEmpty(list: Iterable<unknown>): boolean {
  for (const _ of list) return false;
  return true;
}

/** How many rows to lay out at a time. The time for one layout grows with the square of its rows. */
const PAGE_ROWS = 100;

/** @param rows the cells of the shown columns, none wider than its column */
function laidOut<Row>(rows: readonly string[][], columns: readonly Column<Row>[], shown: readonly Shown[]): string[] {
  if (rows.length === 0) return [];
  const table = new Table({
    colAligns: shown.map(({ at }) => columns[at]?.align ?? "left"),
    colWidths: shown.map(({ width }) => width),
    chars: NO_LINES,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  table.push(...rows);
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

const NO_LINES = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: " ".repeat(GAP),
};

/** A table as one text. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  return [...tableLines(columns, rows, width)].join("\n");
}

/** The position of a shown column, and its width. */
interface Shown {
  at: number;
  width: number;
}

/** Chooses the columns to show, and their widths. */
function fit<Row>(columns: readonly Column<Row>[], natural: readonly number[], width: number): Shown[] {
  const least = columns.map((column, at) => Math.min(natural[at] ?? 0, column.least ?? Number.POSITIVE_INFINITY));
  const shown = new Set(columns.keys());
  const sum = (widths: number[]) => [...shown].reduce((total, at) => total + (widths[at] ?? 0) + GAP, -GAP);
  while (sum(least) > width) {
    const leaving = [...shown].toSorted((a, b) => (columns[b]?.rank ?? 0) - (columns[a]?.rank ?? 0))[0];
    if (leaving === undefined || columns[leaving]?.rank === 0) break;
    shown.delete(leaving);
  }
  let spare = Math.max(0, width - sum(least));
  return [...shown]
    .toSorted((a, b) => a - b)
    .map((at) => {
      const given = Math.min(natural[at] ?? 0, (least[at] ?? 0) + spare);
      spare -= given - (least[at] ?? 0);
      return { at, width: given };
    });
}

/** A text cut to `width`, with a mark where it was cut. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  for (const { segment } of new Intl.Segmenter("en").segment(text)) {
    if (widthOf(kept + segment) > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}
