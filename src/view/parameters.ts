import type { Filter, State } from "./rows.ts";
import { ViewError } from "./view-error.ts";

/** The longest text of a filter, in UTF-16 code units. */
const LONGEST_TEXT = 1_000;

const STATES: readonly State[] = ["succeeded", "failed", "pending"];

/** The parameters of a request, each at most once. @throws ViewError for other names, and for a name that stands twice */
export function parametersOf(url: string, names: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of new URL(url).searchParams) {
    if (!names.includes(name)) throw wrong(`there is no parameter ${quoted(name)}`);
    if (found.has(name)) throw wrong(`the parameter ${name} stands twice`);
    found.set(name, value);
  }
  return found;
}

/** A whole number in a range. @param text as it was sent */
export function whole(name: string, text: string | undefined, [from, to]: [number, number], missing?: number): number {
  if (text === undefined && missing !== undefined) return missing;
  const value = text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw wrong(
    `${name}: expected a whole number from ${from} to ${to}, found ${text === undefined ? "none" : quoted(text)}`,
  );
}

/** The names of a filter's members. */
export const FILTER_NAMES = [
  "state",
  "reason",
  "truncated",
  "reused",
  "condition",
  "lengthFrom",
  "lengthTo",
  "latencyFrom",
  "latencyTo",
  "costFrom",
  "costTo",
  "equal",
  "text",
] as const satisfies (keyof Filter)[];

/** @throws ViewError where a member is wrong */
export function filterOf(parameters: ReadonlyMap<string, string>): Filter {
  const given: Partial<Record<keyof Filter, unknown>> = {};
  for (const name of FILTER_NAMES) {
    const text = parameters.get(name);
    if (text !== undefined) given[name] = valueOf(name, text);
  }
  return given as Filter;
}

function valueOf(name: (typeof FILTER_NAMES)[number], text: string): unknown {
  switch (name) {
    case "state":
      return oneOf(name, text, STATES);
    case "equal":
      return oneOf(name, text, ["reference", "other"]);
    case "truncated":
    case "reused":
      return oneOf(name, text, ["1", "0"]) === "1";
    case "reason":
    case "condition":
    case "text":
      if (text !== "" && (text.length <= LONGEST_TEXT || name === "condition")) return text;
      throw wrong(`${name}: expected a text of 1 to ${LONGEST_TEXT} characters`);
    default: {
      const value = /^\d+(\.\d+)?(e[+-]?\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
      if (Number.isFinite(value)) return value;
      throw wrong(`${name}: expected a number from 0 on, found ${quoted(text)}`);
    }
  }
}

function oneOf<T extends string>(name: string, text: string, values: readonly T[]): T {
  const value = values.find((each) => each === text);
  if (value !== undefined) return value;
  throw wrong(`${name}: expected ${values.join(" or ")}, found ${quoted(text)}`);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function wrong(message: string): ViewError {
  return new ViewError(400, message);
}
