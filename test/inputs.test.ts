import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type Input, readInputs } from "../src/sources/inputs.ts";
import { UsageError } from "../src/errors.ts";
import {
  configFor,
  environmentFor,
  expectedDataset,
  openDatabase,
  type Row,
  rows,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { startServer } from "./support/server.ts";

const ALL = 1_000_000;

/** Files are read in chunks of this many bytes. */
const CHUNK = 256 * 1024;

/** What a file with this content holds, and the SHA-256 that its reader returns. */
async function read(ws: Workspace, content: unknown, limit = ALL): Promise<{ inputs: Input[]; sha256: string }> {
  const generator = readInputs({ input_data_path: await ws.write("rows.json", content), sample_size: limit });
  const inputs: Input[] = [];
  for (let next = await generator.next(); ; next = await generator.next()) {
    if (next.done) return { inputs, sha256: next.value.sha256 };
    inputs.push(...next.value);
  }
}

/** What is wrong with a file with this content; undefined where nothing is. */
async function refusalOf(ws: Workspace, content: unknown, limit = ALL): Promise<string | undefined> {
  try {
    await read(ws, content, limit);
  } catch (error) {
    if (error instanceof UsageError) return error.message.replaceAll(ws.at("rows.json"), "FILE");
    throw error;
  }
  return undefined;
}

const asInputs = (list: Row[]): Input[] =>
  list.map(({ input, reference = null }, index) => ({ index, text: input, reference, id: null, columns: {} }));
const jsonLines = (list: unknown[]) => list.map((row) => JSON.stringify(row)).join("\n");

/** Characters of one to four bytes in UTF-8, what JSON writes as escapes, and what looks like JSON's own structure. */
const AWKWARD = 'a"},{"input":"\\\\\\"]]}[{//,\u0000\u0001\n\r\t\u2028\u00e4ß€日本\ufffd\ufeff👩‍👧😀\ud83d \udfff';

describe("an input file", () => {
  const three: Row[] = [{ input: "eins", reference: "one" }, { input: "zwei" }, { input: AWKWARD, reference: AWKWARD }];

  test.each([
    ["a JSON array on one line", JSON.stringify(three)],
    ["an indented JSON array", JSON.stringify(three, null, 4)],
    ["a JSON array with CRLF lines", JSON.stringify(three, null, 2).replaceAll("\n", "\r\n")],
    ["a JSON array with tabs and blank lines around all of it", `\n\t ${JSON.stringify(three, null, "\t")}\n \r\n\n`],
    ["a JSON array behind a byte order mark", `\ufeff${JSON.stringify(three)}`],
    [
      "a JSON array whose rows have white space around them",
      `[ ${three.map((r) => JSON.stringify(r)).join(" ,\n ")} ]`,
    ],
    ["JSON Lines", jsonLines(three)],
    ["JSON Lines with a line break at the end", `${jsonLines(three)}\n`],
    ["JSON Lines with CRLF", `${jsonLines(three).replaceAll("\n", "\r\n")}\r\n`],
    ["JSON Lines behind a byte order mark", `\ufeff${jsonLines(three)}`],
    ["JSON Lines with blank lines and white space", `\n \n${jsonLines(three).replaceAll("\n", "  \n\n\t ")}\n\n`],
  ])("may be %s", async (_, content) => {
    await using ws = await workspace();
    expect((await read(ws, content)).inputs).toEqual(asInputs(three));
  });

  test("may have more keys, nested to any depth, which are not read", async () => {
    await using ws = await workspace();
    const more = { number: 7, meta: { tags: ["]", "}", { deep: [[[{}]]] }], "input ": "no" } };
    const list = three.map((row) => ({ ...more, ...row, last: [AWKWARD, [1, 2]] }));
    expect((await read(ws, list)).inputs).toEqual(asInputs(three));
    expect((await read(ws, jsonLines(list))).inputs).toEqual(asInputs(three));
  });

  test("may have references that are null, empty or left out", async () => {
    await using ws = await workspace();
    const list = [{ input: "a", reference: null }, { input: "b", reference: "" }, { input: "c" }];
    expect((await read(ws, list)).inputs.map(({ reference }) => reference)).toEqual([null, "", null]);
  });

  test("may have any character as an escape or as itself, lone surrogates as escapes", async () => {
    await using ws = await workspace();
    const content = String.raw`[{"input":"\ud800 \udc00\ud83d\ude00😀\u0000\u00e4ä\/\b\f"}]`;
    const { inputs } = await read(ws, content);
    expect(inputs).toEqual([
      { index: 0, id: null, text: "\ud800 \udc00😀😀\u0000ää/\b\f", reference: null, columns: {} },
    ]);
  });

  test.each(["array", "lines"])(
    "may be cut into chunks at any byte: of a character, an escape or a row (%s)",
    async (form) => {
      await using ws = await workspace();
      // Characters of one to four bytes, escapes of two and six, and a quote before what looks like the end of a row: the
      // end of a chunk falls between any two of these bytes.
      const unit = '"},{😀\\\n\ud800ä€';
      const bytes = Buffer.byteLength(JSON.stringify(unit).slice(1, -1));
      const list = [
        { input: unit.repeat(Math.ceil(CHUNK / bytes) + 3), reference: "longer than a chunk" },
        ...Array.from({ length: 9_000 }, (_, i) => ({ input: `${i} ${unit}`, reference: unit })),
      ];
      const content = Buffer.from(form === "array" ? JSON.stringify(list) : jsonLines(list));
      expect(content.length).toBeGreaterThan(2 * CHUNK);
      for (let shift = 0; shift < bytes; shift += 1) {
        const { inputs } = await read(ws, Buffer.concat([Buffer.alloc(shift, " "), content]));
        // Comparing in one go: printing a difference of this length would take forever.
        expect(JSON.stringify(inputs) === JSON.stringify(asInputs(list)), `shifted by ${shift}`).toBe(true);
      }
    },
  );

  test("gives the first rows only, in the order of the file", async () => {
    await using ws = await workspace();
    expect((await read(ws, rows(50), 7)).inputs).toEqual(asInputs(rows(7)));
    expect((await read(ws, jsonLines(rows(50)), 1)).inputs).toEqual(asInputs(rows(1)));
    expect((await read(ws, rows(50), 50)).inputs).toEqual(asInputs(rows(50)));
    expect((await read(ws, rows(50), 51)).inputs).toEqual(asInputs(rows(50)));
  });

  test("has the SHA-256 of all of its bytes, however few of its rows are read", async () => {
    await using ws = await workspace();
    for (const content of [
      JSON.stringify(rows(10)),
      `\ufeff${jsonLines(rows(10))}\r\n\n`,
      `${JSON.stringify(rows(12_000), null, 2)}\n`,
      jsonLines(rows(12_000)),
    ]) {
      const expected = createHash("sha256").update(content).digest("hex");
      for (const limit of [1, 2, 10, 11_999, ALL]) {
        expect((await read(ws, content, limit)).sha256).toBe(expected);
      }
    }
  });
});

describe("a row", () => {
  test("that is bad is named by its index and its line, with what is wrong: all of them at once", async () => {
    await using ws = await workspace();
    const bad = [
      '{"input": 7}',
      '{"input": "fine"}',
      '{"input": null}',
      '["a"]',
      '"text"',
      "null",
      "3",
      '{"Input": "a", "text": "b"}',
      "{}",
      '{"input": " \\n\\t "}',
      '{"input": ""}',
      '{"input": "a", "reference": 3}',
      '{"input": "a", "reference": ["b"]}',
      '{"input": "a", "reference": {"b": true}}',
      '{"input": {"text": "a"}}',
      '{"input": true}',
    ];
    expect(await refusalOf(ws, `[\n${bad.join(",\n")}\n]`)).toBe(
      [
        "FILE has 15 bad rows:",
        '  row 0 (line 2): expected "input" to be a string, found the number 7',
        '  row 2 (line 4): expected "input" to be a string, found null',
        "  row 3 (line 5): expected an object {input, reference?}, found an array",
        '  row 4 (line 6): expected an object {input, reference?}, found the string "text"',
        "  row 5 (line 7): expected an object {input, reference?}, found null",
        "  row 6 (line 8): expected an object {input, reference?}, found the number 3",
        '  row 7 (line 9) has no "input"; it has "Input", "text"',
        '  row 8 (line 10) has no "input"; it has no keys',
        '  row 9 (line 11): "input" is empty',
        '  row 10 (line 12): "input" is empty',
        '  row 11 (line 13): expected "reference" to be a string or null, found the number 3',
        '  row 12 (line 14): expected "reference" to be a string or null, found an array',
        '  row 13 (line 15): expected "reference" to be a string or null, found an object',
        '  row 14 (line 16): expected "input" to be a string, found an object',
        '  row 15 (line 17): expected "input" to be a string, found the boolean true',
      ].join("\n"),
    );
  });

  test("that is bad in JSON Lines is named by its index among the rows and by its line in the file", async () => {
    await using ws = await workspace();
    const content = '\n{"input": "a"}\n\n{"input": "b"\n{"input": 5}\n\n{"input": "c"} {"input": "d"}\nnull\n';
    const [first, ...bad] = (await refusalOf(ws, content))?.split("\n") ?? [];
    expect(first).toBe("FILE has 4 bad rows:");
    expect(bad).toEqual([
      expect.stringMatching(/^ {2}row 1 \(line 4\) is not valid JSON: /),
      '  row 2 (line 5): expected "input" to be a string, found the number 5',
      expect.stringMatching(/^ {2}row 3 \(line 7\) is not valid JSON: /),
      "  row 4 (line 8): expected an object {input, reference?}, found null",
    ]);
  });

  test.each(["array", "lines"])(
    "that is bad far behind in a long file is named by its own index and line (%s)",
    async (form) => {
      await using ws = await workspace();
      const list: unknown[] = rows(20_000);
      list[19_876] = { input: "a", reference: 1 };
      list[19_999] = { inputs: "a" };
      const content = form === "array" ? JSON.stringify(list, null, 2) : jsonLines(list);
      const lineOf = (row: number) => (form === "array" ? 2 + 4 * row : 1 + row);
      expect(Buffer.byteLength(content)).toBeGreaterThan(4 * CHUNK);
      expect(await refusalOf(ws, content)).toBe(
        [
          "FILE has 2 bad rows:",
          `  row 19876 (line ${lineOf(19_876)}): expected "reference" to be a string or null, found the number 1`,
          `  row 19999 (line ${lineOf(19_999)}) has no "input"; it has "inputs"`,
        ].join("\n"),
      );
    },
  );

  test("that is bad is one of twenty at most that are named, and the rest is said to be left out", async () => {
    await using ws = await workspace();
    const message = await refusalOf(
      ws,
      Array.from({ length: 500 }, (_, i) => ({ input: i })),
    );
    const lines = message?.split("\n") ?? [];
    expect(lines[0]).toBe("FILE has 20 bad rows:");
    expect(lines[20]).toMatch(/^ {2}row 19 /);
    expect(lines.slice(21)).toEqual(["  (the rows after these were not checked)"]);
  });

  test("that is bad does not matter behind the sample, nor does what follows it", async () => {
    await using ws = await workspace();
    const good = asInputs(rows(3));
    const start = JSON.stringify(rows(3)).slice(0, -1);
    for (const content of [
      `${start},{"input":4},null]`,
      `${start},{"input":"cut o`,
      `${start}] and more`,
      `${start},]`,
      `${jsonLines(rows(3))}\n{"input":4}\nnull\nnothing`,
      Buffer.concat([Buffer.from(`${start}, "${" ".repeat(2 * CHUNK)}`), Buffer.from([0xff, 0xfe])]),
    ]) {
      expect((await read(ws, content, 3)).inputs).toEqual(good);
      expect(await refusalOf(ws, content, 4)).toEqual(expect.any(String));
    }
  });
});

test("an array is taken only if it is JSON to its end: no row of a damaged file is lost in silence", async () => {
  await using ws = await workspace();
  const whole = '[{"input":"a","x":[1,{"y":"]"}]},{"input":"b\\""},{"input":"c"}]';
  const damaged = new Set<string>();
  for (let at = 0; at <= whole.length; at += 1) {
    const [before, after] = [whole.slice(0, at), whole.slice(at)];
    damaged.add(before);
    damaged.add(before + after.slice(1));
    for (const character of '[]{},:"\\') damaged.add(before + character + after);
    for (const bracket of "[]{}") damaged.add(before + bracket + after.slice(1));
  }
  const isJsonArray = (text: string) => {
    try {
      return Array.isArray(JSON.parse(text));
    } catch {
      return false;
    }
  };
  const wrong: string[] = [];
  let taken = 0;
  for (const text of damaged) {
    if ((await refusalOf(ws, text)) !== undefined) continue;
    taken += 1;
    const isWhole =
      isJsonArray(text) && (await read(ws, text)).inputs.length === (JSON.parse(text) as unknown[]).length;
    if (!isWhole) wrong.push(text);
  }
  expect(wrong).toEqual([]);
  // Such as the file itself, and those in which only a text has changed.
  expect(taken).toBeGreaterThan(10);
  expect(damaged.size).toBeGreaterThan(500);
});

interface Broken {
  name: string;
  content: string | Uint8Array;
  /** Default: rows.json, which holds the content. */
  path?: string;
  says: (string | RegExp)[];
}

const good = JSON.stringify(rows(3));
const BROKEN: Broken[] = [
  { name: "a file that is not there", path: "none.json", content: good, says: ["there is no input file none.json"] },
  { name: "a directory", path: "folder", content: good, says: ["the input file folder is not a regular file"] },
  {
    name: "a path that goes on behind a file",
    path: "rows.json/inner.json",
    content: good,
    says: ["there is no input file rows.json/inner.json"],
  },
  { name: "a file of zero bytes", content: "", says: ["rows.json is empty"] },
  { name: "white space", content: "\ufeff \r\n\n", says: ["rows.json is empty"] },
  { name: "an empty array", content: "[ ]", says: ["rows.json has no rows"] },
  { name: "a CSV file", content: "input,reference\na,b\n", says: ['rows.json begins with "i"', "JSON Lines"] },
  {
    name: "an object around the array",
    content: `{"data": ${good}}`,
    says: ['row 0 (line 1) has no "input"; it has "data"'],
  },
  {
    name: "a truncated array",
    content: good.slice(0, -20),
    says: ["rows.json ends in the middle of row 2, which begins on line 1", "never closed"],
  },
  { name: "an array that is never closed", content: good.slice(0, -1), says: ["rows.json ends in the middle of row"] },
  {
    name: "an array that a brace closes",
    content: `${good.slice(0, -1)}}`,
    says: [/rows\.json/],
  },
  {
    name: "text behind the array",
    content: `${good}\n\n{"input": "late"}`,
    says: ["rows.json, line 3: expected the end of the file after its array"],
  },
  {
    name: "a comma behind the last row",
    content: `${good.slice(0, -1)},\n]`,
    says: [/row 3 \(line 2\) is not valid JSON: there is no value/],
  },
  {
    name: "two rows without a comma",
    content: '[{"input": "a"}\n{"input": "b"}]',
    says: [/row 0 \(line 1\) is not valid JSON/],
  },
  { name: "NaN as a row", content: '[{"input": "a"},\nNaN]', says: [/row 1 \(line 2\) is not valid JSON: .*NaN/] },
  {
    name: "single quotes",
    content: "[{'input': 'a'}]",
    says: [/row 0 \(line 1\) is not valid JSON/],
  },
  {
    name: "a reference that is a number",
    content: '[{"input": "a"}, {"input": "b", "reference": 3}]',
    says: ['row 1 (line 1): expected "reference" to be a string or null, found the number 3'],
  },
  {
    name: "an input that is empty",
    content: '[{"input": ""}]',
    says: ["rows.json has 1 bad row", 'row 0 (line 1): "input" is empty'],
  },
  {
    name: "several bad rows",
    content: '[{"input": "a"},\n {"text": "b"},\n {"input": "c"},\n {"input": ["d"]},\n 5]',
    says: [
      "rows.json has 3 bad rows",
      'row 1 (line 2) has no "input"; it has "text"',
      'row 3 (line 4): expected "input" to be a string, found an array',
      "row 4 (line 5): expected an object {input, reference?}, found the number 5",
    ],
  },
  {
    name: "a bad line of JSON Lines",
    content: '{"input": "a"}\n{"input": "b",}\n',
    says: [/row 1 \(line 2\) is not valid JSON/],
  },
  {
    name: "text in Latin-1",
    content: Buffer.from('[{"input": "a"}, {"input": "Größe"}]', "latin1"),
    says: ["rows.json is not UTF-8 text: the byte at 30 (0xF6, in row 1) is not valid UTF-8", "Latin-1"],
  },
  {
    name: "a Parquet file",
    content: Buffer.from("PAR1\u0015\u0004\u0015\u0010"),
    says: ["rows.json is a Parquet file: let its name end in .parquet"],
  },
  {
    name: "a gzip file",
    content: gzipSync(good),
    says: ["rows.json is a gzip file: unpack it, or let its name end in .gz"],
  },
  { name: "a ZIP file", content: "PK\u0003\u0004\u0014", says: ["rows.json is a ZIP archive: unpack it"] },
  { name: "a file of zeros", content: Buffer.alloc(5_000), says: ["rows.json holds NUL bytes, so it is not text."] },
  {
    name: "a device",
    path: "/dev/zero",
    content: good,
    says: ["/dev/zero is a pipe or a device", "Write it to a file"],
  },
  {
    name: "keys that stand twice in a row",
    content: String.raw`[{"input": "\"input\"", "reference": "input"}, {"input": "a", "meta": {"input": 1}, "input": "b"},
      {"input": "a", "reference": "b", "reference": null}]`,
    says: ['2 bad rows:\n  row 1 (line 1) has the key "input" twice\n  row 2 (line 2) has the key "reference" twice\n'],
  },
  {
    name: "texts of more than 8 MB",
    content: JSON.stringify(
      [{ input: "a".repeat(8_000_000) }, { input: "b".repeat(8_100_000) }, { input: "c", reference: "€".repeat(3e6) }],
      null,
      2,
    ),
    says: [
      '2 bad rows:\n  row 1 (line 5): "input" has 8.1 MB; expected at most 8 MB\n  row 2 (line 8): "reference" has 9 MB; ',
    ],
  },
  {
    name: "a line that has no end",
    content: `{"input": "a"}\n{"input": "${"b".repeat(40_000_000)}`,
    says: ["rows.json: row 1, which begins on line 2, is longer than 36000000 characters"],
  },
  {
    name: "text in UTF-16",
    content: Buffer.from(`\ufeff${good}`, "utf16le"),
    says: ["rows.json is not UTF-8 text, but UTF-16."],
  },
  {
    name: "a file that ends in the middle of a character",
    content: Buffer.from('{"input": "a"}\n{"input": "€').subarray(0, -1),
    says: ["rows.json is not UTF-8 text"],
  },
];

test("bytes that are not UTF-8 are named by their row, wherever the chunks end", async () => {
  await using ws = await workspace();
  for (const before of [CHUNK - 3, CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1]) {
    const begin = Buffer.from(`{"input": "a"}\n{"input": "${"€".repeat(100)}${"b".repeat(before - 327)}`);
    expect(begin).toHaveLength(before - 1);
    const bad = Buffer.concat([begin, Buffer.from([0xe2, 0x82, 0x41]), Buffer.from('"}\n')]);
    const place = `the byte at ${before - 1} (0xE2, in row 1) is not valid UTF-8`;
    expect(await refusalOf(ws, bad)).toBe(`FILE is not UTF-8 text: ${place}`);
    // Three bytes of a character, in the place of two and another.
    bad[before + 1] = 0xac;
    expect((await read(ws, bad)).inputs[1]?.text.endsWith("b€")).toBe(true);
  }
});

/** How many runs the database of a workspace has, hidden ones included; a database that was never made has none. */
function runsIn(ws: Workspace): unknown {
  if (!existsSync(ws.at("datagen.db"))) return 0;
  const database = openDatabase(ws.at("datagen.db"));
  try {
    return database.prepare("select count(*) from runs").pluck().get();
  } finally {
    database.close();
  }
}

describe.concurrent("a run is refused in a sentence, and nothing is sent or planned,", () => {
  test.each(BROKEN)("for $name", async ({ content, path = "rows.json", says }) => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("config.json", configFor({ data_config: { input_data_path: path } }));
    await ws.write("rows.json", content);
    await ws.write("folder/rows.json", good);

    const result = await datagenInTurn(["run", "config.json", "--db", "datagen.db", "--json"], {
      cwd: ws.path,
      env: environmentFor(server),
    });

    expect(result).toMatchObject({ code: 2, stdout: "" });
    // On a slow machine, progress may be shown before the error.
    expect(result.stderr).toMatch(/^Error: \S/m);
    expect(result.stderr).not.toMatch(/^\s+at |Unexpected error/m);
    for (const text of says) {
      if (typeof text === "string") expect(result.stderr).toContain(text);
      else expect(result.stderr).toMatch(text);
    }
    expect(runsIn(ws)).toBe(0);
    expect(existsSync(ws.at("data/agents"))).toBe(false);
    expect([...server.requests, ...server.strays]).toEqual([]);
  });
});

describe("a relative path of the inputs", () => {
  /** A config in a folder of its own, which a command elsewhere names. */
  async function apart(...folders: string[]): Promise<Workspace> {
    const ws = await workspace();
    await ws.write("experiment/config.json", configFor());
    for (const [at, folder] of folders.entries()) await ws.write(`${folder}/rows.json`, rows(at + 1));
    return ws;
  }

  const estimated = (ws: Workspace) =>
    datagenInTurn(["estimate", "experiment/config.json", "--json"], { cwd: ws.path });

  test.for([
    ["beside the current folder, where both have one", [".", "experiment"], 1],
    ["beside the config, where the current folder has none", ["experiment"], 1],
  ] as const)("is one %s", async ([, folders, inputs]) => {
    await using ws = await apart(...folders);
    const { code, stdout, stderr } = await estimated(ws);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ inputs });
  });

  test("is stored as the file that was found, which a dataset never replaces", async () => {
    await using ws = await apart("experiment");
    const run = (...flags: string[]) =>
      datagenInTurn(["run", "experiment/config.json", "--provider", "offline", ...flags], { cwd: ws.path });
    const refused = await run("--output", "experiment/rows.json");
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("which is an input of the run") });
    expect((await run("--output", "out.json")).code).toBe(0);
    expect(await ws.json("out.json")).toMatchObject({
      metadata: { data_config: { input_data_path: "experiment/rows.json" } },
    });
  });

  test("that leads nowhere is refused with the full path of both places", async () => {
    await using ws = await apart();
    const { code, stderr } = await estimated(ws);
    const places = [ws.at("rows.json"), ws.at("experiment/rows.json")];
    expect(code).toBe(2);
    expect(stderr).toContain(`there is no input file rows.json: looked for ${places.join(" and for ")}\n`);
  });
});

describe("a run", () => {
  test("uses all of a file that has fewer inputs than the sample size, and says so", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ data_config: { sample_size: 500 } });
    await ws.write("config.json", config);
    await ws.write("rows.json", rows(3));

    const args = ["run", "config.json", "--db", "datagen.db", "--output", "out.json"];
    const result = await datagenInTurn(args, { cwd: ws.path, env: environmentFor(server) });

    expect(result).toMatchObject({ code: 0, stdout: "out.json\n" });
    expect(result.stderr).toContain("rows.json has 3 inputs; sample_size is 500, so all are used");
    expect(await ws.json("out.json")).toMatchObject({ tasks: expectedDataset(config, rows(3)).tasks });
    expect(runsIn(ws)).toBe(1);
  });

  test("of a part of a file says how many inputs it has, and has the SHA-256 of the whole file", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const content = `${jsonLines(rows(9))}\n{"input": 4}\n`;
    await ws.write("rows.jsonl", content);
    const config = configFor({ data_config: { input_data_path: "rows.jsonl" } });
    await ws.write("config.json", config);

    const args = ["run", "config.json", "--sample-size", "2", "--output", "out.json"];
    const result = await datagenInTurn(args, { cwd: ws.path, env: environmentFor(server) });

    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain("Warning: 2 of 10 inputs of rows.jsonl are used\n");
    expect(await ws.json("out.json")).toMatchObject({
      tasks: expectedDataset(config, rows(2)).tasks,
      metadata: { input_sha256: createHash("sha256").update(content).digest("hex") },
    });
  });

  test("of the first inputs of a file says what takes more, as an estimate does", async () => {
    await using ws = await workspace();
    await ws.write("rows.json", rows(5));
    await ws.write("config.json", configFor({ data_config: { sample_size: 4 } }));
    const said = "Warning: 4 of 5 inputs of rows.json are used; sample_size takes more\n";
    for (const args of [
      ["run", "config.json", "--provider", "offline", "--no-export"],
      ["estimate", "config.json"],
    ]) {
      expect((await datagenInTurn(args, { cwd: ws.path })).stderr).toContain(said);
    }
    await ws.write("config.json", configFor({ data_config: { sample_size: 5 } }));
    expect((await datagenInTurn(["estimate", "config.json"], { cwd: ws.path })).stderr).not.toContain("Warning");
  });

  test("keeps every input to the character, on the way to the model, into the database and out again", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const list: Row[] = [
      AWKWARD,
      "\u0000",
      "a\u0000b",
      "\ufeffx",
      "a\r\nb\rc\n",
      "  spaces around  ",
      "😀".repeat(5_000),
      "e\u0301",
      "\u00e9",
      "```",
      "\ud83d",
      "\ude00",
    ].map((input, i) => ({ input, reference: `${input}${i % 2}` }));
    const config = configFor({ add_references: true });
    await ws.write("config.json", config);
    await ws.write("rows.json", list);

    const args = ["run", "config.json", "--output", "out.json"];
    const result = await datagenInTurn(args, { cwd: ws.path, env: environmentFor(server) });

    expect(result).toMatchObject({ code: 0 });
    const { tasks, calls } = expectedDataset(config, list);
    const dataset = await ws.json<{ tasks: typeof tasks }>("out.json");
    expect(dataset.tasks.map(({ context }) => context)).toEqual(list.map(({ input }) => input));
    expect(dataset.tasks).toEqual(tasks);
    expect(server.requests).toHaveLength(calls.length);
  });

  test("keeps apart inputs that differ only in what UTF-8 cannot say", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const list = ["a \ud800 b", "a \ud801 b", "a \udfff b", "a \ufffd b"].map((input) => ({ input, reference: input }));
    const config = configFor({ add_references: true });
    await ws.write("config.json", config);
    await ws.write("rows.json", list);

    const args = ["run", "config.json", "--output", "out.json"];
    const result = await datagenInTurn(args, { cwd: ws.path, env: environmentFor(server) });

    expect(result).toMatchObject({ code: 0 });
    const { tasks } = expectedDataset(config, list);
    const dataset = await ws.json<{ tasks: typeof tasks }>("out.json");
    expect(dataset.tasks.map(({ context }) => context)).toEqual(list.map(({ input }) => input));
    expect(dataset.tasks).toEqual(tasks);
  });

  test("asks for an input as often as the file has it", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const list = [...rows(2), ...rows(2), ...rows(1)];
    const config = configFor();
    await ws.write("config.json", config);
    await ws.write("rows.json", list);

    const args = ["run", "config.json", "--output", "out.json"];
    const result = await datagenInTurn(args, { cwd: ws.path, env: environmentFor(server) });

    expect(result).toMatchObject({ code: 0 });
    expect((await ws.json<{ tasks: unknown }>("out.json")).tasks).toEqual(expectedDataset(config, list).tasks);
  });
});
