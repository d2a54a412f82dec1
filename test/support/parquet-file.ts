import { crc32 } from "node:zlib";

/** A value of Thrift. A struct has its members by the numbers of their fields. */
export type Thrift = number | boolean | string | Buffer | readonly Thrift[] | { [field: number]: Thrift };

/** What a test says of a column of a file; see {@link parquetFile}. */
export interface TestColumn {
  name: string;
  /** The physical type, such as 6 for BYTE_ARRAY. */
  physical?: number;
  /** 0 is required, 1 optional. */
  repetition?: number;
  /** Other members of its element in the schema, such as `{6: 0}` for UTF8. */
  element?: { [field: number]: Thrift };
  /** The pages, or what stands in their place. */
  pages?: readonly Buffer[];
  /** Members of its metadata and of its chunk that differ from what they should be. */
  metadata?: { [field: number]: Thrift };
  chunk?: { [field: number]: Thrift };
}

/** The converted type of texts. */
export const UTF8 = { 6: 0 };

const [BYTE_ARRAY, DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2] = [6, 0, 2, 3];

/** A Parquet file byte by byte, so that a test can say what is wrong with it. */
export function parquetFile(
  columns: readonly TestColumn[],
  { rows, schema, footer = {} }: { rows: number; schema?: readonly Thrift[]; footer?: { [field: number]: Thrift } },
): Buffer {
  let at = 4;
  const chunks = columns.map((column) => {
    const start = at;
    at += Buffer.concat(column.pages ?? []).length;
    return { ...column, start, bytes: at - start };
  });
  const elements = schema ? { 2: schema } : {};
  const pages = columns.flatMap((column) => column.pages ?? []);
  return Buffer.concat([Buffer.from("PAR1"), ...pages, parquetFooter(chunks, rows, { ...elements, ...footer })]);
}

/** The end of a file after its pages. @param columns with the place of their pages in the file */
export function parquetFooter(
  columns: readonly (TestColumn & { start: number; bytes: number })[],
  rows: number,
  footer: { [field: number]: Thrift } = {},
): Buffer {
  const elements = columns.map(({ name, physical = BYTE_ARRAY, repetition = 0, element = UTF8 }) => ({
    1: physical,
    3: repetition,
    4: name,
    ...element,
  }));
  const chunks = columns.map(({ name, physical = BYTE_ARRAY, start, bytes, metadata = {}, chunk = {} }) => {
    const facts = { 1: physical, 2: [0], 3: [name], 4: 0, 5: rows, 6: bytes, 7: bytes, 9: start };
    return { 2: start, 3: { ...facts, ...metadata }, ...chunk };
  });
  const end = struct({
    1: 1,
    2: [{ 4: "schema", 5: columns.length }, ...elements],
    3: rows,
    4: rows === 0 ? [] : [{ 1: chunks, 2: 0, 3: rows }],
    ...footer,
  });
  return Buffer.concat([end, int32(end.length), Buffer.from("PAR1")]);
}

/** A data page of version 1 with its header. @param header members that differ from what they should be */
export function dataPage(values: number, body: Buffer, header: { [field: number]: Thrift } = {}, encoding = 0): Buffer {
  const facts = {
    1: DATA_PAGE,
    2: body.length,
    3: body.length,
    4: crc32(body) | 0,
    5: { 1: values, 2: encoding, 3: 3, 4: 3 },
  };
  return Buffer.concat([struct({ ...facts, ...header }), body]);
}

export function dictionaryPage(values: number, body: Buffer): Buffer {
  return Buffer.concat([struct({ 1: DICTIONARY_PAGE, 2: body.length, 3: body.length, 7: { 1: values, 2: 0 } }), body]);
}

export function dataPageV2(values: number, body: Buffer, header: { [field: number]: Thrift }): Buffer {
  const facts = { 1: values, 2: 0, 3: values, 4: 0, 5: 0, 6: 0 };
  return Buffer.concat([struct({ 1: DATA_PAGE_V2, 2: body.length, 3: body.length, 8: { ...facts, ...header } }), body]);
}

/** Texts or bytes as they stand in a page: each after its length. */
export function plainTexts(texts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(texts.flatMap((text) => [int32(Buffer.byteLength(text)), Buffer.from(text)]));
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
}

/** A struct in Thrift's compact protocol. Whole numbers are written with 64 bits. */
export function struct(members: { [field: number]: Thrift }): Buffer {
  const parts = Object.entries(members).flatMap(([field, value]) => {
    const type = typeof value === "boolean" ? (value ? 1 : 2) : typeOf(value);
    return [
      Buffer.from([type]),
      varint(BigInt(field) * 2n),
      typeof value === "boolean" ? Buffer.alloc(0) : bytesOf(value),
    ];
  });
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function typeOf(value: Thrift): number {
  if (typeof value === "number") return 6;
  if (typeof value === "string" || Buffer.isBuffer(value)) return 8;
  return Array.isArray(value) ? 9 : 12;
}

function bytesOf(value: Thrift): Buffer {
  if (typeof value === "number") return varint(value < 0 ? BigInt(value) * -2n - 1n : BigInt(value) * 2n);
  if (typeof value === "string" || Buffer.isBuffer(value)) {
    return Buffer.concat([varint(BigInt(Buffer.byteLength(value))), Buffer.from(value)]);
  }
  if (!Array.isArray(value)) return struct(value as { [field: number]: Thrift });
  const list = value as readonly Thrift[];
  const head = Buffer.from([0xf0 | typeOf(list[0] ?? 0)]);
  return Buffer.concat([head, varint(BigInt(list.length)), ...list.map(bytesOf)]);
}

/** A number in groups of seven bits. */
export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}
