import type { Row } from "./source.ts";

/**
 * The value of a column; undefined if the row has none. A name with dots leads into objects, unless a column has the
 * whole name.
 */
export function valueAt(row: Row, name: string): unknown {
  if (Object.hasOwn(row, name)) return row[name];
  if (!name.includes(".")) return undefined;
  let value: unknown = row;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !isMember(value, part)) return undefined;
    value = (value as Row)[part];
  }
  return value;
}

/** Whether a file can have put it there, unlike the length of an array. */
function isMember(value: object, name: string): boolean {
  return Object.prototype.propertyIsEnumerable.call(value, name);
}

/** The columns at the top level that may hold the named ones. */
export function topLevel(names: readonly string[]): string[] {
  return [...new Set(names.flatMap((name) => [name, name.split(".", 1)[0] ?? name]))];
}
