import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { DataShown } from "../src/app/data/show-data.ts";
import { configFor, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

/** What `data show --json` prints of files. */
async function shown(space: Workspace, ...args: string[]): Promise<DataShown> {
  const { code, stdout, stderr } = await datagenInTurn(["data", "show", ...args, "--json"], { cwd: space.path });
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as DataShown;
}

async function shownOf(rows: readonly object[]): Promise<DataShown> {
  await using space = await workspace();
  await space.write("rows.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
  return await shown(space, "rows.jsonl");
}

const ARTICLES = [
  "guid,article,highlights",
  'a-1,"The river rose during the night, and the bridge closed.",Bridge closed',
  "a-2,A dog won the race.,",
  "",
].join("\n");

test("data show names format, rows, columns and the part of a config", async () => {
  await using space = await workspace();
  await space.write("articles.csv", ARTICLES);
  const { code, stdout, stderr } = await datagenInTurn(["data", "show", "articles.csv"], { cwd: space.path });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toBe(`articles.csv: csv, 2 rows

COLUMN      TYPE  FILLED  MEAN CHARS  FIRST VALUE
guid        text       2           3  a-1
article     text       2          37  The river rose during the night, and the bridge closed.
highlights  text       1          13  Bridge closed

In a config, by the names of the columns:

  "data_config": {
    "input_data_path": "articles.csv",
    "fields": { "input": "article", "reference": "highlights", "id": "guid" }
  }
`);
});

test("what data show prints makes a config that runs", async () => {
  await using space = await workspace();
  await space.write("articles.csv", ARTICLES);
  const { stdout } = await datagenInTurn(["data", "show", "articles.csv"], { cwd: space.path });
  const [member = ""] = /^ {2}"data_config": [^]*^ {2}\}/m.exec(stdout) ?? [];
  await space.write("config.json", { ...configFor(), ...(JSON.parse(`{${member}}`) as object) });
  const run = await datagenInTurn(["run", "config.json", "--provider", "offline"], { cwd: space.path });
  expect(run.code).toBe(0);
  const { tasks } = await space.json<{ tasks: { id: string; context: string }[] }>(run.stdout.trim());
  expect(tasks.map(({ id, context }) => [id, context])).toEqual([
    ["a-1", "The river rose during the night, and the bridge closed."],
    ["a-2", "A dog won the race."],
  ]);
});

describe.concurrent("the proposed fields", () => {
  test.each<[names: string, row: object, fields: object | undefined]>([
    ["input and reference", { input: "a", reference: "b", id: 1 }, undefined],
    ["article and highlights", { id: 1, highlights: "b", article: "a" }, { input: "article", reference: "highlights" }],
    ["document and summary", { document: "a", summary: "b" }, { input: "document", reference: "summary" }],
    ["dialogue and summary", { id: "1", dialogue: "a", summary: "b" }, { input: "dialogue", reference: "summary" }],
    ["text and summary", { title: "t", text: "a", summary: "b" }, { input: "text", reference: "summary" }],
    ["names in capitals", { Article: "a", Summary: "b" }, { input: "Article", reference: "Summary" }],
    ["two languages", { translation: { de: "a", en: "b" } }, { input: "translation.de", reference: "translation.en" }],
    ["source and target", { source: "a", target: "b" }, { input: "source", reference: "target" }],
    ["question and answer", { question: "a", answer: "b" }, { input: "question", reference: "answer" }],
    ["a question whose answer is an object", { question: "a", answer: { x: 1 } }, { input: "question" }],
    ["only an abstract", { abstract: "a", year: 1999 }, { input: "abstract" }],
    ["the longest texts", { kurz: "a", lang: "a longer text" }, { input: "lang" }],
    ["ids of another name", { doc_id: 7, text: "a" }, { input: "text", id: "doc_id" }],
    ["no ids where the column id has them", { id: 1, doc_id: 7, text: "a" }, { input: "text" }],
  ])("are %s", async (_, row, fields) => {
    const { data_config: config } = await shownOf([row]);
    expect(config).toEqual({ input_data_path: "rows.jsonl", ...(fields && { fields }) });
  });

  test("have no ids that repeat", async () => {
    const { data_config: config } = await shownOf([
      { doc_id: "x", text: "a" },
      { doc_id: "x", text: "b" },
    ]);
    expect(config?.fields).toEqual({ input: "text" });
  });

  test.each([[5], [["a", "b"]], [{ en: "a" }]])("leave out a column of references that holds %j", async (reference) => {
    await using space = await workspace();
    await space.write("rows.json", [{ input: "a", reference }]);
    const result = await datagenInTurn(["data", "show", "rows.json"], { cwd: space.path });
    expect(result.stdout).toContain('"fields": { "reference": null }');
    const { data_config: config } = await shown(space, "rows.json");
    await space.write(
      "config.json",
      configFor({ data_config: { input_data_path: "rows.json", fields: config?.fields } }),
    );
    expect((await datagenInTurn(["preview", "config.json"], { cwd: space.path })).code).toBe(0);
    const { data_config: given } = await shown(space, "rows.json", "--fields", "input=input");
    expect(given?.fields).toEqual({ reference: null });
  });

  test("are no columns without names", async () => {
    const { data_config: config } = await shownOf([{ "": "the longest text", words: "short" }]);
    expect(config?.fields).toEqual({ input: "words" });
  });

  test("are none if no column holds texts", async () => {
    const { data_config: config, chosen_by: by } = await shownOf([{ text: 1, list: ["a"] }, { text: "b" }]);
    expect([config, by]).toEqual([null, null]);
  });

  test("can be given, and must be there", async () => {
    await using space = await workspace();
    await space.write("rows.json", [{ "a,b=c": "text", meta: { n: { ref: "r" } }, key: 5 }]);
    const { data_config: config, chosen_by: by } = await shown(
      space,
      "rows.json",
      "--fields",
      "input=a,b=c,reference=meta.n.ref,id=key",
    );
    expect(config?.fields).toEqual({ input: "a,b=c", reference: "meta.n.ref", id: "key" });
    expect(by).toBe("fields");
    const wrong = await datagenInTurn(["data", "show", "rows.json", "--fields", "input=text,id=no"], {
      cwd: space.path,
    });
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toBe('Error: rows.json has no column "text", "no"; it has "a,b=c", "meta.n.ref", "key"\n');
    for (const fields of ["article", "input=", "input=a,input=b", "text=a"]) {
      const refused = await datagenInTurn(["data", "show", "rows.json", "--fields", fields], { cwd: space.path });
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toContain(`--fields ${fields} names no columns`);
    }
  });

  test("come with a warning where rows have no input", async () => {
    await using space = await workspace();
    await space.write("rows.json", [{ text: "a" }, { text: " " }, { "other\nError: made up": "b" }]);
    const { code, stderr } = await datagenInTurn(["data", "show", "rows.json"], { cwd: space.path });
    expect([code, stderr]).toEqual([
      0,
      'Warning: some rows have no text in "text", such as row 1; a run needs a text in each\n',
    ]);
    const fields = "input=other\nError: made up";
    const list = await datagenInTurn(["data", "show", "rows.json", "--fields", fields], { cwd: space.path });
    // A name in a file cannot make a line that looks like one of datagen.
    expect(list.stderr).toMatch(/^Warning: some rows have no text in "other Error: made up", such as row 0.*\n$/);
  });
});

describe.concurrent("the columns", () => {
  test("are paths into objects, with the kinds of their values", async () => {
    const { columns } = await shownOf([
      { a: { b: { c: "x" }, n: 1 }, list: [{ d: 1 }], flag: true, no: null, both: "text" },
      { a: { b: { c: "xyz" } }, list: [], flag: false, no: null, both: 2 },
    ]);
    const length = { mean_characters: null, longest_characters: null };
    expect(columns).toEqual([
      {
        name: "a.b.c",
        type: "text",
        filled: 2,
        first_missing: null,
        mean_characters: 2,
        longest_characters: 3,
        examples: ["x", "xyz"],
      },
      { name: "a.n", type: "number", filled: 1, first_missing: 1, ...length, examples: ["1"] },
      { name: "list", type: "list", filled: 2, first_missing: null, ...length, examples: ['[{"d":1}]', "[]"] },
      { name: "flag", type: "true or false", filled: 2, first_missing: null, ...length, examples: ["true", "false"] },
      { name: "no", type: "null", filled: 0, first_missing: 0, ...length, examples: [] },
      {
        name: "both",
        type: "text or number",
        filled: 2,
        first_missing: null,
        mean_characters: 4,
        longest_characters: 4,
        examples: ["text", "2"],
      },
    ]);
  });

  test("may be nested deeper than can be shown", async () => {
    await using space = await workspace();
    await space.write("rows.jsonl", `{"text":"a","deep":${"[".repeat(20_000)}${"]".repeat(20_000)}}\n`);
    const { columns } = await shown(space, "rows.jsonl");
    expect(columns[1]?.examples).toEqual(["objects and arrays are nested more than 100 deep"]);
  });

  test("are those with the whole name, not members of objects that would have it, too", async () => {
    const { columns, data_config: config } = await shownOf([{ "a.b": "top", a: { b: "hidden", c: "seen" } }]);
    expect(columns.map(({ name, filled, examples }) => [name, filled, examples])).toEqual([
      ["a.b", 1, ["top"]],
      ["a.c", 1, ["seen"]],
    ]);
    expect(config?.fields).toEqual({ input: "a.c" });
  });

  test("are at most 500", async () => {
    const others = (from: number) => Array.from({ length: 300 }, (_, at) => [`c${from + at}`, at]);
    const rowFrom = (from: number) => ({ text: "a", ...Object.fromEntries(others(from)) });
    const { columns, has_more_columns: hasMore } = await shownOf([rowFrom(0), rowFrom(300)]);
    expect([columns.length, hasMore]).toEqual([500, true]);
  });
});

test("texts that are long, or would change the terminal, are cut and escaped", async () => {
  await using space = await workspace();
  const hostile = "\u001b[2J\u001b]0;title\u0007\u202eabc\u2066\r\n\u009b1m";
  await space.write("rows.json", [{ [`${hostile}name`]: `${hostile}${"x".repeat(7_900_000)}`, text: "a" }]);
  for (const flags of [[], ["--json"], ["--fields", `input=${hostile}name`]]) {
    const { code, stdout, stderr } = await datagenInTurn(["data", "show", "rows.json", ...flags], { cwd: space.path });
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.length).toBeLessThan(3_000);
    // oxlint-disable-next-line no-control-regex -- control characters are what this is about
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  }
});

test("several files and patterns are shown as one", async () => {
  await using space = await workspace();
  await space.write("b-2.csv", "text\nc\nd\n");
  await space.write("b-1.csv.gz", gzipSync("text\na\nb\n"));
  await space.write("a.json", [{ text: "z" }]);
  const both = await shown(space, "b-*", "a.json");
  expect(both.files).toEqual([
    { path: "b-1.csv.gz", format: "csv", rows: 2 },
    { path: "b-2.csv", format: "csv", rows: 2 },
    { path: "a.json", format: "json", rows: 1 },
  ]);
  expect(both.columns[0]?.examples).toEqual(["a", "b", "c"]);
  expect(both.data_config).toEqual({ input_data_path: ["b-*", "a.json"], fields: { input: "text" } });
  const one = await shown(space, "b-*");
  expect(one.data_config).toEqual({ input_data_path: "b-*", fields: { input: "text" } });
  const none = await datagenInTurn(["data", "show", "c-*"], { cwd: space.path });
  expect(none).toMatchObject({ code: 2, stdout: "" });
  expect(none.stderr).toContain("no file matches c-*");
});

test("rows that cannot be read are counted, and the first are named", async () => {
  await using space = await workspace();
  await space.write("rows.csv", `text,id\n${"a,1\n".repeat(3)}${"b\n".repeat(7)}`);
  const { bad_rows: bad, rows, columns } = await shown(space, "rows.csv");
  expect([rows, columns[0]?.filled, bad.count]).toEqual([10, 3, 7]);
  expect(bad.first).toHaveLength(5);
  expect(bad.first[0]).toBe("rows.csv: row 3 (line 5) has 1 cell, but the header has 2");
  const text = await datagenInTurn(["data", "show", "rows.csv"], { cwd: space.path });
  expect(text.stdout).toContain("7 rows cannot be read:\n  rows.csv: row 3 (line 5) has 1 cell");
});

test("a separator that was found is said once for all files", async () => {
  await using space = await workspace();
  await space.write("a.csv", "id;text\n1;a\n");
  await space.write("b.csv", "id;text\n1;a\n");
  const { code, stderr } = await datagenInTurn(["data", "show", "*.csv"], { cwd: space.path });
  expect([code, stderr]).toEqual([0, "Warning: cells are separated by semicolons, not by commas\n"]);
});
