import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../src/config/parse.ts";
import type { Config } from "../src/config/schema.ts";
import { configWarnings } from "../src/config/warnings.ts";
import { UsageError } from "../src/errors.ts";
import { type Input, readInputs } from "../src/sources/inputs.ts";
import { type ConfigOverrides, configFor, queryRows, rows, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

type Data = Partial<Config["data_config"]>;

/** The inputs that a config chooses, in the order of their positions, and what was said. */
async function choose(data: Data & Pick<Config["data_config"], "input_data_path">) {
  const warnings: string[] = [];
  const inputs: Input[] = [];
  const whole = { sample_size: 1_000_000, ...data };
  const reading = readInputs(whole, { onWarning: (message) => warnings.push(message) });
  for (let next = await reading.next(); ; next = await reading.next()) {
    if (!next.done) {
      inputs.push(...next.value);
      continue;
    }
    const sorted = inputs.toSorted((one, other) => one.index - other.index);
    expect(sorted.map(({ index }) => index)).toEqual(sorted.map((_, index) => index));
    return { inputs: sorted, texts: sorted.map(({ text }) => text), read: next.value, warnings };
  }
}

async function refusal(ws: Workspace, data: Data & Pick<Config["data_config"], "input_data_path">): Promise<string> {
  try {
    await choose(data);
  } catch (error) {
    if (error instanceof UsageError) return `${error.message}\n${error.hint ?? ""}`.replaceAll(`${ws.path}/`, "");
    throw error;
  }
  throw new Error("it was not refused");
}

const lines = (list: readonly unknown[]) => list.map((row) => JSON.stringify(row)).join("\n");

/** Rows with ids. */
const numbered = (count: number) => rows(count).map((row, id) => ({ id: `row-${id}`, ...row }));

describe("a random sample", () => {
  test("of a seed is the beginning of every larger one, and the same for the same rows in another order", async () => {
    await using ws = await workspace();
    const list = numbered(300);
    const path = await ws.write("rows.jsonl", lines(list));
    const turned = await ws.write("turned.jsonl", lines(list.toReversed()));
    const all = await choose({ input_data_path: path, shuffle: true, seed: 7 });
    expect(all.texts).not.toEqual(list.map(({ input }) => input));
    expect(all.texts.toSorted()).toEqual(list.map(({ input }) => input).toSorted());
    for (const size of [1, 2, 50, 120, 299]) {
      const some = await choose({ input_data_path: path, shuffle: true, seed: 7, sample_size: size });
      expect(some.texts).toEqual(all.texts.slice(0, size));
      expect(some.read).toEqual({ ...all.read, rows: 300 });
    }
    expect((await choose({ input_data_path: turned, shuffle: true, seed: 7, sample_size: 50 })).texts).toEqual(
      all.texts.slice(0, 50),
    );
    const rest = await choose({ input_data_path: path, shuffle: true, seed: 7, offset: 50, sample_size: 100 });
    expect(rest.texts).toEqual(all.texts.slice(50, 150));
    const other = await choose({ input_data_path: path, shuffle: true, seed: 8, sample_size: 300 });
    expect(other.texts).not.toEqual(all.texts);
    expect((await choose({ input_data_path: path, shuffle: true })).texts).toEqual(
      (await choose({ input_data_path: path, shuffle: true, seed: 0 })).texts,
    );
  });

  test.each([true, false])("changes only where rows that are appended sort into it (ids: %s)", async (withIds) => {
    await using ws = await workspace();
    const list = withIds ? numbered(400) : rows(400);
    // The same texts again are rows of their own.
    const more = withIds ? list : [...list, ...rows(40), ...rows(20)];
    const before = await ws.write("before.jsonl", lines(more));
    const after = await ws.write(
      "after.jsonl",
      lines([...more, ...Array.from({ length: 200 }, (_, i) => ({ id: `new-${i}`, input: `new ${i}` }))]),
    );
    const old = await choose({ input_data_path: before, shuffle: true });
    const grown = await choose({ input_data_path: after, shuffle: true });
    expect(grown.texts).toHaveLength(old.texts.length + 200);
    expect(grown.texts.filter((text) => !text.startsWith("new "))).toEqual(old.texts);
    const isNew = grown.texts.slice(0, 100).filter((text) => text.startsWith("new ")).length;
    expect(isNew).toBeGreaterThan(10);
    expect(isNew).toBeLessThan(60);
  });

  test("takes every row as often as any other", async () => {
    await using ws = await workspace();
    const path = await ws.write("rows.jsonl", lines([...rows(20), ...rows(5)]));
    const taken = new Map<string, number>();
    for (let seed = -200; seed < 200; seed += 1) {
      for (const text of (await choose({ input_data_path: path, shuffle: true, seed, sample_size: 5 })).texts) {
        taken.set(text, (taken.get(text) ?? 0) + 1);
      }
    }
    // Expected: 400 * 5 / 25 = 80 for each row, with a standard deviation of 8. Five texts have two rows.
    const counts = rows(20).map(({ input }) => taken.get(input) ?? 0);
    for (const [index, count] of counts.entries()) {
      const expected = index < 5 ? 160 : 80;
      expect(count, `text ${index}`).toBeGreaterThan(expected - 45);
      expect(count, `text ${index}`).toBeLessThan(expected + 45);
    }
  });

  test("that does not fit in memory is the same sample, read a second time", async () => {
    await using ws = await workspace();
    const long = "ä".repeat(3_900_000);
    const list = Array.from({ length: 24 }, (_, id) => ({ id, input: `${id} ${long}` }));
    const short = list.map(({ id }) => ({ id, input: `${id} short` }));
    const numbersOf = (texts: string[]) => texts.map((text) => text.split(" ", 1)[0]);
    const [big, small] = [await ws.write("big.jsonl", lines(list)), await ws.write("small.jsonl", lines(short))];
    const choice = { shuffle: true, offset: 2, sample_size: 20 };
    const chosen = await choose({ input_data_path: big, ...choice });
    expect(numbersOf(chosen.texts)).toEqual(numbersOf((await choose({ input_data_path: small, ...choice })).texts));
    expect(chosen.inputs[0]?.text).toHaveLength(long.length + String(chosen.inputs[0]?.id).length + 1);
  });

  test("is drawn from the rows that `where` takes", async () => {
    await using ws = await workspace();
    const list = numbered(100).map((row, index) => ({ ...row, split: index % 4 === 0 ? "test" : "train" }));
    const path = await ws.write("rows.jsonl", lines(list));
    const { inputs, read } = await choose({
      input_data_path: path,
      shuffle: true,
      sample_size: 10,
      where: { split: "test" },
    });
    expect(read.rows).toBe(25);
    expect(inputs).toHaveLength(10);
    for (const { id } of inputs) expect(Number(String(id).slice("row-".length)) % 4).toBe(0);
  });
});

describe("run", () => {
  async function run(
    space: Workspace,
    overrides: ConfigOverrides,
  ): Promise<{ total: number; reused: number; ids: unknown[]; stderr: string }> {
    await space.write("config.json", configFor({ api_provider: "offline", ...overrides }));
    const { code, stdout, stderr } = await datagenInTurn(["run", "config.json", "--json"], { cwd: space.path });
    expect(code, stderr).toBe(0);
    const told = JSON.parse(stdout) as { run: { calls: { total: number; reused: number } }; dataset: string };
    const { tasks } = await space.json<{ tasks: { id?: unknown }[] }>(told.dataset);
    return { ...told.run.calls, ids: tasks.map(({ id }) => id), stderr };
  }

  test("of a larger sample with the same seed sends exactly what is new, and says what it draws", async () => {
    await using space = await workspace();
    await space.write("rows.json", numbered(500));
    const data = { shuffle: true, seed: 3 };
    const small = await run(space, { data_config: { ...data, sample_size: 50 } });
    expect(small.stderr).toMatch("50 of 500 inputs of rows.json are used, drawn at random with the seed 3");
    const large = await run(space, { data_config: { ...data, sample_size: 120 } });
    expect(large.ids.slice(0, 50)).toEqual(small.ids);
    expect(new Set(large.ids).size).toBe(120);
    expect(large.reused).toBe(small.total);
    expect(large.total - large.reused).toBe((small.total / 50) * 70);
    await space.write("rows.json", [
      ...numbered(500),
      ...Array.from({ length: 300 }, (_, i) => ({ id: `more-${i}`, input: `mehr ${i}` })),
    ]);
    const grown = await run(space, { data_config: { ...data, sample_size: 120 } });
    const stayed = grown.ids.filter((id) => String(id).startsWith("row-"));
    expect(stayed).toEqual(large.ids.slice(0, stayed.length));
    expect(grown.reused).toBe((grown.total / 120) * stayed.length);
    expect(grown.stderr).toMatch(/rows\.json has changed since run \w+: of 120 inputs, \d+ were not in that run/);
  });

  test("in shards has the positions of the sample, and they join to the same run", async () => {
    await using space = await workspace();
    await space.write("rows.json", numbered(90));
    const config = { data_config: { shuffle: true, sample_size: 40, offset: 5 } };
    const whole = await run(space, config);
    for (const part of ["1/2", "2/2"]) {
      const args = ["run", "config.json", "--db", `${part[0]}.db`, "--shard", part, "--no-export"];
      expect((await datagenInTurn(args, { cwd: space.path })).code).toBe(0);
    }
    expect((await datagenInTurn(["db", "merge", "--db", "1.db", "2.db"], { cwd: space.path })).code).toBe(0);
    const { stdout } = await datagenInTurn(["export", "latest", "--db", "1.db", "--output", "-"], { cwd: space.path });
    const { tasks } = JSON.parse(stdout) as { tasks: { id: string }[] };
    expect(tasks.map(({ id }) => id)).toEqual(whole.ids);
  });

  test("keeps the ids of inputs through exports, views, imports and merges", async () => {
    await using space = await workspace();
    await space.write("rows.json", [
      { id: 7, input: "sieben" },
      { id: "007", input: "auch sieben", reference: "seven too" },
      { id: "ä/😀", input: "Zeichen" },
    ]);
    const ids = [7, "007", "ä/😀"];
    const { ids: exported } = await run(space, { data_config: { shuffle: false, fields: { input: "input" } } });
    expect(exported).toEqual(ids);
    const out = async (...args: string[]) => {
      const { code, stdout, stderr } = await datagenInTurn(args, { cwd: space.path });
      expect(code, stderr).toBe(0);
      return stdout;
    };
    const jsonl = await out("export", "latest", "--format", "jsonl", "--output", "-");
    const found = jsonl
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { id: unknown }).id);
    expect([...new Set(found)]).toEqual(ids);
    expect(await out("export", "latest", "--format", "csv", "--output", "-")).toMatch(/,007,/);
    const views = "select distinct id from v_answers order by task";
    expect(queryRows<{ id: unknown }>(space.at("data/datagen.db"), views).map(({ id }) => id)).toEqual([
      "7",
      "007",
      "ä/😀",
    ]);
    const config = await datagenInTurn(["runs", "config", "latest"], { cwd: space.path });
    expect(config.stderr).toMatch("names their file (then remove data_config.fields, data_config.shuffle).");
    const inputs = (await out("runs", "inputs", "latest"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { id: unknown });
    expect(inputs.map(({ id }) => id)).toEqual(ids);
    await out("export", "latest", "--output", "dataset.json");
    await out("import", "dataset.json", "--db", "other.db");
    const again = JSON.parse(await out("export", "latest", "--db", "other.db", "--output", "-")) as {
      tasks: { id: unknown }[];
    };
    expect(again.tasks.map(({ id }) => id)).toEqual(ids);
    await out("db", "merge", "--db", "third.db", "data/datagen.db");
    const merged = JSON.parse(await out("export", "latest", "--db", "third.db", "--output", "-")) as {
      tasks: { id: unknown }[];
    };
    expect(merged.tasks.map(({ id }) => id)).toEqual(ids);
  });

  test("is compared with another by ids where both have them, and by texts where one has none", async () => {
    await using space = await workspace();
    await space.write("rows.json", numbered(6));
    await run(space, { data_config: { sample_size: 6 } });
    const changed = numbered(8)
      .slice(1)
      .map((row, index) => (index === 2 ? { ...row, input: "ganz anders" } : row));
    await space.write("rows.json", changed);
    await run(space, { data_config: { sample_size: 9 } });
    await space.write("rows.json", rows(6));
    await run(space, { data_config: { sample_size: 6 } });
    const list = JSON.parse((await datagenInTurn(["runs", "list", "--json"], { cwd: space.path })).stdout) as {
      id: string;
    }[];
    const [third = "", second = "", first = ""] = list.map(({ id }) => id);
    const diff = async (a: string, b: string) =>
      JSON.parse((await datagenInTurn(["diff", a, b, "--json"], { cwd: space.path })).stdout) as {
        inputs: { both: number; changed?: number; only_a: { count: number }; only_b: { count: number } };
      };
    expect((await diff(first, second)).inputs).toMatchObject({
      both: 5,
      changed: 1,
      only_a: { count: 1 },
      only_b: { count: 2 },
    });
    const byText = (await diff(second, third)).inputs;
    expect(byText).toMatchObject({ both: 4, only_a: { count: 3 }, only_b: { count: 2 } });
    expect(byText).not.toHaveProperty("changed");
    expect((await datagenInTurn(["diff", first, second], { cwd: space.path })).stdout).toMatch(
      "Inputs are matched by their ids; 1 have different texts.",
    );
  });
});

describe("ids", () => {
  test("of the default column are left out if one repeats or is none, and this is said", async () => {
    await using ws = await workspace();
    for (const [list, why] of [
      [
        [
          { id: 1, input: "a" },
          { id: 2, input: "b" },
          { id: "1", input: "c" },
        ],
        'row 2 (line 3) has the id "1", which an earlier row has',
      ],
      [[{ id: 1, input: "a" }, { input: "b" }], 'row 1 (line 2) has no "id"'],
      [
        [
          { input: "a", id: null },
          { id: 1, input: "b" },
        ],
        'row 0 (line 1): expected "id" to be a text of 1 to 1000 characters or a whole number, found null',
      ],
      [
        [
          { id: 0.5, input: "a" },
          { id: "x", input: "b" },
        ],
        "found the number 0.5",
      ],
    ] as const) {
      const path = await ws.write("rows.jsonl", lines(list));
      const { read, warnings } = await choose({ input_data_path: path });
      expect(read.hasIds).toBe(false);
      expect(warnings).toEqual([
        expect.stringMatching(/^the column "id" is not used, because .*data_config\.fields can name/s),
      ]);
      expect(warnings[0]).toContain(why);
      const drawn = await choose({ input_data_path: path, shuffle: true });
      expect(drawn.read.hasIds).toBe(false);
      expect(drawn.inputs.map(({ id }) => id)).toEqual(list.map(() => null));
    }
    const none = await choose({ input_data_path: await ws.write("rows.jsonl", lines(rows(3))) });
    expect(none).toMatchObject({ warnings: [], read: { hasIds: true } });
  });

  test("of a named column must be there, and different", async () => {
    await using ws = await workspace();
    const path = await ws.write(
      "rows.jsonl",
      lines([
        { key: "a", input: "1" },
        { key: "b", input: "2" },
        { key: "a", input: "3" },
        { input: "4" },
        { key: "", input: "5" },
      ]),
    );
    expect(await refusal(ws, { input_data_path: path, fields: { id: "key" } })).toMatch(
      [
        "rows.jsonl has 3 bad rows:",
        '  row 2 (line 3) has the id "a", which an earlier row has',
        '  row 3 (line 4) has no "key"',
        '  row 4 (line 5): expected "key" to be a text of 1 to 1000 characters or a whole number, found the string ""',
      ].join("\n"),
    );
    const some = await choose({ input_data_path: path, fields: { reference: "late" }, sample_size: 2 });
    expect(some.warnings).toEqual([
      expect.stringMatching(/^none of the first 2 rows of .* has the column "late"; the first row has "key"/),
    ]);
    expect((await choose({ input_data_path: path, fields: { id: null } })).inputs).toHaveLength(5);
    expect(
      (await choose({ input_data_path: path, fields: { id: "key" }, sample_size: 2 })).inputs.map(({ id }) => id),
    ).toEqual(["a", "b"]);
  });
});

describe("fields", () => {
  test("name columns, also within objects; the whole name of a column comes first", async () => {
    await using ws = await workspace();
    const row = { "translation.de": "flach", translation: { de: "tief", en: "deep", list: [] }, meta: { id: 4 } };
    const path = await ws.write("rows.jsonl", lines([row]));
    const read = async (fields: Data["fields"]) => (await choose({ input_data_path: path, fields })).inputs[0];
    expect(await read({ input: "translation.de", reference: "translation.en", id: "meta.id" })).toMatchObject({
      text: "flach",
      reference: "deep",
      id: 4,
    });
    expect(await read({ input: "translation.en" })).toMatchObject({ text: "deep", reference: null, id: null });
    for (const [fields, says] of [
      [{ input: "article" }, 'row 0 (line 1) has no "article"; it has "translation.de", "translation", "meta"'],
      [{ input: "translation" }, 'expected "translation" to be a string, found an object'],
      [{ input: "translation.list" }, 'expected "translation.list" to be a string, found an array'],
      [
        { input: "translation.de", reference: "meta.id" },
        'expected "meta.id" to be a string or null, found the number 4',
      ],
      [
        { input: "translation.de", reference: "summary" },
        'no row of rows.jsonl has the column "summary"; the first row has "translation.de", "translation", "meta"',
      ],
    ] as const) {
      expect(await refusal(ws, { input_data_path: path, fields })).toContain(says);
    }
  });

  test("and the other keys of data_config are checked with all others of the config", () => {
    const data_config = {
      input_data_path: [],
      format: "xlsx",
      fields: { inputs: "a", reference: "" },
      where: { a: { b: 1 } },
      shuffle: 1,
      seed: 0.5,
      offset: -1,
    };
    expect(() => parseConfig({ ...configFor(), data_config })).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          /fields\.inputs: unknown key; did you mean "input"\?\n.*input_data_path: expected .*\n.*format: expected one of "json", .*\n.*fields\.reference: .*\n.*where\.a: expected .*\n.*shuffle: .*\n.*seed: .*\n.*offset: /,
        ) as unknown,
      }),
    );
  });
});

test("a seed without shuffle is said to have no effect", () => {
  const warningsOf = (data_config: object) =>
    configWarnings(parseConfig({ ...configFor(), data_config: { input_data_path: "rows.json", ...data_config } }));
  expect(warningsOf({ seed: 7 })).toEqual(["data_config.seed has no effect without shuffle: the first rows are used"]);
  expect(warningsOf({ seed: 7, shuffle: true })).toEqual([]);
});

describe("where", () => {
  const list = [
    { input: "a", language: "de", year: 2020, isNew: true, meta: { split: "test" } },
    { input: "b", language: "de", year: 2021, isNew: false, meta: { split: "dev" } },
    { input: "c", language: "en", year: 2020, isNew: null, meta: { split: "dev" } },
    { input: "d", language: null, year: "2020", meta: {} },
  ];

  test.each([
    [{ language: "de" }, "ab"],
    [{ language: ["de", "en"] }, "abc"],
    [{ language: [null, "en"] }, "cd"],
    [{ isNew: null }, "cd"],
    [{ isNew: [true, false] }, "ab"],
    [{ year: 2020 }, "acd"],
    [{ year: "2020", language: ["de"] }, "a"],
    [{ "meta.split": "dev" }, "bc"],
    [{}, "abcd"],
  ])("%j takes the rows %s", async (where, expected) => {
    await using ws = await workspace();
    const { texts, read } = await choose({ input_data_path: await ws.write("rows.jsonl", lines(list)), where });
    expect(texts.join("")).toBe(expected);
    expect(read.rows).toBe(expected.length);
  });

  test("skips rows before they are checked, leaves out rows of its own choice, and names what it found if it takes none", async () => {
    await using ws = await workspace();
    const path = await ws.write("rows.jsonl", lines([{ split: "x", input: null }, ...list, { split: "x" }]));
    expect((await choose({ input_data_path: path, where: { year: 2020 }, offset: 1, sample_size: 1 })).texts).toEqual([
      "c",
    ]);
    expect(await refusal(ws, { input_data_path: path, where: { language: "fr" } })).toMatch(
      'no row of rows.jsonl has what data_config.where wants\nOf the rows that it leaves out, "language" has no value, "de", "en".',
    );
    expect(await refusal(ws, { input_data_path: path, where: { langauge: "de" } })).toMatch(
      'no row of rows.jsonl has the column "langauge"; the first row has "split", "input"',
    );
    expect(await refusal(ws, { input_data_path: path, offset: 9 })).toMatch(
      "rows.jsonl has 6 rows to choose from, and data_config.offset leaves out 9",
    );
  });
});

describe("several files", () => {
  test("of a pattern are read in the order of their bytes, those of a list in its order, and are hashed together", async () => {
    await using ws = await workspace();
    for (const name of ["b", "a", "ä", "B", "a10", "a9"])
      await ws.write(`part/${name}.jsonl`, lines([{ input: name }]));
    await ws.write("part/odd[1].jsonl", lines([{ input: "odd" }]));
    const pattern = ws.at("part/[!o]*.jsonl");
    const all = await choose({ input_data_path: pattern });
    expect(all.texts).toEqual(["B", "a", "a10", "a9", "b", "ä"]);
    const listed = await choose({
      input_data_path: [ws.at("part/b.jsonl"), ws.at("part/a*.jsonl"), ws.at("part/odd[1].jsonl")],
    });
    expect(listed.texts).toEqual(["b", "a", "a10", "a9", "odd"]);
    const some = await choose({ input_data_path: pattern, sample_size: 2 });
    expect(some.texts).toEqual(["B", "a"]);
    expect(some.read).toEqual(all.read);
    await ws.write("part/ä.jsonl", lines([{ input: "anders" }]));
    expect((await choose({ input_data_path: pattern, sample_size: 2 })).read.sha256).not.toBe(all.read.sha256);
    expect(await refusal(ws, { input_data_path: ws.at("part/*.csv") })).toMatch("no file matches part/*.csv");
  });

  test("are named in errors, and found beside the config", async () => {
    await using ws = await workspace();
    await ws.write("study/in/1.jsonl", lines(rows(3)));
    await ws.write("study/in/2.jsonl", lines([{ input: "a" }, { input: 4 }]));
    await ws.write(
      "study/config.json",
      configFor({ api_provider: "offline", data_config: { input_data_path: "in/*.jsonl" } }),
    );
    const broken = await datagenInTurn(["run", "study/config.json"], { cwd: ws.path });
    expect(broken).toMatchObject({ code: 2, stdout: "" });
    expect(broken.stderr).toMatch(
      `has 1 bad row:\n  ${join("study", "in", "2.jsonl")}: row 1 (line 2): expected "input" to be a string, found the number 4`,
    );
    await ws.write("study/in/2.jsonl", lines([{ input: "a" }]));
    const { code, stdout } = await datagenInTurn(["run", "study/config.json", "--json"], { cwd: ws.path });
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { run: { tasks: number } }).run.tasks).toBe(4);
    const lost = { input_data_path: ["in/none-*.jsonl", "nothing.json"] };
    await ws.write("study/config.json", configFor({ api_provider: "offline", data_config: lost as never }));
    const missing = await datagenInTurn(["run", "study/config.json"], { cwd: ws.path });
    expect(missing.code).toBe(2);
    expect(missing.stderr).toMatch(
      /input files are missing:\n {2}there is no input file in\/none-\*\.jsonl: looked for .*\n {2}there is no input file nothing\.json/,
    );
  });
});
