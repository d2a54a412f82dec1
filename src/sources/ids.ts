/** The most characters of an id. */
const LONGEST_ID = 1_000;

/** What an id may be, for errors. */
export const AN_ID = `a text of 1 to ${LONGEST_ID} characters or a whole number`;

/** Whether a value can be the id of an input. */
export function isId(value: unknown): value is string | number {
  if (typeof value === "number") return Number.isSafeInteger(value);
  return typeof value === "string" && value !== "" && value.length <= LONGEST_ID && value.isWellFormed();
}
