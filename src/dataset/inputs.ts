import { errorMessage, UsageError } from "../errors.ts";
import { excessOf, type FileWords, openTextFile } from "../files/text-file.ts";
import { type Element, elementsOf } from "./elements.ts";
import { keysOf, kindOf, MOST_BAD_ROWS } from "./found.ts";
import { repeatedKey } from "./pieces.ts";

/** One input of a run: a row of an input file. */
export interface Input {
  /** Position in the file, from 0. */
  index: number;
  text: string;
  reference: string | null;
}

/** The keys of a row that are read. A row may have other keys. */
const KEYS = ["input", "reference"];

const WORDS: FileWords = {
  name: "input file",
  missing: "data_config.input_data_path is relative to the current folder, or to the folder of the config.",
  irregular: "data_config.input_data_path names a JSON array or JSON Lines of {input, reference?}.",
};

/** A file of inputs that was read to its end. */
export interface InputFile {
  /** The SHA-256 of its bytes, in hex. */
  sha256: string;
  /** How many rows follow those that were read; null if the rest is not what it should be, and so not counted. */
  more: number | null;
}

/**
 * The first `limit` inputs of a file: a JSON array of `{input, reference?}`, or JSON Lines of such objects. The file is
 * read as a stream to its end; rows after the first ones are counted, but not checked.
 * @throws UsageError that names the bad rows by their index, up to {@link MOST_BAD_ROWS} of them
 */
export async function* readInputs(path: string, limit: number): AsyncGenerator<Input, InputFile> {
  const bad: string[] = [];
  let index = 0;
  const file = await openTextFile(path, WORDS, () => `in row ${index}`);
  try {
    const elements = elementsOf(file.text, path);
    for (let next = await elements.next(); !next.done; next = await elements.next()) {
      const input = toInput(next.value, index);
      index += 1;
      if (typeof input === "string") bad.push(input);
      else if (bad.length === 0) yield input;
      if (index === limit || bad.length === MOST_BAD_ROWS) break;
    }
    if (bad.length > 0) throw badRows(path, bad);
    if (index === 0) throw new UsageError(`${path} has no rows`, "It needs at least one {input, reference?}.");
    const more = await countOf(elements);
    return { sha256: await file.sha256(), more };
  } finally {
    file.close();
  }
}

async function countOf(rest: AsyncGenerator<Element>): Promise<number | null> {
  let count = 0;
  try {
    for (let next = await rest.next(); !next.done; next = await rest.next()) count += 1;
    return count;
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

/** The input of a row, or the problem of the row. */
function toInput({ text, line }: Element, index: number): Input | string {
  const place = `row ${index} (line ${line})`;
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    return `${place} is not valid JSON: ${text.trim() === "" ? "there is no value" : errorMessage(error)}`;
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    return `${place}: expected an object {input, reference?}, found ${kindOf(row)}`;
  }
  const { input, reference = null } = row as Record<string, unknown>;
  if (typeof input !== "string") {
    return input === undefined
      ? `${place} has no "input"; it has ${keysOf(row)}`
      : `${place}: expected "input" to be a string, found ${kindOf(input)}`;
  }
  if (input.trim() === "") return `${place}: "input" is empty`;
  if (reference !== null && typeof reference !== "string") {
    return `${place}: expected "reference" to be a string or null, found ${kindOf(reference)}`;
  }
  const twice = repeatedKey(text, KEYS);
  if (twice !== null) return `${place} has the key "${twice}" twice`;
  const [long, longer] = [excessOf(input), excessOf(reference ?? "")];
  if (long !== null) return `${place}: "input" has ${long}`;
  if (longer !== null) return `${place}: "reference" has ${longer}`;
  return { index, text: input, reference };
}

function badRows(path: string, bad: string[]): UsageError {
  const more = bad.length === MOST_BAD_ROWS ? "\n  (the rows after these were not checked)" : "";
  const count = bad.length === 1 ? "1 bad row" : `${bad.length} bad rows`;
  return new UsageError(
    `${path} has ${count}:\n${bad.map((text) => `  ${text}`).join("\n")}${more}`,
    'A row is an object such as {"input": "a text", "reference": "another"}; reference may be left out.',
  );
}
