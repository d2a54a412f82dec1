import { UsageError } from "../errors.ts";
import { cellsOf, CsvCutter, type CsvRow } from "./csv-rows.ts";

/** The separators that a CSV file may have, the usual one first. */
const SEPARATORS = [",", ";", "\t"] as const;

/** How many rows to look at. */
const MOST_ROWS = 50;

/**
 * The separator of a CSV file by its first rows: the one that cuts most of them into as many cells as the header, and of
 * several such the one that makes most cells. If none is in the header, the file has a single column.
 * @param isWhole whether it is the whole file
 */
export function separatorOf(begin: string, isWhole: boolean): string {
  let best: { separator: string; fit: number; width: number } = { separator: SEPARATORS[0], fit: 0, width: 1 };
  for (const separator of SEPARATORS) {
    const [width = 0, ...others] = firstRows(begin, isWhole, separator).map((row) => widthOf(row, separator));
    if (width < 2) continue;
    const fit = 1 + others.filter((other) => other === width).length;
    if (fit > best.fit || (fit === best.fit && width > best.width)) best = { separator, fit, width };
  }
  return best.separator;
}

/** How many cells a row has; 0 if there is a problem. */
function widthOf(row: CsvRow, separator: string): number {
  return row.problem === null ? cellsOf(row, separator).length : 0;
}

function firstRows(begin: string, isWhole: boolean, separator: string): CsvRow[] {
  const cutter = new CsvCutter("", separator);
  const rows = cutter.cut(begin);
  if (isWhole) rows.push(...lastRows(cutter));
  return rows.slice(0, MOST_ROWS);
}

/** An open quote is an error of the file only if the separator is the right one. */
function lastRows(cutter: CsvCutter): CsvRow[] {
  try {
    return cutter.end();
  } catch (error) {
    if (error instanceof UsageError) return [];
    throw error;
  }
}
