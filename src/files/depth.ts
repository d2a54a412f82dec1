/** How deep objects and arrays may be nested. Deeper nesting is a mistake, or an attack on the reader. */
export const MOST_DEPTH = 100;

/** Whether a value is nested deeper than {@link MOST_DEPTH}, or contains itself. */
export function isTooDeep(value: unknown, left = MOST_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return left === 0 || Object.values(value).some((member) => isTooDeep(member, left - 1));
}

export const TOO_DEEP = `objects and arrays are nested more than ${MOST_DEPTH} deep`;
