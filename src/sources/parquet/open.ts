import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { UsageError } from "../../errors.ts";
import { kindOfFile } from "../../files/file-kind.ts";
import { checkFile, unreadable } from "../../files/text-file.ts";
import { INPUT_FILE } from "../input-file.ts";
import type { OpenOptions, OpenSource, Row, SourceRow } from "../source.ts";
import { checkCodec } from "./codecs.ts";
import { type ColumnReader, columnReader } from "./columns.ts";
import { BadValue, counted, Damage } from "./damage.ts";
import { type Footer, parseFooter, pathKey, type RowGroup } from "./footer.ts";
import { LeafReader } from "./leaf-reader.ts";
import { Pages, readInto } from "./pages.ts";
import { columnsOf, type Node, typeName } from "./schema.ts";
import { setOwn } from "./set-own.ts";

const MAGIC = "PAR1";
const ENCRYPTED_MAGIC = "PARE";
/** The last bytes of a file: the length of the footer, and `PAR1`. */
const TAIL_BYTES = 8;
const MOST_FOOTER_BYTES = 64_000_000;

/** The most bytes that are read ahead of what is needed, for one leaf and for all together. */
const AHEAD_BYTES = 1 << 20;
const ALL_AHEAD_BYTES = 1 << 25;

const MAKE_AGAIN = "The file is damaged. Write it or download it again.";

/** @throws UsageError */
export async function openParquet(path: string, { columns: needed }: OpenOptions): Promise<OpenSource> {
  await checkFile(path, INPUT_FILE);
  const file = await opened(path);
  try {
    const needs = (column: string) => needed?.includes(column) ?? true;
    const { footer, end } = await readFooter(file, path, needs);
    const columns = columnsOf(footer);
    checkNames(
      path,
      columns.filter(({ name }) => needs(name)),
    );
    const parquet = { path, file, end, footer, columns: columns.filter(({ name }) => needs(name)) };
    let read = 0;
    return {
      columns: columns.map((column) => ({ name: column.name, type: typeName(column) })),
      async *rows() {
        for await (const rows of rowsOf(parquet)) {
          read += rows.length;
          yield rows.map((row, at): SourceRow => ({ index: read - rows.length + at, line: null, row }));
        }
      },
      countRest: async () => footer.rows - read,
      sha256: () => hashOf(file, path),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error instanceof Damage ? broken(path, error.message) : error;
  }
}

/** An open file, of which some columns are needed. */
interface ParquetFile {
  path: string;
  file: FileHandle;
  /** Where its pages end, and its footer begins. */
  end: number;
  footer: Footer;
  columns: Node[];
}

async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path);
  } catch (error) {
    throw unreadable(path, INPUT_FILE, error);
  }
}

async function readFooter(
  file: FileHandle,
  path: string,
  needs: (column: string) => boolean,
): Promise<{ footer: Footer; end: number }> {
  const { size } = await file.stat();
  const bytesAt = async (position: number, length: number) => {
    const buffer = Buffer.allocUnsafeSlow(length);
    await readInto(buffer, file, position);
    return buffer;
  };
  const begin = await bytesAt(0, Math.min(size, 1 << 16));
  const tail = await bytesAt(Math.max(size - TAIL_BYTES, 0), Math.min(size, TAIL_BYTES));
  const isParquet = begin.toString("latin1", 0, MAGIC.length) === MAGIC;
  const ending = tail.toString("latin1", MAGIC.length);
  if (ending === ENCRYPTED_MAGIC)
    throw new UsageError(`${path} is an encrypted Parquet file`, "Write it without encryption.");
  if (!isParquet) throw notParquet(path, begin);
  if (size < MAGIC.length + TAIL_BYTES || ending !== MAGIC) {
    throw new UsageError(`${path} is cut off: it begins as a Parquet file, but does not end as one`, MAKE_AGAIN);
  }
  const length = tail.readUInt32LE(0);
  const end = size - TAIL_BYTES - length;
  if (end < MAGIC.length) {
    throw new Damage(`it claims a footer of ${counted(length)} bytes, but has ${counted(size)} bytes`);
  }
  if (length > MOST_FOOTER_BYTES) {
    throw broken(
      path,
      `it claims a footer of ${counted(length)} bytes; at most ${counted(MOST_FOOTER_BYTES)} are read`,
    );
  }
  return { footer: parseFooter(await bytesAt(end, length), needs), end };
}

function notParquet(path: string, begin: Buffer): UsageError {
  if (begin.length === 0) return new UsageError(`${path} is empty, not a Parquet file`);
  const kind = kindOfFile(begin, path);
  if (kind) return new UsageError(`${path} is ${kind.name}: ${kind.asRows}`);
  return new UsageError(
    `${path} is not a Parquet file: it begins with ${JSON.stringify(begin.toString("latin1", 0, 4))}`,
    "Is the format right? Files with rows as text are json, jsonl, csv or tsv.",
  );
}

function broken(path: string, what: string): UsageError {
  return new UsageError(`${path} is a broken Parquet file: ${what}`, MAKE_AGAIN);
}

function checkNames(path: string, columns: readonly Node[]): void {
  const names = columns.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) < at);
  if (twice !== undefined) {
    throw new UsageError(
      `${path} has two columns "${twice}"`,
      "Rename one of them, so that it is clear which to read.",
    );
  }
}

/** The rows of all row groups, in chunks that begin and end where no column has to wait for another. */
async function* rowsOf(parquet: ParquetFile): AsyncGenerator<Row[]> {
  let before = 0;
  for (const [at, group] of parquet.footer.rowGroups.entries()) {
    const readers = parquet.columns.map((column) => new GroupColumn(parquet, column, group, { at, before }));
    for (let left = group.rows; left > 0;) {
      let count = Math.min(left, 1 << 10);
      for (const reader of readers) count = Math.min(count, await reader.fill());
      const rows: Row[] = Array.from({ length: count }, () => ({}));
      for (const reader of readers) reader.giveTo(rows);
      left -= count;
      yield rows;
    }
    for (const reader of readers) await reader.checkEnd();
    before += group.rows;
  }
}

/** A column at the top level in a row group. Its functions throw UsageError. */
class GroupColumn {
  readonly #path: string;
  readonly #column: Node;
  readonly #group: RowGroup;
  readonly #place: { at: number; before: number };
  readonly #reader: ColumnReader;
  #values: unknown[] = [];
  #at = 0;

  /** @param place the number of the row group, and how many rows are in those before it */
  constructor(parquet: ParquetFile, column: Node, group: RowGroup, place: { at: number; before: number }) {
    this.#path = parquet.path;
    this.#column = column;
    this.#group = group;
    this.#place = place;
    const leaves = parquet.columns.reduce((sum, { leaves: { length } }) => sum + length, 0);
    const ahead = Math.min(AHEAD_BYTES, Math.ceil(ALL_AHEAD_BYTES / leaves));
    try {
      this.#reader = columnReader(
        column,
        column.leaves.map((leaf) => {
          const chunk = group.chunks.get(pathKey(leaf.path));
          if (!chunk) throw new Damage("it is missing");
          if (chunk.isEncrypted) throw new Damage("it is encrypted");
          if (chunk.isElsewhere) throw new Damage("its values are in another file");
          checkCodec(chunk.codec);
          const isFlat = column.type !== null && !column.isRepeated;
          if (chunk.values < 0 || (isFlat && chunk.values !== group.rows)) {
            throw new Damage(
              `it has ${counted(chunk.values)} values, but the row group has ${counted(group.rows)} rows`,
            );
          }
          return new LeafReader(leaf, new Pages(parquet.file, chunk, parquet.end, ahead), chunk.values);
        }),
      );
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      throw new UsageError(`${this.#name}, row group ${place.at}: ${error.message}`, MAKE_AGAIN);
    }
  }

  get #name(): string {
    return `${this.#path}: column "${this.#column.name}"`;
  }

  /** Reads more values if none are left. @returns how many there are */
  async fill(): Promise<number> {
    if (this.#at < this.#values.length) return this.#values.length - this.#at;
    this.#values = await this.#next();
    this.#at = 0;
    if (this.#values.length === 0) {
      const { rows } = this.#reader;
      throw this.#damaged(`it has ${counted(rows)} values, but the row group has ${counted(this.#group.rows)} rows`);
    }
    return this.#values.length;
  }

  giveTo(rows: readonly Row[]): void {
    const { name } = this.#column;
    for (const row of rows) {
      setOwn(row, name, this.#values[this.#at]);
      this.#at += 1;
    }
  }

  async checkEnd(): Promise<void> {
    if (this.#at < this.#values.length || (await this.#next()).length > 0) {
      throw this.#damaged(`it has more values than the ${counted(this.#group.rows)} rows of the row group`);
    }
  }

  async #next(): Promise<unknown[]> {
    try {
      return await this.#reader.next();
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      const row = this.#place.before + this.#reader.rows;
      if (error instanceof BadValue) throw new UsageError(`${this.#name}, row ${row} ${error.message}`, MAKE_AGAIN);
      const page = `the page at byte ${this.#reader.page}`;
      throw new UsageError(`${this.#name}, from row ${row} on: ${page} ${error.message}`, MAKE_AGAIN);
    }
  }

  #damaged(what: string): UsageError {
    return new UsageError(`${this.#name}, row group ${this.#place.at}: ${what}`, MAKE_AGAIN);
  }
}

/** The SHA-256 of all bytes of a file, in hex. */
async function hashOf(file: FileHandle, path: string): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafeSlow(1 << 20);
  try {
    for (let position = 0; ;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
  } catch (error) {
    throw unreadable(path, INPUT_FILE, error);
  }
}
