import { parquetReadObjects } from "hyparquet";
import type { Format } from "../../src/export/formats.ts";
import type { LabDataset } from "./lab.ts";

/** What every format says of one task seen from one perspective. */
export interface Cell {
  context: string;
  preparation: string | null;
  response: string | null;
}

/** How each format is read again. */
export const readers = {
  json: (bytes) => cellsOfJson(String(bytes)),
  jsonl: (bytes) => cellsOfLines(String(bytes)),
  csv: (bytes) => cellsOfCsv(String(bytes)),
  parquet: cellsOfParquet,
} satisfies Record<Format, (bytes: Buffer) => Cell[] | Promise<Cell[]>>;

function cellsOfJson(text: string): Cell[] {
  const { tasks } = JSON.parse(text) as LabDataset;
  return tasks.flatMap(({ context, responses, preparations }) =>
    responses.map((response, at) => ({ context, preparation: preparations[at] ?? null, response })),
  );
}

function cellsOfLines(text: string): Cell[] {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new Error("the last line has no end");
  return lines.map((line) => cellOf(JSON.parse(line) as Cell));
}

function cellsOfCsv(text: string): Cell[] {
  const [header = [], ...lines] = parseCsv(text);
  return lines.map((line) => cellOf(Object.fromEntries(header.map((name, at) => [name, line[at]])) as unknown as Cell));
}

async function cellsOfParquet(bytes: Buffer): Promise<Cell[]> {
  return (await parquetRows(bytes)).map((row) => cellOf(row as unknown as Cell));
}

/** The rows of a Parquet file, read by another reader than datagen's. */
export async function parquetRows(bytes: Buffer): Promise<Record<string, unknown>[]> {
  const { buffer, byteOffset, byteLength } = bytes;
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  return await parquetReadObjects({ file });
}

const cellOf = ({ context, preparation, response }: Cell): Cell => ({ context, preparation, response });

/** A table of RFC 4180, read strictly: an empty field without quotes is null. */
export function parseCsv(text: string): (string | null)[][] {
  const table: (string | null)[][] = [];
  let line: (string | null)[] = [];
  let at = 0;
  while (at < text.length) {
    const match = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
    match.lastIndex = at;
    const found = match.exec(text);
    if (!found) throw new Error(`no field at ${at}: ${JSON.stringify(text.slice(at, at + 60))}`);
    const [all, quoted, plain, end] = found;
    line.push(quoted === undefined ? plain || null : quoted.replaceAll('""', '"'));
    at += all.length;
    if (end === ",") continue;
    table.push(line);
    line = [];
  }
  if (line.length > 0) throw new Error("the last line has no end");
  return table;
}
