import { parquetWriteBuffer } from "hyparquet-writer";
import { writeFile } from "node:fs/promises";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { rows } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { DATABASE, openLab, PLAIN } from "./support/lab.ts";

type Row = Record<string, unknown>;

const NOTED = { condition: "Noted: yes", reading: "Take notes.", strategy: "Use the notes." };

/** A lab with a run of three inputs, two conditions and two replicates. */
async function ran() {
  const lab = await openLab({
    config: { agent_perspectives: [PLAIN, NOTED], replicates: 2 },
    data: rows(3).map((row, at) => ({ ...row, id: `in-${at}` })),
  });
  await lab.datagen("run", "config.json", "--no-export");
  const exported = async (format: string, ...args: string[]) =>
    (await lab.datagen("export", "latest", "--format", format, "--output", "-", ...args)).stdout;
  return {
    ...lab,
    exported,
    lines: async () => linesOf(await exported("jsonl")),
    importing: (file: string, ...args: string[]) => lab.datagen("scores", "import", "latest", file, ...args),
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

const linesOf = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

const asLines = (list: readonly Row[]) => list.map((row) => `${JSON.stringify(row)}\n`).join("");

describe("datagen scores import", () => {
  test("takes JSON Lines, CSV and Parquet, by id or by task, and the scores are in every flat format", async () => {
    await using lab = await ran();
    const [before, table, dataset] = [await lab.lines(), await lab.exported("csv"), await lab.exported("json")];
    const scored = before.map((row, at) => ({ row, f1: at === 3 ? null : at / 7, "n grams": at }));
    const plain = scored.map(({ row, f1, ...others }) => ({
      id: row["id"],
      condition: row["condition"],
      replicate: row["replicate"],
      f1,
      ...others,
    }));
    await lab.space.write("scores.jsonl", asLines(plain));
    const csv = [
      "task,condition,replicate,f1,n grams",
      ...scored.map(({ row, ...score }) =>
        [row["task"], `"${String(row["condition"])}"`, row["replicate"], score.f1 ?? "", `${score["n grams"]}.0`].join(
          ",",
        ),
      ),
    ];
    await lab.space.write("scores.csv", csv.join("\n"));
    const column = (name: string) => ({ name, data: plain.map((row) => (row as Row)[name]) });
    const columnData = ["id", "condition", "replicate", "f1", "n grams"].map(column);
    await writeFile(lab.space.at("scores.parquet"), Buffer.from(parquetWriteBuffer({ columnData })));
    for (const file of ["scores.jsonl", "scores.csv", "scores.parquet"]) {
      const imported = await lab.importing(file);
      expect(imported).toMatchObject({ code: 0, stdout: "f1: 11 cells\nn grams: 12 cells\n", stderr: "" });
      expect(await lab.lines()).toEqual(before.map((row, at) => ({ ...row, f1: scored[at]!.f1, "n grams": at })));
      expect(Object.keys((await lab.lines())[0]!).slice(-2)).toEqual(["f1", "n grams"]);
      const [header = "", first = ""] = (await lab.exported("csv")).split("\r\n");
      expect(header.endsWith(",origin_run,f1,n grams")).toBe(true);
      expect(first.endsWith(",0,0")).toBe(true);
      expect(await lab.exported("json")).toBe(dataset);
      change(lab, "delete from scores");
      expect(await lab.lines()).toEqual(before);
      expect(await lab.exported("csv")).toBe(table);
    }
  });

  test("takes a dataset with more columns, and replaces scores of the same names only", async () => {
    await using lab = await ran();
    const before = await lab.lines();
    await lab.space.write("more.jsonl", asLines(before.map((row, at) => ({ ...row, a: at, b: -at, remark: "text" }))));
    const first = await lab.importing("more.jsonl", "--json");
    expect(JSON.parse(first.stdout)).toEqual({
      runs: [before[0]!["run_id"]],
      scores: [
        { name: "a", cells: 12 },
        { name: "b", cells: 12 },
      ],
    });
    expect(first.stderr).toBe('Warning: columns without numbers are no scores: "remark"\n');
    await lab.space.write("some.jsonl", asLines([{ task: 1, condition: "Plain", b: 0.5 }]));
    expect((await lab.importing("some.jsonl")).stdout).toBe("b: 1 cell\n");
    const after = await lab.lines();
    expect(after.map(({ a }) => a)).toEqual(before.map((_, at) => at));
    expect(
      after.flatMap(({ b, task, condition, replicate }) => (b === null ? [] : [[b, task, condition, replicate]])),
    ).toEqual([[0.5, 1, "Plain", 1]]);
    const shown = await lab.datagen("runs", "show", "latest");
    expect(shown.stdout).toMatch(/^score +a of 12 cells\nscore +b of 1 cell$/m);
    const view = lab.query<Row>("select * from v_scores where name = 'b'");
    expect(view).toEqual([
      {
        run_id: before[0]!["run_id"],
        task: 1,
        id: "in-1",
        condition: "Plain",
        kind: "Plain",
        replicate: 1,
        name: "b",
        value: 0.5,
      },
    ]);
    expect((await lab.datagen("db", "check")).stdout).toContain(" 0 broken");
  });

  test("names everything that is wrong with a file, and then writes nothing", async () => {
    await using lab = await ran();
    const cell = { task: 0, condition: "Plain" };
    await lab.space.write(
      "bad.jsonl",
      asLines([
        { ...cell, f1: 1 },
        { ...cell, f1: 2 },
        { ...cell, replicate: 3, f1: 1 },
        { condition: "Plain", id: "in-9", f1: 1 },
        { condition: "No\u001b[31m", task: 1, f1: 1 },
        { task: 1, f1: 1 },
        { condition: "Plain", f1: 1 },
        { condition: "Plain", task: "one", f1: 1 },
        { condition: "Plain", task: 1, id: "in-2", f1: 1 },
        { condition: "Plain", task: 1, f1: "much" },
        { condition: "Plain", task: 2, refusal: 1 },
        { condition: "Noted: yes", task: 2, "12": 1 },
        { condition: "Noted: yes", task: 1, run_id: "zzzz", f1: 1 },
        { condition: "Noted: yes", task: 1, model: "other", f1: 1 },
      ]),
    );
    const { code, stdout, stderr } = await lab.importing("bad.jsonl");
    const run = String((await lab.lines())[0]!["run_id"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr.split("\n").slice(0, -2)).toEqual([
      "Error: bad.jsonl has 13 problems; no score was imported:",
      `  row 1 (line 2) is of task 0, "Plain", replicate 1, as is row 0`,
      `  row 2 (line 3) is of task 0, "Plain", replicate 3, which run ${run} does not have`,
      `  row 3 (line 4) has the id "in-9", which no input of run ${run} has`,
      expect.stringMatching(/^ {2}row 4 \(line 5\) has the condition "No\\u001b\[31m", which run \w+ does not have$/),
      "  row 5 (line 6) has no condition",
      "  row 6 (line 7) has neither id nor task",
      '  row 7 (line 8) has the task "one", which is no whole number',
      `  row 8 (line 9) has the id "in-2", but task 1 of run ${run} has "in-1"`,
      '  row 9 (line 10) has no number in "f1", which is a score: an earlier row has a number there',
      '  row 10 (line 11) has a number in "refusal", a column of datasets that holds texts; a score needs another name',
      expect.stringMatching(/^ {2}row 11 \(line 12\) has the score "12"; a name has 1 to 200 characters/),
      `  row 12 (line 13) has the run_id "zzzz", and is not of run ${run}`,
      `  row 13 (line 14) has the model "other", and is not of run ${run}`,
    ]);
    await lab.space.write("many.jsonl", asLines(Array.from({ length: 200 }, () => ({ condition: "Plain", f1: 1 }))));
    const many = await lab.importing("many.jsonl");
    expect(many.stderr).toContain("many.jsonl has at least 50 problems");
    expect(many.stderr.split("\n").filter((line) => line.includes("has neither id nor task"))).toHaveLength(50);
    for (const [content, says] of [
      ["", "is empty"],
      // A file that is none of scores is one problem, however many rows it has.
      [
        asLines([{ task: 0, f1: 1 }, { f1: 2 }]),
        'Error: none.jsonl has no column "condition"; it has "task", "f1"\nA row',
      ],
      [asLines([{ ...cell, prompt_tokens: 3 }]), "has no scores"],
      ['{"task":0,"condition":"Plain","f1":1e999}', 'row 0 (line 1) has a number in "f1" that is not finite'],
    ] as const) {
      await lab.space.write("none.jsonl", content);
      expect((await lab.importing("none.jsonl")).stderr).toContain(says);
    }
    expect((await lab.importing("missing.csv")).stderr).toContain("missing.csv does not exist");
    expect(lab.query("select * from scores")).toEqual([]);
  });

  test("leaves out references and cells without a response, and says so", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], add_references: true, concurrency: 1 },
      data: rows(3),
      server: { behave: ({ index }) => (index === 1 ? { kind: "status", status: 400 } : undefined) },
    });
    await lab.datagen("run", "config.json", "--no-export");
    const { stdout } = await lab.datagen("export", "latest", "--format", "jsonl", "--output", "-");
    await lab.space.write("s.jsonl", asLines(linesOf(stdout).map((row) => ({ ...row, f1: 1 }))));
    const imported = await lab.datagen("scores", "import", "latest", "s.jsonl");
    expect(imported).toMatchObject({ code: 0, stdout: "f1: 2 cells\n" });
    expect(imported.stderr).toContain("Warning: 3 rows are left out: a reference has no scores\n");
    expect(imported.stderr).toContain("Warning: 1 row is left out: the cell has no response\n");
    // What was computed of nothing is no score of a response that came later.
    expect((await lab.datagen("resume", "latest", "--retry-failed", "--no-export")).code).toBe(0);
    const late = await lab.datagen("scores", "import", "latest", "s.jsonl");
    expect(late).toMatchObject({ code: 0, stdout: "f1: 2 cells\n" });
    expect(late.stderr).toContain("1 row is left out: the file has a failure, and the cell a response by now\n");
  });

  test("takes the name of an experiment, if rows name their run or model", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], api_provider: "offline" },
      data: rows(2),
    });
    await lab.datagen("run", "config.json", "--model", "a-1", "--model", "b-2", "--name", "two", "--no-export");
    const cells = ["a-1", "b-2"].flatMap((model) => [0, 1].map((task) => ({ model, task, condition: "Plain" })));
    await lab.space.write("s.jsonl", asLines(cells.map((row, at) => ({ ...row, f1: at }))));
    const imported = await lab.datagen("scores", "import", "two", "s.jsonl", "--json");
    const { runs } = JSON.parse(imported.stdout) as { runs: string[] };
    expect(runs).toHaveLength(2);
    const { stdout } = await lab.datagen("export", "two", "--format", "jsonl", "--output", "-");
    expect(linesOf(stdout).map(({ model, task, f1 }) => [model, task, f1])).toEqual(
      cells.map(({ model, task }, at) => [model, task, at]),
    );
    await lab.space.write("s.jsonl", asLines([{ task: 0, condition: "Plain", f1: 1 }]));
    const unclear = await lab.datagen("scores", "import", "two", "s.jsonl");
    expect(unclear.stderr).toContain("row 0 (line 1) is of any of 2 runs; name one with run_id or model");
  });
});

test("scores go with their run: into a merged database, and away with it", async () => {
  await using lab = await ran();
  await lab.space.write("s.jsonl", asLines((await lab.lines()).map((row, at) => ({ ...row, f1: at }))));
  await lab.importing("s.jsonl");
  const scored = await lab.lines();
  const merged = await datagenInTurn(["db", "merge", lab.space.at(DATABASE), "--db", "merged.db"], {
    cwd: lab.space.path,
  });
  expect(merged.code, merged.stderr).toBe(0);
  const args = ["export", "latest", "--format", "jsonl", "--output", "-", "--db", "merged.db"];
  expect(linesOf((await datagenInTurn(args, { cwd: lab.space.path })).stdout)).toEqual(scored);
  expect((await lab.datagen("db", "check", "--db", "merged.db")).stdout).toContain(" 0 broken");
  expect((await lab.datagen("runs", "delete", "latest", "--yes")).code).toBe(0);
  expect(lab.query("select * from scores")).toEqual([]);
});

test("stats has their spread by condition, and nothing of them without scores", async () => {
  await using lab = await ran();
  const before = await lab.lines();
  const statistics = async (...args: string[]) =>
    JSON.parse((await lab.datagen("stats", "latest", "--json", ...args)).stdout) as Record<
      "conditions" | "kinds" | "models",
      { condition?: string; kind?: string; scores?: object }[]
    >;
  const bare = await statistics();
  expect([...bare.conditions, ...bare.kinds].some((group) => "scores" in group)).toBe(false);
  // Six answers each, of which one has no score.
  const values: Record<string, number[]> = { Plain: [3, 1, 4, 1, 5], "Noted: yes": [2, 7, 1, 8, 2] };
  const left = structuredClone(values);
  const scored = before.map((row) => ({ ...row, f1: left[String(row["condition"])]!.shift() ?? null }));
  await lab.space.write("s.jsonl", asLines(scored));
  await lab.importing("s.jsonl");
  const { conditions, kinds } = await statistics();
  const spreads = {
    Plain: { n: 5, mean: 2.8, sd: Math.sqrt(3.2), min: 1, q1: 1, median: 3, q3: 4, max: 5 },
    "Noted: yes": { n: 5, mean: 4, sd: Math.sqrt(10.5), min: 1, q1: 2, median: 2, q3: 7, max: 8 },
  };
  const near = (spread: object) =>
    Object.fromEntries(Object.entries(spread).map(([name, value]) => [name, expect.closeTo(value as number, 9)]));
  expect(conditions.map(({ condition, scores }) => [condition, scores])).toEqual([
    ["Plain", { f1: near(spreads.Plain) }],
    ["Noted: yes", { f1: near(spreads["Noted: yes"]) }],
  ]);
  expect(kinds.map(({ kind, scores }) => [kind, scores])).toEqual([
    ["Plain", { f1: near(spreads.Plain) }],
    ["Noted", { f1: near(spreads["Noted: yes"]) }],
  ]);
  expect((await statistics("--by", "model")).models[0]!.scores).toMatchObject({
    f1: { n: 10, mean: expect.closeTo(3.4, 9), min: 1, max: 8, median: 2.5 },
  });
  const { stdout } = await lab.datagen("stats", "latest");
  expect(stdout).toMatch(
    /^CONDITION +SCORE +ANSWERS +MEAN +SD +Q1 +MEDIAN +Q3\nPlain +f1 +5 +2\.800 +1\.789 +1\.000 +3\.000 +4\.000$/m,
  );
  const [header = "", first = ""] = (await lab.datagen("stats", "latest", "--csv")).stdout.split("\n");
  expect(header).toMatch(
    /,scores_f1_n,scores_f1_mean,scores_f1_sd,scores_f1_min,scores_f1_q1,scores_f1_median,scores_f1_q3,scores_f1_max$/,
  );
  expect(first).toMatch(/,5,2\.8,1\.78\d+,1,1,3,4,5$/);
});

test("a cell with another answer has no score any more", async () => {
  await using lab = await ran();
  await lab.space.write("s.jsonl", asLines((await lab.lines()).map((row, at) => ({ ...row, f1: at }))));
  await lab.importing("s.jsonl");
  change(
    lab,
    `insert into answers (key, settings_id, origin, text, created_at) select key, settings_id, origin, 'new', 0 from answers limit 1;
     update calls set answer_id = (select max(id) from answers) where id = (select max(call_id) from scores)`,
  );
  const after = await lab.lines();
  expect(after.filter(({ response }) => response === "new").map(({ f1 }) => f1)).toEqual([null]);
  expect((await lab.datagen("runs", "show", "latest")).stdout).toMatch(/^score +f1 of 11 cells$/m);
});

function change(lab: { space: { at(name: string): string } }, sql: string): void {
  const database = new Database(lab.space.at(DATABASE));
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}
