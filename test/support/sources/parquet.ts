import { parquetWriteBuffer } from "hyparquet-writer";
import type { Row } from "../../../src/sources/source.ts";
import type { SourceWriter } from "./source-writer.ts";

type WriteOptions = Parameters<typeof parquetWriteBuffer>[0];
type Element = NonNullable<WriteOptions["schema"]>[number];

export const parquet: SourceWriter = {
  write(rows: readonly Row[]) {
    const names = Object.keys(rows[0] ?? {});
    const columnData = names.map((name) => ({ name, data: rows.map((row) => row[name]) }));
    const columns = columnData.flatMap(({ name, data }) => elementsOf(name, data));
    const schema: Element[] = [{ name: "schema", num_children: names.length }, ...columns];
    // Several row groups, of which each has several pages.
    return Buffer.from(parquetWriteBuffer({ columnData, schema, rowGroupSize: 9_000, pageSize: 10_000 }));
  },
  isNested: true,
  broken: [
    {
      name: "that is cut off",
      content: Buffer.from("PAR1 and then nothing"),
      says: "is cut off: it begins as a Parquet",
    },
    {
      name: "whose footer is longer than the file",
      content: Buffer.from("PAR1\xff\xff\0\0PAR1", "latin1"),
      says: "claims a footer of 65,535 bytes, but has 12 bytes",
    },
    { name: "that is encrypted", content: Buffer.from("PARE\x04\0\0\0PARE"), says: "is an encrypted Parquet file" },
    { name: "of JSON", content: Buffer.from('{"input": "a"}\n'), says: 'it begins with "{\\"in"' },
  ],
};

/** The elements of a schema for a column with these values. Lists and objects hold texts. */
function elementsOf(name: string, values: readonly unknown[]): Element[] {
  const found = values.find((value) => value !== null);
  const text = (of: string): Element => ({
    name: of,
    type: "BYTE_ARRAY",
    converted_type: "UTF8",
    repetition_type: "OPTIONAL",
  });
  if (typeof found === "boolean") return [{ name, type: "BOOLEAN", repetition_type: "OPTIONAL" }];
  if (typeof found === "number") return [{ name, type: "DOUBLE", repetition_type: "OPTIONAL" }];
  if (Array.isArray(found)) {
    return [
      { name, converted_type: "LIST", num_children: 1, repetition_type: "OPTIONAL" },
      { name: "list", num_children: 1, repetition_type: "REPEATED" },
      text("element"),
    ];
  }
  if (typeof found !== "object" || found === null) return [text(name)];
  const members = Object.keys(found);
  return [{ name, num_children: members.length, repetition_type: "OPTIONAL" }, ...members.map(text)];
}
