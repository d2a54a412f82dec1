import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { UsageError } from "../src/errors.ts";
import { parquet } from "../src/sources/parquet.ts";
import type { OpenSource, Row } from "../src/sources/source.ts";
import { configFor, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import {
  dataPage,
  dataPageV2,
  dictionaryPage,
  int32,
  parquetFile,
  plainTexts,
  struct,
  type TestColumn,
  type Thrift,
  UTF8,
  varint,
} from "./support/parquet-file.ts";

/** Files of pyarrow, pandas, fastparquet and datasets, with what pyarrow reads from them; see make-parquet.py beside the folder. */
const FILES = join(import.meta.dirname, "data", "sources", "parquet");
const NAMES = readdirSync(FILES)
  .filter((name) => name.endsWith(".parquet"))
  .map((name) => name.slice(0, -".parquet".length));

const fileOf = (name: string) => join(FILES, `${name}.parquet`);

async function open(path: string, columns: readonly string[] | null = null): Promise<OpenSource> {
  return parquet.open(path, { columns, onWarning: () => {} });
}

async function rowsOf(source: OpenSource): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const chunk of source.rows()) {
    for (const row of chunk) {
      if (!("row" in row)) throw new Error(row.problem);
      expect(row).toMatchObject({ index: rows.length, line: null });
      rows.push(row.row);
    }
  }
  return rows;
}

async function read(path: string, columns: readonly string[] | null = null): Promise<Row[]> {
  const source = await open(path, columns);
  try {
    return await rowsOf(source);
  } finally {
    await source.close();
  }
}

/** The message of the error with which reading a file ends; null if it ends without one. */
async function refusalOf(path: string, columns: readonly string[] | null = null): Promise<string | null> {
  try {
    await read(path, columns);
    return null;
  } catch (error) {
    if (error instanceof UsageError) return error.message.replaceAll(path, "FILE");
    throw error;
  }
}

/** A value as the JSON Lines beside the files have it. */
function asJson(value: unknown): unknown {
  if (typeof value === "bigint") return { $int: String(value) };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, asJson(member)]));
}

const pack = (...bytes: number[]) => Buffer.from(bytes);

async function stored(ws: Workspace, bytes: Buffer): Promise<string> {
  const path = ws.at("rows.parquet");
  await writeFile(path, bytes);
  return path;
}

describe("a Parquet file", () => {
  test.each(NAMES)("%s has the values that pyarrow reads", async (name) => {
    const lines = readFileSync(join(FILES, `${name}.jsonl`), "utf8").split("\n");
    const expected = lines.filter((line) => line !== "").map((line): unknown => JSON.parse(line));
    expect((await read(fileOf(name))).map(asJson)).toStrictEqual(expected);
  });

  test("states its columns with their types", async () => {
    const types = async (name: string) => {
      const source = await open(fileOf(name));
      await source.close();
      return Object.fromEntries((source.columns ?? []).map((column) => [column.name, column.type]));
    };
    expect(await types("types")).toMatchObject({
      text: "string",
      category: "string",
      bytes: "binary",
      fixed: "binary",
      flag: "boolean",
      int8: "int8",
      int64: "int64",
      uint16: "uint16",
      half: "float16",
      float: "float",
      double: "double",
      day: "date",
      at_ns: "timestamp",
      time_us: "time",
      decimal_38: "decimal",
      uuid: "uuid",
    });
    expect(await types("nested")).toEqual({
      translation: "struct",
      list: "list of string",
      lists: "list of list of int32",
      pair: "list of int16",
      map: "map",
      numbered: "map",
      maps: "map",
      deep: "struct",
    });
    expect(await types("undeclared")).toEqual({ input: "string", number: "int64" });
  });

  test("has the hash of its bytes, and a count of the rows that were not read", async () => {
    const source = await open(fileOf("pages"), ["input"]);
    expect(await source.countRest()).toBe(80);
    for await (const chunk of source.rows()) {
      expect(await source.countRest()).toBe(80 - chunk.length);
      break;
    }
    expect(await source.sha256()).toBe(
      createHash("sha256")
        .update(readFileSync(fileOf("pages")))
        .digest("hex"),
    );
    await source.close();
  });

  test("is read only where columns are needed, whatever the other columns hold", async () => {
    await using ws = await workspace();
    const path = await stored(
      ws,
      parquetFile(
        [
          { name: "broken", pages: [Buffer.from("no page at all")], metadata: { 4: 3 } },
          { name: "input", pages: [dataPage(2, plainTexts(["one", "two"]))] },
        ],
        { rows: 2 },
      ),
    );
    expect(await read(path, ["input", "missing"])).toEqual([{ input: "one" }, { input: "two" }]);
    expect(await read(path, [])).toEqual([{}, {}]);
    expect(await refusalOf(path)).toContain('column "broken", row group 0: it is compressed with LZO');
  });

  test("may have LZ4 in the frames of Hadoop", async () => {
    await using ws = await workspace();
    const body = plainTexts(["a text of some length", "ß"]);
    // A block of LZ4 with nothing but literals.
    const block = Buffer.concat([Buffer.from([0xf0, body.length - 15]), body]);
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32BE(body.length, 0);
    lengths.writeUInt32BE(block.length, 4);
    const framed = Buffer.concat([lengths, block]);
    const page = Buffer.concat([
      struct({ 1: 0, 2: body.length, 3: framed.length, 5: { 1: 2, 2: 0, 3: 3, 4: 3 } }),
      framed,
    ]);
    const path = await stored(ws, parquetFile([{ name: "input", pages: [page], metadata: { 4: 5 } }], { rows: 2 }));
    expect(await read(path)).toEqual([{ input: "a text of some length" }, { input: "ß" }]);
  });

  test("may name columns in another order in its row groups than in its schema", async () => {
    await using ws = await workspace();
    const element = (name: string) => ({ 1: 6, 3: 0, 4: name, ...UTF8 });
    const columns = ["b", "a"].map((name) => ({ name, pages: [dataPage(1, plainTexts([`in ${name}`]))] }));
    const schema = [{ 4: "schema", 5: 2 }, element("a"), element("b")];
    const path = await stored(ws, parquetFile(columns, { rows: 1, schema }));
    expect(await read(path)).toEqual([{ a: "in a", b: "in b" }]);
  });

  test.each([0, 3, 5, 6, 7, 8, 9])(
    "may have pages of nothing but nulls, without a byte for values (encoding %i)",
    async (encoding) => {
      await using ws = await workspace();
      const levels = pack(4, 0);
      const page = dataPageV2(2, levels, { 2: 2, 4: encoding, 5: levels.length });
      const path = await stored(ws, parquetFile([{ name: "input", repetition: 1, pages: [page] }], { rows: 2 }));
      expect(await read(path)).toEqual([{ input: null }, { input: null }]);
    },
  );

  test("may have very many values in a page of a few bytes, which are not all decoded at once", async () => {
    await using ws = await workspace();
    const rows = 1 << 26;
    // One run of the level 0, which is null.
    const levels = Buffer.concat([varint(BigInt(rows) * 2n), Buffer.from([0])]);
    const page = dataPage(rows, Buffer.concat([int32(levels.length), levels]));
    const path = await stored(ws, parquetFile([{ name: "input", repetition: 1, pages: [page] }], { rows }));
    const source = await open(path);
    for await (const [first] of source.rows()) {
      expect(first).toEqual({ index: 0, line: null, row: { input: null } });
      break;
    }
    await source.close();
  });

  test("gives its texts and ids to a run", async () => {
    await using ws = await workspace();
    const fields = { input: "input", reference: "reference", id: "id" };
    const data_config = { input_data_path: fileOf("codec-zstd"), fields, where: { language: "de" }, sample_size: 5 };
    await ws.write("config.json", configFor({ data_config }));
    const { code, stderr, stdout } = await datagenInTurn(
      ["run", "config.json", "--provider", "offline", "--output", "out.json"],
      { cwd: ws.path },
    );
    expect({ code, stderr, stdout }).toMatchObject({ code: 0 });
    const { tasks } = await ws.json<{ tasks: Row[] }>("out.json");
    const wanted = (await read(fileOf("codec-zstd"))).filter((row) => row["language"] === "de").slice(0, 5);
    expect(tasks).toMatchObject(wanted.map(({ id, input }) => ({ id, context: input })));
  });
});

/** A file with a column of texts and these pages. */
function withPages(rows: number, pages: readonly Buffer[], column: Partial<TestColumn> = {}): Buffer {
  return parquetFile([{ name: "input", pages, ...column }], { rows });
}

const ONE = plainTexts(["a text"]);

/** A file with a page whose header says something else. */
const withHeader = (header: { [field: number]: Thrift }): Buffer => withPages(1, [dataPage(1, ONE, header)]);

/** A file with a chunk whose metadata says something else. */
const withMetadata = (metadata: { [field: number]: Thrift }): Buffer => withPages(1, [dataPage(1, ONE)], { metadata });

/** A file whose schema has these elements after its root. */
const withSchema = (...elements: Thrift[]): Buffer =>
  parquetFile([{ name: "input" }], { rows: 1, schema: [{ 4: "schema", 5: 1 }, ...elements] });

/** Structs in structs. */
const DEEP = Array.from({ length: 100 }, () => ({ 3: 0, 4: "in", 5: 1 }));

/** Files that are broken, and what is said of each. */
const BROKEN: [what: string, bytes: Buffer, message: string][] = [
  ["is empty", pack(), "FILE is empty, not a Parquet file"],
  ["is CSV", Buffer.from("id,text\n1,a\n"), 'FILE is not a Parquet file: it begins with "id,t"'],
  ["is a gzip file", gzipSync("id,text\n"), "FILE is a gzip file: unpack it, or let its name end in .gz"],
  [
    "is cut off",
    readFileSync(fileOf("types")).subarray(0, 5_000),
    "FILE is cut off: it begins as a Parquet file, but does not end as one",
  ],
  [
    "has only its first bytes",
    Buffer.from("PAR1PAR1"),
    "FILE is cut off: it begins as a Parquet file, but does not end as one",
  ],
  ["is encrypted", Buffer.from("PARE....\0\0\0\0PARE"), "FILE is an encrypted Parquet file"],
  [
    "claims a footer that is longer than the file",
    Buffer.from("PAR1....\xff\xff\xff\x00PAR1", "latin1"),
    "FILE is a broken Parquet file: it claims a footer of 16,777,215 bytes, but has 16 bytes",
  ],
  [
    "has no footer",
    Buffer.from("PAR1....\x04\0\0\0PAR1", "latin1"),
    "FILE is a broken Parquet file: its footer is wrong: a list is expected where it has something else",
  ],
  [
    "states other rows than its row groups have",
    parquetFile([{ name: "input" }], { rows: 1, footer: { 3: 2 } }),
    "FILE is a broken Parquet file: its footer is wrong: it states 2 rows, but its row groups have 1",
  ],
  [
    "states more rows than can be read",
    parquetFile([{ name: "input" }], { rows: 2e12 }),
    "FILE is a broken Parquet file: its footer is wrong: it states 2,000,000,000,000 rows; at most 1,000,000,000 are read",
  ],
  [
    "has a footer that is nested without end",
    parquetFile([{ name: "input" }], { rows: 1, footer: { 99: nested(200) } }),
    "FILE is a broken Parquet file: its footer is wrong: it is nested more than 24 deep",
  ],
  [
    "has columns that are nested without end",
    withSchema(...DEEP, { 1: 6, 3: 0, 4: "leaf" }),
    "FILE is a broken Parquet file: its columns are nested more than 64 deep",
  ],
  [
    "has a column with more parts than its schema",
    withSchema({ 4: "input", 5: 1_000_000_000 }),
    "FILE is a broken Parquet file: a column has 1000000000 parts, more than its schema",
  ],
  [
    "has a column without a type",
    withSchema({ 3: 0, 4: "input" }),
    'FILE is a broken Parquet file: its column "input" has no type and no parts',
  ],
  [
    "has a column of an unknown type",
    withPages(1, [], { physical: 23 }),
    'FILE is a broken Parquet file: its column "input" cannot be read: it has the unknown physical type 23',
  ],
  [
    "has two columns of a name",
    parquetFile([{ name: "input" }, { name: "input" }], { rows: 1 }),
    'FILE has two columns "input"',
  ],
  [
    "has no such column in a row group",
    withMetadata({ 3: ["other"] }),
    'FILE: column "input", row group 0: it is missing',
  ],
  [
    "has an encrypted column",
    withPages(1, [dataPage(1, ONE)], { chunk: { 8: { 2: { 1: ["input"] } } } }),
    'FILE: column "input", row group 0: it is encrypted',
  ],
  [
    "has a column in another file",
    withPages(1, [dataPage(1, ONE)], { chunk: { 1: "part-0.parquet" } }),
    'FILE: column "input", row group 0: its values are in another file',
  ],
  [
    "has an unknown codec",
    withMetadata({ 4: 11 }),
    'FILE: column "input", row group 0: it is compressed with the unknown codec 11; expected one of none, Snappy, gzip, Brotli, LZ4, Zstandard, raw LZ4',
  ],
  [
    "has a column beyond its end",
    withMetadata({ 9: 5_000, 7: 100 }),
    'FILE: column "input", row group 0: it takes the bytes 5,000 to 5,100, but the pages of the file end at 46',
  ],
  [
    "has other values than rows",
    withMetadata({ 5: 7 }),
    'FILE: column "input", row group 0: it has 7 values, but the row group has 1 rows',
  ],
  [
    "has a page that claims more bytes than there are",
    withHeader({ 3: 300 }),
    'FILE: column "input", from row 0 on: the page at byte 4 has 300 bytes, but only 10 are left for it',
  ],
  [
    "has a page that claims very many bytes",
    withHeader({ 2: 4e9 }),
    'FILE: column "input", from row 0 on: the page at byte 4 claims 4,000,000,000 bytes; at most 512,000,000 are read',
  ],
  [
    "has a page that claims more bytes than it has after decompression",
    withPages(1, [dataPage(1, ONE, { 2: 11 })], { metadata: { 4: 0 } }),
    'FILE: column "input", from row 0 on: the page at byte 4 claims 11 bytes, but has 10 after decompression',
  ],
  [
    "has bytes that cannot be decompressed",
    withPages(1, [dataPage(1, ONE)], { metadata: { 4: 6 } }),
    'FILE: column "input", from row 0 on: the page at byte 4 cannot be decompressed (Zstandard): Unknown frame descriptor',
  ],
  [
    "has a page with another checksum",
    withHeader({ 4: 1 }),
    'FILE: column "input", from row 0 on: the page at byte 4 is damaged: its checksum is wrong',
  ],
  [
    "has a page with too many values",
    withPages(1, [dataPage(2, plainTexts(["a", "b"]))]),
    'FILE: column "input", from row 0 on: the page at byte 4 has 2 values, but only 1 are left in its column',
  ],
  [
    "has a page that ends in the middle of a value",
    withPages(3, [dataPage(3, plainTexts(["one", "two", "three"]).subarray(0, -1))]),
    'FILE: column "input", from row 2 on: the page at byte 4 ends in the middle of its values',
  ],
  [
    "has a text that is not UTF-8",
    withPages(3, [dataPage(3, plainTexts(["one", "tw\ufffd", Buffer.from("stra\xdfe", "latin1")]))]),
    'FILE: column "input", row 2 is not UTF-8 text',
  ],
  [
    "has a text in a dictionary that is not UTF-8",
    withPages(3, [dictionaryPage(2, plainTexts(["one", pack(0xff)])), dataPage(3, pack(1, 0b11, 0b10), {}, 8)]),
    'FILE: column "input", row 1 is not UTF-8 text',
  ],
  [
    "refers to a missing entry of its dictionary",
    withPages(2, [dictionaryPage(1, ONE), dataPage(2, pack(8, 4, 200), {}, 8)]),
    'FILE: column "input", from row 0 on: the page at byte 33 refers to entry 200 of a dictionary with 1 entries',
  ],
  [
    "has no dictionary",
    withPages(1, [dataPage(1, pack(0), {}, 8)]),
    'FILE: column "input", from row 0 on: the page at byte 4 refers to a dictionary, but its column has none',
  ],
  [
    "has an unknown encoding",
    withPages(1, [dataPage(1, ONE, {}, 77)]),
    'FILE: column "input", from row 0 on: the page at byte 4 has the encoding 77, which is unknown for string',
  ],
  [
    "has levels of very old files",
    withPages(1, [dataPage(1, ONE, { 5: { 1: 1, 2: 0, 3: 4, 4: 4 } })], { repetition: 1 }),
    'FILE: column "input", from row 0 on: the page at byte 4 has levels as only very old files have them (BIT_PACKED), which are not read',
  ],
  [
    "has levels that take more bytes than the page",
    withPages(1, [dataPageV2(1, ONE, { 5: 1_000 })]),
    'FILE: column "input", from row 0 on: the page at byte 4 claims 1,000 bytes of levels, more than it has',
  ],
  [
    "has a number of 50 bytes",
    withPages(1, [Buffer.concat([pack(0x16), Buffer.alloc(50, 0xff)])]),
    'FILE: column "input", from row 0 on: the page at byte 4 has a header that cannot be read: it has a number that is too long',
  ],
  [
    "has differences in very many numbers of no bits",
    withPages(1, [dataPage(1, Buffer.concat([varint(128n), varint(1n), varint(1n << 34n), varint(0n)]), {}, 6)]),
    'FILE: column "input", from row 0 on: the page at byte 4 has 17,179,869,184 numbers; at most 16,777,216 are read',
  ],
];

function nested(depth: number): Thrift {
  return depth === 0 ? true : { 1: nested(depth - 1) };
}

describe("a broken Parquet file", () => {
  test.each(BROKEN)("that %s is refused", async (_, bytes, message) => {
    await using ws = await workspace();
    expect(await refusalOf(await stored(ws, bytes))).toBe(message);
  });

  test("is named to the user with what is wrong, and nothing is written", async () => {
    await using ws = await workspace();
    const [, bytes] = BROKEN.find(([what]) => what === "has a text that is not UTF-8") ?? [];
    await writeFile(ws.at("rows.parquet"), bytes ?? "");
    await ws.write("config.json", configFor({ data_config: { input_data_path: "rows.parquet" } }));
    const { code, stderr } = await datagenInTurn(["run", "config.json", "--provider", "offline"], { cwd: ws.path });
    expect(code).toBe(2);
    expect(stderr).toContain('rows.parquet: column "input", row 2 is not UTF-8 text');
    expect(existsSync(ws.at("data/datagen.db"))).toBe(false);
  });

  // Each file is damaged in ways that follow from a seed.
  test.each(NAMES)("made from %s by changing, cutting and removing bytes has rows or an error", async (name) => {
    await using ws = await workspace();
    const whole = readFileSync(fileOf(name));
    const random = randoms(createHash("sha256").update(name).digest().readUInt32LE());
    for (let variant = 0; variant < 40; variant += 1) {
      // Other errors than UsageError are thrown on.
      await refusalOf(await stored(ws, damaged(whole, random)));
    }
  });
});

/** Pseudo-random numbers between 0 and 1 (a linear congruential generator). */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** Bytes of which a few were changed, most of them in the footer; or which are cut off, or have a gap. */
function damaged(whole: Buffer, random: () => number): Buffer {
  const place = (from = 0) => from + Math.floor(random() * (whole.length - from));
  const kind = random();
  if (kind < 0.1) return whole.subarray(0, place());
  if (kind < 0.2) return Buffer.concat([whole.subarray(0, place()), whole.subarray(place())]);
  const bytes = Buffer.from(whole);
  const footer = whole.length - 8 - whole.readUInt32LE(whole.length - 8);
  for (let count = Math.ceil(random() * 3); count > 0; count -= 1) {
    const at = place(random() < 0.5 ? footer : 0);
    const bit = 1 << Math.floor(random() * 8);
    bytes[at] = random() < 0.5 ? (bytes[at] ?? 0) ^ bit : Math.floor(random() * 256);
  }
  return bytes;
}
