import type { SourceWriter } from "./source-writer.ts";

export const json: SourceWriter = {
  write: (rows) => Buffer.from(JSON.stringify(rows, null, 2)),
  isNested: true,
  broken: [
    { name: "without its end", content: Buffer.from('[\n{"input": "a"},\n{"inp'), says: "ends in the middle of row 1" },
    { name: "with more behind its end", content: Buffer.from('[{"input": "a"}]\n]'), says: "line 2: expected the end" },
    { name: "of another shape", content: Buffer.from("input\na\n"), says: 'begins with "i"' },
  ],
};

export const jsonl: SourceWriter = {
  write: (rows) => Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join("")),
  isNested: true,
  broken: [{ name: "of another shape", content: Buffer.from("input\na\n"), says: 'begins with "i"' }],
};
