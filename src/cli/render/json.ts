import { printableJson } from "./text.ts";

/** A JSON array, indented by two spaces as `JSON.stringify` does, in pieces of one element each. */
export function* jsonLines(members: Iterable<unknown>): Generator<string> {
  let before: string | undefined;
  for (const member of members) {
    yield before === undefined ? "[" : `${before},`;
    before = printableJson(JSON.stringify(member, null, 2)).replaceAll(/^/gm, "  ");
  }
  if (before === undefined) yield "[]";
  else yield* [before, "]"];
}

/** JSON Lines: a line for each value. */
export function* compactLines(values: Iterable<unknown>): Generator<string> {
  for (const value of values) yield printableJson(JSON.stringify(value));
}
