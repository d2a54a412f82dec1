import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, errorMessage, UsageError } from "../errors.ts";
import { type Element, elementsOf } from "./elements.ts";

/** One input of a run: a row of an input file. */
export interface Input {
  /** Position in the file, from 0. */
  index: number;
  text: string;
  reference: string | null;
}

/** So many bad rows are named; a file with more has one mistake in its making. */
const MOST_BAD_ROWS = 20;

/**
 * The first `limit` inputs of a file that is a JSON array of `{input, reference?}`, or JSON Lines of the same. The file
 * is read as a stream to its end; the generator returns the SHA-256 of its bytes, in hex.
 * @throws UsageError that names the bad rows by their index, up to {@link MOST_BAD_ROWS} of them
 */
export async function* readInputs(path: string, limit: number): AsyncGenerator<Input, string> {
  await checkFile(path);
  const stream = createReadStream(path, { highWaterMark: 1 << 18 });
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const hash = createHash("sha256");
  const bad: string[] = [];
  let index = 0;
  try {
    for await (const element of elementsOf(decoded(chunks, hash, path), path)) {
      const input = toInput(element, index);
      index += 1;
      if (typeof input === "string") bad.push(input);
      else if (bad.length === 0) yield input;
      if (index === limit || bad.length === MOST_BAD_ROWS) break;
    }
    if (bad.length > 0) throw badRows(path, bad);
    if (index === 0) throw new UsageError(`${path} has no rows`, "It needs at least one {input, reference?}.");
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) hash.update(next.value);
    return hash.digest("hex");
  } finally {
    stream.destroy();
  }
}

async function checkFile(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (error) {
    if (errorCode(error) === "ENOENT") {
      throw new UsageError(
        `there is no input file ${path}`,
        "data_config.input_data_path is relative to the folder that datagen runs in.",
      );
    }
    throw new UsageError(`the input file ${path} cannot be read: ${errorMessage(error)}`, undefined, error);
  }
  throw new UsageError(
    `the input file ${path} is not a regular file`,
    "data_config.input_data_path names a JSON array or JSON Lines of {input, reference?}.",
  );
}

// Reads on where the caller stopped: `chunks` stays open, so that the rest of the file can be hashed.
async function* decoded(chunks: AsyncIterator<Buffer>, hash: Hash, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let position = 0;
  let chunk: Buffer = Buffer.alloc(0);
  try {
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      chunk = next.value;
      hash.update(next.value);
      yield decoder.decode(next.value, { stream: true });
      position += next.value.length;
    }
    yield decoder.decode();
  } catch (error) {
    if (errorCode(error) === "ERR_ENCODING_INVALID_ENCODED_DATA") {
      throw new UsageError(
        `${path} is not UTF-8 text: the byte at ${position + firstBadByte(chunk)} is none of it`,
        "Save it as UTF-8.",
      );
    }
    throw new UsageError(`the input file ${path} cannot be read: ${errorMessage(error)}`, undefined, error);
  }
}

/** The offset of the first byte that is no UTF-8, or the length of the bytes where only their end is missing. */
function firstBadByte(bytes: Buffer): number {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return good;
}

/** The input of a row, or what is wrong with it. */
function toInput({ text, line }: Element, index: number): Input | string {
  const place = `row ${index} (line ${line})`;
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    return `${place} is not valid JSON: ${text.trim() === "" ? "nothing stands there" : errorMessage(error)}`;
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
  return { index, text: input, reference };
}

function badRows(path: string, bad: string[]): UsageError {
  const more = bad.length === MOST_BAD_ROWS ? "\n  (rows after these were not looked at)" : "";
  const count = bad.length === 1 ? "1 bad row" : `${bad.length} bad rows`;
  return new UsageError(
    `${path} has ${count}:\n${bad.map((text) => `  ${text}`).join("\n")}${more}`,
    'A row is an object such as {"input": "a text", "reference": "another"}; reference may be left out.',
  );
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `the ${typeof value} ${JSON.stringify(value).slice(0, 60)}`;
}

function keysOf(row: object): string {
  const keys = Object.keys(row);
  return keys.length === 0
    ? "no keys"
    : keys
        .slice(0, 8)
        .map((key) => JSON.stringify(key))
        .join(", ");
}
