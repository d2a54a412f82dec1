/** Objects and arrays in each other: more is a mistake, or meant to break what reads it. */
export const MOST_DEPTH = 100;

/** Whether a JSON value has objects and arrays nested deeper than {@link MOST_DEPTH}, or goes round in a circle. */
export function isTooDeep(value: unknown, left = MOST_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return left === 0 || Object.values(value).some((member) => isTooDeep(member, left - 1));
}

export const TOO_DEEP = `objects and arrays are nested more than ${MOST_DEPTH} deep`;
