import { hash } from "node:crypto";
import type { Config } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { type Checker, createChecker } from "./checker.ts";
import { topLevel } from "./columns.ts";
import { charactersOf, type FieldReader, type Fields, fieldReader, type UsedValues } from "./fields.ts";
import { type FileChunk, type FileRead, nameOfInputs, type OpenFiles, openFiles } from "./input-files.ts";
import { Sampler } from "./sample.ts";
import type { SourceRow } from "./source.ts";
import { Tally } from "./tally.ts";
import { type Where, whereOf } from "./where.ts";

type DataConfig = Config["data_config"];

/** One input of a run. */
export interface Input extends Fields {
  /** Its position in the sample, from 0: the row of the file, unless the config draws or leaves out rows. */
  index: number;
}

/** The files of a config after they were read to their end. */
export interface InputsRead {
  /** The SHA-256 of the file's bytes, in hex; of several files, of the list of theirs. */
  sha256: string;
  /** Each of the files. */
  files: readonly FileRead[];
  /** How many rows there are to choose from: all, or those that `where` takes; null if the rest is broken. */
  rows: number | null;
  /** False if the default column of ids cannot be used; then read again with `withIds: false`. */
  hasIds: boolean;
}

export interface ReadInputsOptions {
  /** Whether to use the ids of the default column, `id`. Default: true. */
  withIds?: boolean;
  /** What prompts use of the rows besides the inputs. */
  used?: UsedValues;
  onWarning?: (message: string) => void;
}

/**
 * The inputs that a config chooses from its files, in chunks. Files are read as a stream to their end. Rows after the last
 * chosen one are counted, but not checked, unless a sample is drawn.
 * @throws UsageError that names the bad rows by their index
 */
export async function* readInputs(
  data: DataConfig,
  { withIds = true, used = { columns: [], reference: false }, onWarning = () => {} }: ReadInputsOptions = {},
): AsyncGenerator<Input[], InputsRead> {
  const begin = (isWithIds: boolean, warn = onWarning) => createReading(data, isWithIds, used, warn);
  if (data.shuffle !== true) return yield* firstInputs(begin(withIds), data);
  const drawn = await drawInputs(begin(withIds), data);
  // Without ids, another sample is drawn.
  const isDrawn = drawn.read.hasIds || !withIds;
  const { sample, read } = isDrawn
    ? drawn
    : await drawInputs(
        begin(false, () => {}),
        data,
      );
  const again = () => begin(read.hasIds, () => {});
  yield* sample.rows === null ? readAgain(again(), data, sample.ordinals, read) : inOrder(sample.ordinals, sample.rows);
  return isDrawn ? read : { ...read, hasIds: false };
}

/** One way through the files of a config. */
interface Reading {
  files: OpenFiles;
  where: Where;
  fields: FieldReader;
  checker: Checker;
}

function createReading(
  data: DataConfig,
  withIds: boolean,
  used: UsedValues,
  onWarning: (message: string) => void,
): Reading {
  const where = whereOf(data.where);
  const fields = fieldReader(data.fields, where.names, withIds, used);
  const files = openFiles(data, { columns: topLevel(fields.names), onWarning });
  return { files, where, fields, checker: createChecker(data, fields, where, onWarning) };
}

/** The rows of the files that `where` takes, with their place for errors. */
async function* candidates({
  files,
  where,
  fields,
}: Reading): AsyncGenerator<{ chunk: FileChunk; rows: readonly SourceRow[] }> {
  let begun: string | null = null;
  const isAll = where.names.length === 0;
  for await (const chunk of files.chunks()) {
    if (chunk.path !== begun) fields.begin(chunk.path, chunk.columns);
    begun = chunk.path;
    // What is wrong with a row hides whether it is wanted.
    const rows = isAll ? chunk.rows : chunk.rows.filter((row) => "problem" in row || where.matches(row.row));
    yield { chunk, rows };
  }
}

async function* firstInputs(reading: Reading, data: DataConfig): AsyncGenerator<Input[], InputsRead> {
  const { files, where, checker } = reading;
  const { offset = 0, sample_size: size } = data;
  const last = offset + size;
  let seen = 0;
  let isWhole = true;
  try {
    for await (const { chunk, rows } of candidates(reading)) {
      const inputs: Input[] = [];
      for (const row of rows) {
        if (seen >= offset && seen < last && !checker.isFull()) {
          const fields = checker.check(chunk.path, row);
          if (fields !== null) inputs.push({ index: seen - offset, ...fields });
        }
        seen += 1;
      }
      if (inputs.length > 0 && !checker.hasBad()) yield inputs;
      if (checker.isFull()) break;
      isWhole = seen < last || where.names.length > 0;
      if (!isWhole) break;
    }
    checker.end(isWhole ? seen : Math.min(seen, last), isWhole);
    const { rest, sha256, read } = await files.finish();
    return { sha256, files: read, rows: rest === null ? null : seen + rest, hasIds: checker.hasIds() };
  } finally {
    await files.close();
  }
}

type Sample = ReturnType<Sampler<Fields>["drawn"]>;

/** Draws a sample in one pass: the rows with the smallest hashes of the seed and of what they are. */
async function drawInputs(reading: Reading, data: DataConfig): Promise<{ sample: Sample; read: InputsRead }> {
  const { files, checker } = reading;
  const { offset = 0, sample_size: size, seed = 0 } = data;
  const sampler = new Sampler<Fields>(offset + size, charactersOf);
  const tally = new Tally();
  let seen = 0;
  try {
    for await (const { chunk, rows } of candidates(reading)) {
      for (const row of rows) {
        const fields = checker.isFull() ? null : checker.check(chunk.path, row);
        if (fields !== null && !checker.hasBad()) sampler.add(orderOf(fields, seed, tally), seen, fields);
        seen += 1;
      }
      if (checker.isFull()) break;
    }
    checker.end(seen, true);
    const { sha256, read } = await files.finish();
    const sample = sampler.drawn();
    const chosen = { ...sample, ordinals: sample.ordinals.slice(offset) };
    return { sample: chosen, read: { sha256, files: read, rows: seen, hasIds: checker.hasIds() } };
  } finally {
    await files.close();
  }
}

/** The drawn rows in the order of the sample. */
function* inOrder(ordinals: readonly number[], rows: ReadonlyMap<number, Fields>): Generator<Input[]> {
  const inputs: Input[] = [];
  for (const [index, ordinal] of ordinals.entries()) {
    const fields = rows.get(ordinal);
    if (fields) inputs.push({ index, ...fields });
  }
  yield inputs;
}

/**
 * The drawn rows in the order of the files, for samples that do not fit in memory.
 * @throws UsageError when the files have changed
 */
async function* readAgain(
  reading: Reading,
  data: DataConfig,
  ordinals: readonly number[],
  read: InputsRead,
): AsyncGenerator<Input[]> {
  const positions = new Map(ordinals.map((ordinal, index) => [ordinal, index]));
  let seen = 0;
  try {
    for await (const { chunk, rows } of candidates(reading)) {
      const inputs: Input[] = [];
      for (const row of rows) {
        const index = positions.get(seen);
        const fields = index === undefined ? null : reading.checker.check(chunk.path, row);
        if (index !== undefined && fields !== null) inputs.push({ index, ...fields });
        seen += 1;
      }
      if (inputs.length > 0) yield inputs;
    }
    const { sha256 } = await reading.files.finish();
    if (sha256 !== read.sha256) throw changed(data);
  } finally {
    await reading.files.close();
  }
}

/** @internal */
export function changed(data: DataConfig): UsageError {
  return new UsageError(`${nameOfInputs(data)} changed while it was read`, "Run again once nothing writes to it.");
}

/**
 * The place of a row in the order of all samples of a seed, as a number of 48 bits. It depends on the seed and on what the
 * row is: its id, or its text and which occurrence of the text it is.
 */
function orderOf({ id, text }: Fields, seed: number, tally: Tally): number {
  const digestOf = (kind: string, what: string) => hash("sha256", `${seed}\0${kind}\0${what}`, "buffer");
  if (id !== null) return digestOf("id", String(id)).readUIntBE(0, 6);
  const digest = digestOf("text", text);
  const occurrence = tally.add(digest);
  return (occurrence === 1 ? digest : digestOf(`text ${occurrence}`, text)).readUIntBE(0, 6);
}
