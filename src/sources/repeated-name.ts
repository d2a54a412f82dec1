import { visit } from "jsonc-parser";

const QUOTE = 0x22;

/**
 * A name that an object of a valid JSON text has twice, at any depth; null if there is none. `JSON.parse` would silently
 * take the last one.
 * @param value what the text was parsed to
 */
export function repeatedName(text: string, value: unknown): string | null {
  // No member is lost if the text has no more names than the value has members. Most rows end here.
  if (namesIn(text) === membersIn(value)) return null;
  const open: Set<string>[] = [];
  let repeated: string | null = null;
  visit(text, {
    onObjectBegin: () => {
      open.push(new Set());
    },
    onObjectProperty: (name) => {
      const names = open.at(-1);
      if (names?.has(name)) repeated ??= name;
      names?.add(name);
    },
    onObjectEnd: () => {
      open.pop();
    },
  });
  return repeated;
}

/** How many names of members a text has, or parts of texts that look like one: quotes with a colon behind them. */
function namesIn(text: string): number {
  let count = 0;
  for (let colon = text.indexOf(":"); colon !== -1; colon = text.indexOf(":", colon + 1)) {
    let before = colon - 1;
    while (text.charCodeAt(before) <= 0x20) before -= 1;
    if (text.charCodeAt(before) === QUOTE) count += 1;
  }
  return count;
}

/** How many members the objects in a value have together. */
function membersIn(value: unknown): number {
  let count = 0;
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== "object" || next === null) continue;
    const inside: unknown[] = Object.values(next);
    if (!Array.isArray(next)) count += inside.length;
    for (const member of inside) if (typeof member === "object") open.push(member);
  }
  return count;
}
