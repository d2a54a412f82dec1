import type { ViewedRun } from "../rows.ts";

/** The sizes of the grid, in pixels. */
export interface GridLayout {
  /** The column of inputs, which stays in sight. */
  input: number;
  /** The column of references; 0 if there are none. */
  reference: number;
  /** The column that names the conditions that match; 0 if there is no filter. */
  matches: number;
  isReferenceSticky: boolean;
  column: number;
  row: number;
  /** How many lines of an answer are shown. */
  lines: number;
  header: number;
  hasKinds: boolean;
}

/** As in app.css. */
const LINE = 18;
const MARKS = 22;
const PADDING = 8;
const HEADER_LINE = 38;
const KINDS_LINE = 24;

export function layoutOf(viewed: ViewedRun, width: number, isFiltered: boolean): GridLayout {
  const { conditions, replicates, hasReferences } = viewed;
  const isNarrow = width < 640;
  const input = isNarrow ? 104 : width < 1500 ? 190 : 260;
  const reference = hasReferences ? (isNarrow ? 132 : input) : 0;
  const isReferenceSticky = width >= 1000;
  const free = width - input - (isReferenceSticky ? reference : 0);
  const [least, most] = isNarrow ? [200, 420] : [width < 1500 ? 208 : 236, 520];
  const fitting = Math.max(1, Math.min(conditions.length, Math.floor(free / least)));
  const column = Math.floor(Math.min(most, Math.max(least, free / fitting)));
  const lines = replicates === 1 ? 4 : 2;
  const hasKinds = conditions.some(({ kind }) => kind !== null);
  return {
    input,
    reference,
    matches: isFiltered ? (isNarrow ? 170 : 206) : 0,
    isReferenceSticky,
    column,
    row: PADDING + replicates * (6 + lines * LINE + MARKS),
    lines,
    header: HEADER_LINE + (hasKinds ? KINDS_LINE : 0),
    hasKinds,
  };
}

/** Browsers do not show elements of more than about 17 million pixels: longer grids come in parts. */
const TALLEST = 12_000_000;

export function rowsInPart({ row }: GridLayout): number {
  return Math.max(1_000, Math.floor(TALLEST / row / 1_000) * 1_000);
}

/** What of a condition's name stands under the heading of its kind. */
export function labelOf({ condition, kind }: { condition: string; kind: string | null }): string {
  if (kind === null || !condition.startsWith(kind)) return condition;
  const rest = condition.slice(kind.length).replace(/^\s*:\s*/, "");
  return rest === "" ? condition : rest;
}
