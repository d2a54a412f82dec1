import { isTooDeep, TOO_DEEP } from "../../files/depth.ts";
import type { Row } from "../../sources/source.ts";

/** What the values of one column are like. */
export interface ColumnProfile {
  /** Its name; for a member of an object the path to it, such as `translation.de`. */
  name: string;
  /** As the file states it; else the kinds of its values, such as `text` or `text or number`. */
  type: string;
  /** How many rows have a value that is neither null nor blank. */
  filled: number;
  /** The first of the rows that can be read without such a value, from 0 over all files; null if every row has one. */
  first_missing: number | null;
  /** The mean length of its texts, in characters; null if it has none. */
  mean_characters: number | null;
  longest_characters: number | null;
  /** How the first values begin; what is no text is JSON. */
  examples: string[];
}

/** More columns are not shown: a file of dictionaries may have a new one in each row. */
const MOST_COLUMNS = 500;

/** Members of deeper objects are not shown one by one. */
const MOST_DEPTH = 6;

const MOST_EXAMPLES = 3;
const EXAMPLE_LENGTH = 200;

interface Profile {
  kinds: Set<string>;
  filled: number;
  /** How many rows have a value, from the first row to the first without one. */
  filledFromStart: number;
  texts: number;
  characters: number;
  longest: number;
  examples: string[];
}

export interface Profiler {
  add(row: Row): void;
  /** The columns in the order in which they appeared. @param types the stated types by column */
  profiles(types: ReadonlyMap<string, string>): ColumnProfile[];
  /** Whether all values of a column are texts. */
  isText(name: string): boolean;
  /** Whether there are more columns than those shown. */
  hasMore(): boolean;
}

/** Collects what rows have in common, in memory that does not grow with their number. */
export function createProfiler(): Profiler {
  const columns = new Map<string, Profile>();
  let rows = 0;
  let isFull = false;

  function profileOf(name: string): Profile | null {
    const known = columns.get(name);
    if (known) return known;
    if (columns.size === MOST_COLUMNS) {
      isFull = true;
      return null;
    }
    const profile: Profile = {
      kinds: new Set(),
      filled: 0,
      filledFromStart: 0,
      texts: 0,
      characters: 0,
      longest: 0,
      examples: [],
    };
    columns.set(name, profile);
    return profile;
  }

  function addMembers(row: Row, members: object, prefix: string, depth: number): void {
    for (const [key, value] of Object.entries(members)) {
      const name = prefix + key;
      // A column that has the whole name hides the member of an object.
      if (depth > 1 && Object.hasOwn(row, name)) continue;
      if (isObject(value) && depth < MOST_DEPTH) addMembers(row, value, `${name}.`, depth + 1);
      else addValue(profileOf(name), value);
    }
  }

  function addValue(profile: Profile | null, value: unknown): void {
    if (profile === null || value === null || value === undefined) return;
    profile.kinds.add(kindOf(value));
    if (typeof value === "string") {
      profile.texts += 1;
      profile.characters += value.length;
      profile.longest = Math.max(profile.longest, value.length);
      if (value.trim() === "") return;
    }
    profile.filled += 1;
    if (profile.filledFromStart === rows) profile.filledFromStart += 1;
    if (profile.examples.length < MOST_EXAMPLES) profile.examples.push(exampleOf(value));
  }

  return {
    add(row) {
      addMembers(row, row, "", 1);
      rows += 1;
    },
    profiles: (types) =>
      [...columns].map(([name, { kinds, filled, filledFromStart, texts, characters, longest, examples }]) => ({
        name,
        type: types.get(name) ?? ([...kinds].join(" or ") || "null"),
        filled,
        first_missing: filled === rows ? null : filledFromStart,
        mean_characters: texts === 0 ? null : Math.round(characters / texts),
        longest_characters: texts === 0 ? null : longest,
        examples,
      })),
    isText(name) {
      const kinds = columns.get(name)?.kinds;
      return kinds?.size === 1 && kinds.has(TEXT);
    },
    hasMore: () => isFull,
  };
}

const TEXT = "text";

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function kindOf(value: unknown): string {
  if (typeof value === "string") return TEXT;
  if (typeof value === "boolean") return "true or false";
  if (Array.isArray(value)) return "list";
  if (value instanceof Uint8Array) return "binary data";
  return typeof value === "object" ? "object" : "number";
}

function exampleOf(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (isTooDeep(value)) return TOO_DEEP;
  const text = typeof value === "string" || typeof value === "bigint" ? String(value) : JSON.stringify(value, asJson);
  if (text.length <= EXAMPLE_LENGTH) return text;
  // A copy: a slice would keep the whole text in memory.
  return `${Buffer.from(text.slice(0, EXAMPLE_LENGTH - 1), "utf16le").toString("utf16le")}…`;
}

function asJson(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
