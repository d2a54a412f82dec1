import Table from "cli-table3";
import { oneLine } from "./text.ts";
import { widthOf } from "./width.ts";

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  /** What stands beneath several rows; a table in which a column has it gets a last line. */
  total?: (rows: readonly Row[]) => string;
  align?: "left" | "right";
  /** Columns with a higher rank leave first where the terminal is narrow; rank 0 never leaves. */
  rank: number;
  /** The least width that says something; the column is cut to it before any leaves. Default: never cut. */
  least?: number;
}

const GAP = 2;

/**
 * Rows as a table no wider than `width` characters: long texts are cut, then the least important columns leave.
 */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  const isTotalled = rows.length > 1 && columns.some(({ total }) => total);
  const cells = columns.map(({ value, total }) => [
    ...rows.map((row) => oneLine(value(row))),
    ...(isTotalled ? [total?.(rows) ?? ""] : []),
  ]);
  const natural = columns.map(({ title }, at) =>
    Math.max(...[title, ...(cells[at] ?? [])].map((text) => widthOf(text))),
  );
  const least = columns.map((column, at) => Math.min(natural[at] ?? 0, column.least ?? Number.POSITIVE_INFINITY));
  const shown = new Set(columns.keys());
  const sum = (widths: number[]) => [...shown].reduce((total, at) => total + (widths[at] ?? 0) + GAP, -GAP);
  while (sum(least) > width) {
    const leaving = [...shown].toSorted((a, b) => (columns[b]?.rank ?? 0) - (columns[a]?.rank ?? 0))[0];
    if (leaving === undefined || columns[leaving]?.rank === 0) break;
    shown.delete(leaving);
  }
  let spare = Math.max(0, width - sum(least));
  const widths = natural.map((wanted, at) => {
    const given = Math.min(wanted, (least[at] ?? 0) + (shown.has(at) ? spare : 0));
    if (shown.has(at)) spare -= given - (least[at] ?? 0);
    return given;
  });
  const kept = [...shown].toSorted((a, b) => a - b);
  const table = new Table({
    head: kept.map((at) => columns[at]?.title ?? ""),
    colAligns: kept.map((at) => columns[at]?.align ?? "left"),
    chars: NO_LINES,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  for (let row = 0; row < rows.length + (isTotalled ? 1 : 0); row += 1) {
    table.push(kept.map((at) => cut(cells[at]?.[row] ?? "", widths[at] ?? 0)));
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
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

/** A text that is no wider than `width`, with a mark where it was cut. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  for (const { segment } of new Intl.Segmenter("en").segment(text)) {
    if (widthOf(kept + segment) > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}
