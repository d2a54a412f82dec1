/**
 * A sum of whole numbers in SQL, at most the largest that JavaScript has exactly. SQLite's own `sum` fails beyond 64 bits,
 * which the token counts of a server that makes them up can reach.
 */
export function wholeSumOf(expression: string): string {
  return `cast(${counted(`total(${expression})`)} as integer)`;
}

/** What is counted of a number: beyond this one no sum is exact. */
export function counted(expression: string): string {
  return `min(${expression}, ${Number.MAX_SAFE_INTEGER})`;
}
