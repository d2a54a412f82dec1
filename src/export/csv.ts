import { ANSWER_COLUMNS } from "../store/answer-columns.ts";
import { flatRows, type Renderer, type RunRows, type Style } from "./renderer.ts";

/** CSV (RFC 4180) with a header line. The columns are the members of JSON Lines; null is an empty field. */
export const csv: Renderer = {
  extension: "csv",
  isJson: false,
  isFlat: true,
  load: () => Promise.resolve(render),
  isDataset({ head }, runId) {
    if (!/^\uFEFF?"?run_id"?,/.test(head)) return false;
    return runId === undefined || head.split("\n", 2)[1]?.startsWith(`${runId},`) === true;
  },
};

function* render(runs: readonly RunRows[], { csvSafe, scores }: Style): Generator<string> {
  yield `${csvSafe ? BYTE_ORDER_MARK : ""}${csvLine([...ANSWER_COLUMNS, ...scores], csvSafe)}`;
  for (const row of flatRows(runs, scores)) yield csvLine(Object.values(row), csvSafe);
}

/** Tells a spreadsheet that the text is UTF-8. */
const BYTE_ORDER_MARK = "\ufeff";

/**
 * A spreadsheet computes a cell that begins like this as a formula, which can send the content of other cells elsewhere.
 * In East Asian locales the wide signs count as well.
 */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/u;

/** A line of CSV. @param isSafe whether it must be safe in a spreadsheet */
export function csvLine(fields: readonly (string | number | null)[], isSafe: boolean): string {
  return `${fields.map((value) => field(isSafe && typeof value === "string" ? guarded(value) : value)).join(",")}\r\n`;
}

function guarded(text: string): string {
  return `${FORMULA.test(text) ? "'" : ""}${text.replaceAll("\0", "\ufffd")}`;
}

function field(value: string | number | null): string {
  if (value === null) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
