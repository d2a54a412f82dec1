/** Whole numbers with more digits are nobody's ids, and take long to read. */
const MOST_DIGITS = 1_000;

/** Whether a value has numbers, at any depth, that may have lost digits. */
export function hasInexactNumbers(value: object): boolean {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === "number" && Math.abs(next) > Number.MAX_SAFE_INTEGER) return true;
    if (typeof next !== "object" || next === null) continue;
    for (const member of Object.values(next)) if (typeof member !== "string") open.push(member);
  }
  return false;
}

/** The value of a JSON text, in which whole numbers keep all their digits, as those of Parquet do. */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, exactNumber as Reviver);
}

type Reviver = (key: string, value: unknown) => unknown;

function exactNumber(_: string, value: unknown, { source = "" }: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || source.length > MOST_DIGITS) return value;
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}
