export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The members of an object; empty for any other value. */
export function member(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}
