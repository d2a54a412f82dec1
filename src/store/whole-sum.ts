/**
 * A sum of whole numbers in SQL, limited to the largest exact number of JavaScript. SQLite's `sum` fails beyond 64 bits,
 * which invented token counts of a server can reach.
 */
export function wholeSumOf(expression: string): string {
  return `cast(${counted(`total(${expression})`)} as integer)`;
}

/** A number, limited to the largest one with which sums are exact. */
export function counted(expression: string): string {
  return `min(${expression}, ${Number.MAX_SAFE_INTEGER})`;
}
