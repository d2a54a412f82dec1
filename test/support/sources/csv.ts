import type { Row } from "../../../src/sources/source.ts";
import type { SourceWriter } from "./source-writer.ts";

export const csv: SourceWriter = {
  write: (rows) => table(rows, ",", "\r\n"),
  isNested: false,
  broken: brokenTables(","),
};

export const tsv: SourceWriter = {
  write: (rows) => table(rows, "\t", "\n"),
  isNested: false,
  broken: brokenTables("\t"),
};

/** A table as RFC 4180 describes it: a cell is quoted if it has a quote, a separator or a line break. */
export function table(rows: readonly Row[], separator: string, lineBreak: string): Buffer {
  const cell = (value: unknown) => {
    const text = (value ?? "") as string;
    const isPlain = ![...'"\r\n', separator].some((character) => text.includes(character));
    return isPlain ? text : `"${text.replaceAll('"', '""')}"`;
  };
  const lines = [Object.keys(rows[0] ?? {}), ...rows.map((row) => Object.values(row))];
  return Buffer.from(lines.map((cells) => cells.map(cell).join(separator) + lineBreak).join(""));
}

function brokenTables(separator: string): SourceWriter["broken"] {
  const file = (...lines: string[]) => Buffer.from(`${lines.join("\n").replaceAll(",", separator)}\n`);
  return [
    {
      name: "with an open quote",
      content: file("input,id", "a,1", '"b,2', "c,3"),
      says: "the row that begins on line 3 has a quote that is never closed",
    },
    {
      name: "with names that repeat",
      content: file("input,id,input,id", "a,1,b,2"),
      says: 'line 1: the header names more than one column "input", "id"',
    },
    { name: "with a broken header", content: file('input,"i"d', "a,1"), says: "line 1: the header has text behind" },
    { name: "with only a header", content: file("input,id"), says: "has a header, but no rows" },
    { name: "of JSON", content: Buffer.from('[{"input": "a"}]'), says: "holds JSON" },
    {
      name: "with too many columns",
      content: file(Array.from({ length: 10_001 }, (_, at) => `c${at}`).join()),
      says: "the header has 10001 columns; expected at most 10000",
    },
  ];
}
