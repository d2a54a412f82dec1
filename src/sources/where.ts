import { keysOf } from "../files/found.ts";
import { valueAt } from "./columns.ts";
import type { Row } from "./source.ts";

type Value = string | number | boolean | null;

/** How many values of a column an error shows. */
const MOST_SHOWN = 8;

/** Which rows to use: those whose columns all have one of the wanted values. */
export interface Where {
  /** The columns that are looked at. */
  names: readonly string[];
  matches(row: Row): boolean;
  /** The columns that no row had, and the keys of the first row. */
  missing(): { names: string[]; firstRow: string };
  /** Values that the rows had instead, such as `"language" has "en", "fr"`; for an error. */
  found(): string[];
}

/** Values are compared as text, because all values of CSV are text: 2020 is the same as "2020". */
export function whereOf(wanted: Readonly<Record<string, Value | Value[]>> = {}): Where {
  const columns = Object.entries(wanted).map(([name, values]) => {
    const list = Array.isArray(values) ? values : [values];
    return {
      name,
      texts: new Set(list.filter((value) => value !== null).map(String)),
      isNullWanted: list.includes(null),
      seen: new Set<string>(),
      isMissing: true,
    };
  });
  let firstRow = "";
  return {
    names: columns.map(({ name }) => name),
    matches(row) {
      if (firstRow === "" && columns.length > 0) firstRow = keysOf(row);
      let matches = true;
      for (const column of columns) {
        const { name, texts, isNullWanted, seen } = column;
        const found = valueAt(row, name);
        if (found !== undefined) column.isMissing = false;
        const value = found ?? null;
        const isWanted = value === null ? isNullWanted : isScalar(value) && texts.has(String(value));
        if (isWanted) continue;
        matches = false;
        if (seen.size < MOST_SHOWN) seen.add(shown(value));
      }
      return matches;
    },
    missing: () => ({ names: columns.filter(({ isMissing }) => isMissing).map(({ name }) => name), firstRow }),
    found: () =>
      columns.filter(({ seen }) => seen.size > 0).map(({ name, seen }) => `"${name}" has ${[...seen].join(", ")}`),
  };
}

function isScalar(value: unknown): value is string | number | bigint | boolean {
  return ["string", "number", "bigint", "boolean"].includes(typeof value);
}

function shown(value: unknown): string {
  if (value === null) return "no value";
  if (typeof value === "object") return Array.isArray(value) ? "a list" : "an object";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : isScalar(value) ? String(value) : "";
}
