import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatOf, sourceOf } from "../src/sources/index.ts";
import type { SourceRow } from "../src/sources/source.ts";
import { configFor, workspace, type Workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { rounds } from "./support/rounds.ts";
import { table } from "./support/sources/csv.ts";

const MADE = join(import.meta.dirname, "data/sources");

/** The rows of a file, its columns, and what is said of it. */
async function readFile(path: string): Promise<{ rows: SourceRow[]; columns: string[] | null; warnings: string[] }> {
  const warnings: string[] = [];
  const source = await sourceOf(formatOf(path)).open(path, {
    columns: null,
    onWarning: (message) => warnings.push(message),
  });
  const rows: SourceRow[] = [];
  try {
    for await (const chunk of source.rows()) rows.push(...chunk);
  } finally {
    await source.close();
  }
  return { rows, columns: source.columns?.map(({ name }) => name) ?? null, warnings };
}

async function readText(text: string, name = "rows.csv") {
  await using space = await workspace();
  return await readFile(await space.write(name, text));
}

/** The rows, or what is wrong with them, without their places. */
function valuesOf(rows: readonly SourceRow[]): unknown[] {
  return rows.map((row) => ("problem" in row ? row.problem : { ...row.row }));
}

/** Cells of a text in the dialect of csv-parse, which is a second reader. */
function secondReading(text: string, delimiter: string): string[][] {
  const options = { delimiter, bom: true, relax_column_count: true, record_delimiter: ["\r\n", "\n", "\r"] };
  return parse(text, { ...options, skip_empty_lines: true });
}

describe.concurrent("files that pandas, pyarrow and datasets made", () => {
  const expected = (name: string) => JSON.parse(readFileSync(join(MADE, name), "utf8")) as Record<string, unknown>[];
  const files = readdirSync(MADE).filter((name) => /\.(csv|tsv|jsonl?)(\.gz)?$/.test(name));

  test.each(files)("%s has the rows that it was made of", async (name) => {
    const { rows, warnings } = await readFile(join(MADE, name));
    const found = rows.map((row) => ("problem" in row ? row : { ...row.row }));
    const index =
      "" in (found[0] ?? {}) ? (at: number) => ({ "": String(name === "r.csv" ? at + 1 : at) }) : () => ({});
    const wanted = expected(name.includes("nested") ? "nested.json" : "rows.json");
    expect(found).toEqual(wanted.map((row, at) => ({ ...index(at), ...row })));
    const separators = { "excel.csv": "semicolons", "pandas-tabs.csv": "tabs" }[name];
    expect(warnings).toEqual(separators ? [`cells are separated by ${separators}, not by commas`] : []);
  });
});

describe.concurrent("any table", () => {
  const piece = fc.constantFrom("a", "ß", "😀", '"', '""', ",", ";", "\t", "\n", "\r\n", "\r", "\\", " ", "7");
  const cell = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const tables = fc.record({
    rows: fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 12 }),
    separator: fc.constantFrom(",", ";", "\t"),
    lineBreak: fc.constantFrom("\n", "\r\n", "\r"),
    mark: fc.constantFrom("", "\ufeff"),
    isEnded: fc.boolean(),
  });

  test("is read as it was written, and as csv-parse reads it", async () => {
    await fc.assert(
      fc.asyncProperty(tables, async ({ rows, separator, lineBreak, mark, isEnded }) => {
        const objects = rows.map(([input, reference, id]) => ({ input, reference, id }));
        const written = table(objects, separator, lineBreak).toString();
        const text = mark + (isEnded ? written : written.slice(0, -lineBreak.length));
        const { rows: read } = await readText(text, separator === "\t" ? "rows.tsv" : "rows.csv");
        const [, ...second] = secondReading(text, separator);
        expect(valuesOf(read)).toEqual(
          second.map(([input, reference, id]) => ({
            input: input || null,
            reference: reference || null,
            id: id || null,
          })),
        );
        expect(read.map(({ index }) => index)).toEqual(objects.map((_, at) => at));
      }),
      { numRuns: rounds(100, 2_000) },
    );
  });

  test("is read the same wherever the chunks of the file end", async () => {
    // Lines of 7 to 12 bytes put every character of the table at the end of a chunk in some file.
    const lines = ['"a ""b""",1\r\n', '"x\r\ny",""\r\n', "plain,2\r\n", '"""",3\r\n'];
    const period = lines.join("").length;
    await using space = await workspace();
    for (let shift = 0; shift < period; shift += 1) {
      const padding = "p".repeat((1 << 18) - 4 * period + shift);
      const text = `input,id\r\n${padding},0\r\n${lines.join("").repeat(8)}`;
      const { rows } = await readFile(await space.write(`rows-${shift}.csv`, text));
      const [, ...second] = secondReading(text, ",");
      expect(valuesOf(rows)).toEqual(second.map(([input, id]) => ({ input: input || null, id: id || null })));
      expect(rows.at(-1)?.line).toBe(2 + 5 * 8);
    }
  });
});

test("a carriage return in a cell without quotes is the problem of its row, in a file of lines with line feeds", async () => {
  for (const lineBreak of ["\n", "\r\n"]) {
    const { rows } = await readText(["input", "one", "two\rthree", "four", ""].join(lineBreak));
    expect(rows.map((row) => ("problem" in row ? [row.line, row.problem] : [row.line, row.row["input"]]))).toEqual([
      [2, "one"],
      [3, expect.stringContaining(" ends in a carriage return (CR), but lines before it in a line feed (LF)")],
      [4, "three"],
      [5, "four"],
    ]);
  }
  const { rows } = await readText("input\r\r\none\r\r\ntwo\r\r\n");
  expect(valuesOf(rows)).toEqual([{ input: "one" }, { input: "two" }]);
});

test("blanks around the names in a header are said, because they are parts of the names", async () => {
  const { rows, warnings } = await readText("input, reference\na,b\n");
  expect(valuesOf(rows)).toEqual([{ input: "a", " reference": "b" }]);
  expect(warnings).toEqual(['the header has blanks around " reference", which are parts of the names']);
});

test("a quote within a cell is found wherever the chunks of the file end", async () => {
  await using space = await workspace();
  for (const shift of [-2, -1, 0, 1, 2]) {
    const bad = 'x5" disk,1';
    const before = "input,id\n".length + ",0\nx5".length;
    const padding = "p".repeat((1 << 18) + shift - before);
    const path = await space.write(`rows${shift}.csv`, `input,id\n${padding},0\n${bad}\nlast,2\n`);
    const { rows } = await readFile(path);
    expect(rows.slice(1)).toEqual([
      { index: 1, line: 3, problem: expect.stringContaining("has a quote within a cell that is not quoted: ") },
      { index: 2, line: 4, row: { input: "last", id: "2" } },
    ]);
  }
});

describe.concurrent("separators", () => {
  test.each([
    ["semicolons, though texts have commas", "id;input\n1;Hallo, Welt\n2;Ja, gut, so\n", ["id", "input"], "semicolons"],
    ["tabs", "id\tinput\n1\ta, b\n", ["id", "input"], "tabs"],
    ["commas, though texts have semicolons", "id,input\n1,a;b\n2,c;d\n", ["id", "input"], null],
    ["a separator in a quoted name", '"a;b;c",input\n1,x\n', ["a;b;c", "input"], null],
    ["a single column", "input\na; b\nc; d\n", ["input"], null],
    ["only one row", "id,text\tinput\n1\ta", ["id,text", "input"], "tabs"],
    ["two that fit: the one with more cells", "a,b;c;d\n1,2;3;4\n", ["a,b", "c", "d"], "semicolons"],
  ])("%s", async (_, text, columns, named) => {
    const read = await readText(text);
    expect(read.columns).toEqual(columns);
    expect(read.warnings).toEqual(named === null ? [] : [`cells are separated by ${named}, not by commas`]);
    expect(read.rows.every((row) => "row" in row)).toBe(true);
  });

  test("a file that ends in .tsv is not asked", async () => {
    const { columns, warnings } = await readText("a;b;c\tinput\n1;2;3\tx\n", "rows.tsv");
    expect([columns, warnings]).toEqual([["a;b;c", "input"], []]);
  });
});

describe.concurrent("rows with a problem", () => {
  test("are named alone, with the lines on which they begin", async () => {
    const lines = [
      "input,id",
      '"two',
      'lines",1',
      "",
      "one",
      "x,y,z",
      '5" disk,2',
      '"a"b,3',
      String.raw`"say \"hi\" now",4`,
      '"good ""one""",5',
    ];
    const { rows } = await readText(lines.join("\r\n"));
    expect(rows).toEqual([
      { index: 0, line: 2, row: { input: "two\r\nlines", id: "1" } },
      { index: 1, line: 5, problem: " has 1 cell, but the header has 2" },
      { index: 2, line: 6, problem: " has 3 cells, but the header has 2" },
      { index: 3, line: 7, problem: ' has a quote within a cell that is not quoted: 5" disk,2' },
      { index: 4, line: 8, problem: ' has text behind the quote that ends a cell: "a"b,3' },
      {
        index: 5,
        line: 9,
        problem: String.raw` has a quote behind a backslash, but a quote within a cell must be doubled (""): "say \"hi\" now",4`,
      },
      { index: 6, line: 10, row: { input: 'good "one"', id: "5" } },
    ]);
  });

  test("stop a run before anything is written", async () => {
    await using space = await planned('input,reference\nA sentence.,Ein Satz.\n"Another" one.,Noch einer.\nx\n');
    const { code, stdout, stderr } = await datagenInTurn(["run", "config.json", "--provider", "offline"], {
      cwd: space.path,
    });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("rows.csv has 2 bad rows:");
    expect(stderr).toContain('  row 1 (line 3) has text behind the quote that ends a cell: "Another" one.,Noch ');
    expect(stderr).toContain("  row 2 (line 4) has 1 cell, but the header has 2\n");
    expect(readdirSync(space.path).toSorted()).toEqual(["config.json", "rows.csv"]);
  });
});

describe.concurrent("headers", () => {
  test("may leave one column without a name, as for an index", async () => {
    const { rows, columns } = await readText(",input,,\n0,a,,\n");
    expect(columns).toEqual(["", "input"]);
    expect(valuesOf(rows)).toEqual([{ "": "0", input: "a" }]);
  });

  test("may have any names", async () => {
    const { rows } = await readText('__proto__,constructor,"a\nb"," c "\n1,2,3,4\n');
    expect(valuesOf(rows)).toEqual([
      Object.fromEntries([
        ["__proto__", "1"],
        ["constructor", "2"],
        ["a\nb", "3"],
        [" c ", "4"],
      ]),
    ]);
  });
});

test("a byte that is not UTF-8 is named with its line", async () => {
  const text = Buffer.from(`input\n${"a\n".repeat(40)}Gr\xf6\xdfe\n`, "latin1");
  await using space = await workspace();
  await expect(readFile(await space.write("rows.csv", text))).rejects.toThrow(
    "rows.csv is not UTF-8 text: the byte at 88 (0xF6, on line 42) is not valid UTF-8",
  );
});

test("a row has a longest length", async () => {
  await using space = await workspace();
  const path = await space.write("rows.csv", `input\nshort\n"${"a\n".repeat(19_000_000)}`);
  await expect(readFile(path)).rejects.toThrow(
    "rows.csv: the row that begins on line 3 is longer than 36000000 characters",
  );
});

test("a run takes its inputs, references and ids from a compressed table", async () => {
  await using space = await workspace();
  await space.write("articles.csv.gz", readFileSync(join(MADE, "pandas.csv.gz")));
  const fields = { input: "article", reference: "highlights" };
  const config = { ...configFor(), data_config: { input_data_path: "articles.csv.gz", fields } };
  await space.write("config.json", config);
  const run = await datagenInTurn(["run", "config.json", "--provider", "offline"], { cwd: space.path });
  expect(run.code).toBe(0);
  const { tasks } = await space.json<{ tasks: { id: string; context: string }[] }>(run.stdout.trim());
  const rows = JSON.parse(readFileSync(join(MADE, "rows.json"), "utf8")) as { id: string; article: string }[];
  expect(tasks.map(({ id, context }) => [id, context])).toEqual(rows.map(({ id, article }) => [id, article]));
});

async function planned(csv: string): Promise<Workspace> {
  const space = await workspace();
  await space.write("rows.csv", csv);
  await space.write("config.json", { ...configFor(), data_config: { input_data_path: "rows.csv" } });
  return space;
}
