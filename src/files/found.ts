/** How many bad rows to name. With more, one mistake is usually behind all of them. */
export const MOST_BAD_ROWS = 20;

/** The kind of a value of a row, for an error. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Uint8Array) return "binary data";
  if (typeof value === "bigint") return `the number ${value}`;
  return typeof value === "object" ? "an object" : `the ${typeof value} ${JSON.stringify(value).slice(0, 60)}`;
}

/** The first names of an object's members, for an error. */
export function keysOf(row: object): string {
  const keys = Object.keys(row);
  return keys.length === 0
    ? "no keys"
    : keys
        .slice(0, 8)
        .map((key) => JSON.stringify(key))
        .join(", ");
}
