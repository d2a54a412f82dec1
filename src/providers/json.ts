/*
 * Reads JSON from servers, which is not trusted: a value of the wrong type counts as absent.
 */

export type Json = Record<string, unknown>;

const BYTE_ORDER_MARK = "\uFEFF";

/** The value of a JSON text, or undefined if it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

/** A string, or a number as one; null for anything else. */
export function asText(value: unknown): string | null {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : null;
}

export function asCount(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** How much of a value a message shows: its depth, the members of each object, the characters of each string. */
const SHOWN = { depth: 5, members: 20, characters: 4_000 };

/** A value as JSON for a message. The value may have any depth and size; only its beginning is shown. */
export function shown(value: unknown): string {
  return JSON.stringify(beginningOf(value, SHOWN.depth)) ?? String(value);
}

function beginningOf(value: unknown, depth: number): unknown {
  if (typeof value === "string") {
    return value.length > SHOWN.characters ? `${value.slice(0, SHOWN.characters)}...` : value;
  }
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) return "...";
  if (Array.isArray(value)) return value.slice(0, SHOWN.members).map((item) => beginningOf(item, depth - 1));
  const members: [string, unknown][] = [];
  for (const name in value) {
    if (members.length === SHOWN.members) break;
    members.push([name.slice(0, SHOWN.characters), beginningOf((value as Json)[name], depth - 1)]);
  }
  return Object.fromEntries(members);
}
