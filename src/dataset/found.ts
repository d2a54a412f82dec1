/** So many bad rows are named; a file with more has one mistake in its making. */
export const MOST_BAD_ROWS = 20;

/** What a JSON value is, as errors say it. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `the ${typeof value} ${JSON.stringify(value).slice(0, 60)}`;
}

/** The names of an object's members, the first of them. */
export function keysOf(row: object): string {
  const keys = Object.keys(row);
  return keys.length === 0
    ? "no keys"
    : keys
        .slice(0, 8)
        .map((key) => JSON.stringify(key))
        .join(", ");
}
