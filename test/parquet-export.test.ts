import { readFile, writeFile } from "node:fs/promises";
import { parquetMetadata } from "hyparquet";
import { expect, test } from "vitest";
import { renderers } from "../src/export/index.ts";
import { canonicalJson } from "../src/plan/settings.ts";
import { sourceOf } from "../src/sources/index.ts";
import type { Row } from "../src/sources/source.ts";
import { ANSWER_COLUMNS } from "../src/store/answer-columns.ts";
import { openStore } from "../src/store/file/open.ts";
import { datasetRows } from "../src/store/runs/dataset-rows.ts";
import { findRun, getRun } from "../src/store/runs/runs.ts";
import { bytesOf, rows } from "./support/harness.ts";
import { DATABASE, openLab, PLAIN } from "./support/lab.ts";
import { parquetRows } from "./support/readers.ts";

type Lab = Awaited<ReturnType<typeof openLab>>;

/** The rows of a file and the types of its columns, by the reader of datagen's inputs. */
async function readOwn(path: string): Promise<{ rows: Row[]; types: Record<string, string> }> {
  const source = await sourceOf("parquet").open(path, { columns: null, onWarning: () => {} });
  try {
    const found: Row[] = [];
    for await (const chunk of source.rows()) {
      for (const row of chunk) {
        if ("problem" in row) throw new Error(row.problem);
        found.push(row.row);
      }
    }
    return { rows: found, types: Object.fromEntries((source.columns ?? []).map(({ name, type }) => [name, type])) };
  } finally {
    await source.close();
  }
}

async function linesOf(lab: Lab, ...args: string[]): Promise<Row[]> {
  const { stdout } = await lab.datagen("export", ...args, "--format", "jsonl", "--output", "-");
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
}

const metadataOf = (bytes: Buffer) => {
  const { buffer, byteOffset, byteLength } = bytes;
  return parquetMetadata(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
};

test("a Parquet file has the rows of JSON Lines with their types, and the columns that prompts used", async () => {
  const data = rows(4).map((row, at) => ({ ...row, id: at + 10, tone: at === 0 ? "kühl" : at, "": null }));
  const strategy = "Translate this in a {tone} tone: {text}";
  await using lab = await openLab({
    config: {
      add_references: true,
      agent_perspectives: [PLAIN, { condition: "Toned: yes", reading: null, strategy: "X", prompt_template: strategy }],
    },
    data,
    server: { behave: ({ index }) => (index === 1 ? { kind: "status", status: 400 } : undefined) },
  });
  await lab.datagen("run", "config.json", "--no-export", "--name", "Größe 😀");
  const file = await lab.datagen("export", "latest", "--output", "set.parquet");
  expect([file.code, file.stdout]).toEqual([0, "set.parquet\n"]);
  const lines = await linesOf(lab, "latest");
  const { rows: own, types } = await readOwn(lab.space.at("set.parquet"));
  expect(own.map((row) => ({ ...row, columns: null }))).toEqual(lines.map((row) => ({ ...row, columns: null })));
  expect(Object.keys(own[0]!)).toEqual([...ANSWER_COLUMNS, "columns"]);
  const used = own.map(({ task, columns }) => [task, JSON.parse(columns as string)] as const);
  for (const [task, columns] of used) expect(columns).toEqual({ tone: task === 0 ? "kühl" : task });
  expect(lines.some(({ failure }) => failure !== null)).toBe(true);
  const integers = new Set([
    "task",
    "replicate",
    "id",
    "latency_ms",
    ...ANSWER_COLUMNS.filter((name) => name.endsWith("_tokens")),
  ]);
  for (const name of [...ANSWER_COLUMNS, "columns"]) {
    expect([name, types[name]]).toEqual([
      name,
      integers.has(name) ? "int64" : name === "cost_usd" ? "double" : "string",
    ]);
  }
  const bytes = bytesOf(await lab.datagen("export", "latest", "--format", "parquet", "--output", "-"));
  const read = await parquetRows(bytes);
  const plain = read.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, typeof value === "bigint" ? Number(value) : value]),
    ),
  );
  expect(plain).toEqual(own);
});

test("its metadata has the config, the hash of the inputs, the runs and the version", async () => {
  const config = { agent_perspectives: [PLAIN], task_description: "half of \ud83d" };
  await using lab = await openLab({ config, data: rows(2) });
  await lab.datagen("run", "config.json", "--no-export");
  await lab.datagen("run", "config.json", "--no-export", "--fresh", "--name", "second");
  const [second, first] = JSON.parse((await lab.datagen("runs", "list", "--json")).stdout) as { id: string }[];
  const bytes = bytesOf(await lab.datagen("export", first!.id, "latest", "--format", "parquet", "--output", "-"));
  const pairs = metadataOf(bytes).key_value_metadata ?? [];
  expect(pairs.map(({ key }) => key)).toEqual(["datagen.runs", "datagen.run_ids"]);
  const [runs = "", ids = ""] = pairs.map(({ value }) => value);
  expect(JSON.parse(ids)).toEqual([first!.id, second!.id]);
  expect(runs).toBe(canonicalJson(JSON.parse(runs)));
  const shown = JSON.parse((await lab.datagen("runs", "show", "latest", "--json")).stdout) as Record<string, unknown>;
  expect((JSON.parse(runs) as object[])[1]).toMatchObject({
    run_id: second!.id,
    run_name: "second",
    config: { ...(shown["config"] as object), task_description: "half of \ufffd" },
    input_sha256: shown["input_sha256"],
    datagen_version: shown["datagen_version"],
  });
  expect((await parquetRows(bytes)).map((row) => row["run_id"])).toEqual([
    first!.id,
    first!.id,
    second!.id,
    second!.id,
  ]);
});

test("ids are whole numbers only if all are, in all runs", async () => {
  await using lab = await openLab({ config: { agent_perspectives: [PLAIN] } });
  const typeOfIds = async (...runs: string[]) => {
    await lab.datagen("export", ...runs, "--output", "ids.parquet");
    const { rows: found, types } = await readOwn(lab.space.at("ids.parquet"));
    return [types["id"], ...found.map(({ id }) => id)];
  };
  const ids: string[] = [];
  for (const given of [
    [1, 2],
    [1, "b"],
    [undefined, undefined],
  ]) {
    await lab.space.write(
      "rows.json",
      rows(2).map((row, at) => ({ ...row, id: given[at] })),
    );
    await lab.datagen("run", "config.json", "--no-export");
    ids.push((JSON.parse((await lab.datagen("runs", "list", "--json")).stdout) as { id: string }[])[0]!.id);
  }
  expect(await typeOfIds(ids[0]!)).toEqual(["int64", 1, 2]);
  expect(await typeOfIds(ids[1]!)).toEqual(["string", "1", "b"]);
  expect(await typeOfIds(ids[0]!, ids[2]!)).toEqual([
    "string",
    "1",
    "2",
    expect.stringMatching(/^[0-9a-f]{16}$/),
    expect.stringMatching(/^[0-9a-f]{16}$/),
  ]);
});

test("its row groups end after 10,000 rows, or with four million characters", async () => {
  await using lab = await openLab({ config: { agent_perspectives: [PLAIN] } });
  await lab.datagen("run", "config.json", "--no-export");
  using store = openStore(lab.space.at(DATABASE));
  const row = getRun(store, findRun(store, "latest"));
  const [task] = datasetRows(store, row.id);
  const described = { otherSettings: [], costUsd: null, part: null, usesReference: false };
  const run = { ...row, ...described, hasNumericIds: false, scores: [] };
  const render = await renderers.parquet.load();
  const metadata = (input: string, count: number) => {
    const cells = task!.cells.map((cell) => ({ ...cell, text: null }));
    const tasks = Array.from({ length: count }, () => ({ ...task!, input, cells }));
    const pieces = [...render([{ run, tasks }], { csvSafe: false, scores: [] })];
    return metadataOf(Buffer.concat(pieces as Uint8Array[])).row_groups;
  };
  const groupsOf = (...args: [string, number]) => metadata(...args).map((group) => Number(group.num_rows));
  expect(groupsOf("short", 20_001)).toEqual([10_000, 10_000, 1]);
  expect(groupsOf("x".repeat(1_500_000), 7)).toEqual([3, 3, 1]);
  expect(groupsOf("", 0)).toEqual([]);
  // The writer keeps the bounds of all groups until the end, so they may not be long texts.
  const boundsOf = (input: string) =>
    ["run_id", "context"].map((name) => {
      const column = metadata(input, 1)[0]?.columns.find(({ meta_data: data }) => data?.path_in_schema[0] === name);
      return column?.meta_data?.statistics?.min_value;
    });
  expect(boundsOf("short")).toEqual([row.publicId, "short"]);
  expect(boundsOf("x".repeat(1_000))).toEqual([row.publicId, undefined]);
});

test("only our own Parquet files are replaced, and flags of other formats are refused", async () => {
  await using lab = await openLab({ config: { agent_perspectives: [PLAIN] } });
  await lab.datagen("run", "config.json", "--no-export");
  const first = await lab.datagen("export", "latest", "--output", "set.parquet");
  expect(first.code).toBe(0);
  expect((await lab.datagen("export", "latest", "--output", "set.parquet")).code).toBe(0);
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const columnData = [{ name: "run_id", data: ["datagen.run_ids"] }];
  await writeFile(lab.space.at("other.parquet"), Buffer.from(parquetWriteBuffer({ columnData })));
  // Some programs keep the metadata of a file to which they add columns.
  const { key_value_metadata: kvMetadata = [] } = metadataOf(await readFile(lab.space.at("set.parquet")));
  await writeFile(lab.space.at("changed.parquet"), Buffer.from(parquetWriteBuffer({ columnData, kvMetadata })));
  for (const name of ["other.parquet", "changed.parquet"]) {
    const other = await lab.datagen("export", "latest", "--output", name);
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining("exists already, and is not a dataset")]);
  }
  for (const [flag, says] of [
    ["--ascii", "--ascii is for JSON and JSON Lines: parquet has no escapes"],
    ["--csv-safe", "--csv-safe is for CSV, and the dataset is parquet"],
  ] as const) {
    const refused = await lab.datagen("export", "latest", "--format", "parquet", flag);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(says)]);
  }
});
