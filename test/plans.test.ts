import { createHash } from "node:crypto";
import { Session } from "node:inspector/promises";
import Database from "better-sqlite3";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Prices } from "../src/models/cost.ts";
import type { Store } from "../src/store/file/store.ts";
import { configFor, rows, type Workspace, workspace } from "./support/harness.ts";

/** Tables that grow with the calls. */
const LARGE = new Set(["calls", "answers", "attempts", "tasks", "texts", "scores"]);

/** Statements that may go through such a table from end to end, each with the reason. */
const WHOLE: [statement: RegExp, reason: string][] = [
  [/'(call|task|answer|attempt|text|run|settings) ' \|\|/, "db check looks at every row"],
  [/pragma_integrity_check|pragma_foreign_key_check/, "so does SQLite's own check"],
  [/`\w+`/, "a migration, which runs once: names stand so in no other SQL"],
];

/** Functions of store/ that hold SQL and need more than a database of datagen, each with the reason. */
const NOT_CALLED: Record<string, string> = {
  "file/backup.ts asCopyError": "says why a copy fails, and how much room it needs",
  "file/backup.ts backUp": "copies a database of an older version",
  "file/backup.ts copyTo": "likewise",
  "file/backup.ts sizeOf": "asks for the size of the file, where a copy fails",
  "file/network.ts nameOf": "holds no SQL: it looks up the name of a file system",
  "file/open.ts openToRead": "opens a database that commands only read",
  "file/open.ts withoutRights": "reads one that this user cannot write",
  "file/private-copy.ts openPrivateCopy": "likewise, from a copy",
  "file/rescue.ts rescueInto": "copies a database whose file was taken away",
  "file/space.ts diskFull": "holds no SQL: it looks up how much room was held back",
  "file/store.ts get isPretended": "holds no SQL: it says whether the database is in memory only",
  "file/upgrade.ts createInMemory": "makes an empty database where there is none to read",
};

/** What each statement goes through from end to end. */
const scans = new Map<string, string[]>();
const inspector = new Session();
let space: Workspace;

const prototype = Database.prototype as unknown as { prepare: (sql: string) => Database.Statement };
const { prepare } = prototype;

interface Operation {
  addr: number;
  opcode: string;
  p1: number;
  p2: number;
  p3: number;
}

/** The large tables, and indexes of them, that a statement goes through from end to end, by the program that SQLite makes of it. */
function scannedBy(connection: Database.Database, sql: string): string[] {
  const explained = prepare.call(connection, `explain ${sql}`);
  const positional = Array.from({ length: (sql.match(/\?/g) ?? []).length }, () => 1);
  const named = Object.fromEntries((sql.match(/(?<=@)[a-z]\w*/gi) ?? []).map((name) => [name, 1]));
  const program = explained.all(...positional, named) as Operation[];
  // What is skipped while no reference is broken, which is always where an insert begins.
  const skipped = program.filter(({ opcode }) => opcode === "FkIfZero");
  const open = new Map<number, number>();
  const found = new Set<string>();
  for (const { addr, opcode, p1, p2, p3 } of program) {
    if (skipped.some((jump) => jump.addr < addr && addr < jump.p2)) continue;
    if (/^(OpenRead|OpenWrite|ReopenIdx)$/.test(opcode) && p3 === 0) open.set(p1, p2);
    const root = /^(Rewind|Count)$/.test(opcode) ? open.get(p1) : undefined;
    if (root === undefined) continue;
    const [table] = prepare
      .call(connection, "select tbl_name, name, sql from main.sqlite_schema where rootpage = ?")
      .all(root) as { tbl_name: string; name: string; sql: string | null }[];
    // A partial index has what is open, or failed, alone.
    if (table && LARGE.has(table.tbl_name) && !/\bwhere\b/i.test(table.sql ?? "")) found.add(table.name);
  }
  return [...found];
}

beforeAll(async () => {
  inspector.connect();
  await inspector.post("Profiler.enable");
  await inspector.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  space = await workspace();
  prototype.prepare = function watched(this: Database.Database, sql: string) {
    const statement = prepare.call(this, sql);
    if (!scans.has(sql) && !/^\s*(pragma|vacuum|attach|create|drop|begin|commit|rollback)/i.test(sql)) {
      scans.set(sql, scannedBy(this, sql));
    }
    return statement;
  };
});

afterAll(async () => {
  prototype.prepare = prepare;
  inspector.disconnect();
  await space[Symbol.asyncDispose]();
});

/** Adds 100,000 answered calls to a run, as many as a large one has. */
function enlarge(sqlite: Database.Database): void {
  sqlite.exec(`
    begin;
    insert into tasks (run_id, position, input_id)
      with recursive n(i) as (select 1000 union all select i + 1 from n where i < 5999) select 1, i, 1 from n;
    insert into perspectives (run_id, position, condition, strategy)
      with recursive n(i) as (select 4 union all select i + 1 from n where i < 23) select 1, i, 'P' || i, 'S' from n;
    insert into calls (run_id, task_id, perspective_id, step, state)
      select 1, t.id, p.id, 'strategy', 'pending' from tasks t join perspectives p on p.run_id = 1 and p.position >= 4
      where t.run_id = 1 and t.position >= 1000;
    insert into answers (id, key, settings_id, origin, text, created_at)
      select id + 1000000, 's256:' || hex(id), 1, 'live', 'text ' || id, 0 from calls where state = 'pending';
    insert into attempts (call_id, started_at, duration_ms, outcome, decision)
      select id, 0, 1, 'succeeded', 'kept' from calls where state = 'pending';
    update calls set state = 'succeeded', answer_id = id + 1000000 where state = 'pending';
    commit`);
}

/** What takes a failure of a provider, or a command line, to be called. */
async function callRarely(store: Store): Promise<void> {
  const { dropBatch, giveUpBatch, outcomesOf, prepareBatch } = await import("../src/store/runs/batches.ts");
  const { acquireLease, releaseLease } = await import("../src/store/runs/leases.ts");
  const { sharedAnswers } = await import("../src/store/runs/answers.ts");
  const prices = await import("../src/store/user-prices.ts");
  const lease = acquireLease(store, 1, "first");
  const requests = [{ callId: 1, reserved: { promptTokens: 1, completionTokens: 1 } }];
  const batch = prepareBatch(store, lease, "name", requests);
  outcomesOf(store, 1);
  dropBatch(store, lease, batch.id);
  giveUpBatch(store, lease, prepareBatch(store, lease, "other", requests).id, { status: "given up", error: null });
  releaseLease(store, lease);
  sharedAnswers(store, 1);
  const own = { input: 1, cached_input: 1, output: 2, batch_factor: null, source: "user", date: "2026-01-01" };
  prices.setUserPrices(store, { model: "m", baseUrl: null, prices: own as Prices });
  prices.findUserPrices(store, "m", "");
  const { serverRows } = await import("../src/store/runs/servers.ts");
  expect(serverRows(store, 1)).toEqual([]);
  const { findJob } = await import("../src/store/runs/jobs.ts");
  expect(findJob(store, 1, "none")).toBeUndefined();
  const { taskMarks } = await import("../src/store/runs/task-marks.ts");
  expect([...taskMarks(store, 1)].length).toBeGreaterThan(5_000);
  const { FeatureFile } = await import("../src/store/features.ts");
  using features = new FeatureFile(store.path, 1);
  features.keepPieces("name", [new Uint8Array(1)]);
  expect([...features.pieces("name")]).toHaveLength(1);
  prices.listUserPrices(store);
  prices.unsetUserPrices(store, "m", null);
}

/** Everything that the page can ask. @param withIds a run whose inputs have ids of their own */
async function view(store: Store, first: string, second: string, withIds: string): Promise<void> {
  const { Reader } = await import("../src/app/view/reader.ts");
  const reader = new Reader(store);
  expect(reader.answer("runs", []).length).toBeGreaterThan(2);
  expect(reader.answer("run", [first])).toMatchObject({ run: { id: first } });
  expect(reader.answer("grid", [first, 0, 3])).toHaveLength(3);
  expect(reader.answer("row", [first, 1])).toMatchObject({ position: 1 });
  expect(reader.answer("cell", [first, 1, 1, 1])).toMatchObject({ steps: [{ step: "reading" }, { step: "strategy" }] });
  expect(reader.answer("matches", [second, { state: "failed" }, -1]).rows).toHaveLength(1);
  expect(reader.answer("matches", [second, { state: "pending" }, -1])).toMatchObject({ rows: [], next: null });
  expect(reader.answer("distributions", [second, -1]).looked).toBeGreaterThan(1);
  expect(reader.answer("compare", [first, second, -1]).compared).toBeGreaterThan(1);
  expect(reader.answer("compare", [withIds, withIds, -1]).compared).toBeGreaterThan(1);
  expect(reader.answer("partner", [first, 2, second])).toBe(2);
  expect(reader.answer("partner", [withIds, 2, withIds])).toBe(2);
  expect(reader.totals([first], true)).toHaveLength(1);
  expect(reader.version(first)).toContain(first);
}

test("no statement of the store goes through a table of calls from end to end, and every one is looked at", async () => {
  // Loaded here, so that what they run is counted.
  const datagen = await import("../src/index.ts");
  const { checkDatabase } = await import("../src/app/database/check-database.ts");
  const { showFailures } = await import("../src/app/runs/show-run.ts");
  await space.write("rows.json", rows(6));
  const { data_config, ...config } = configFor({ api_provider: "offline", prices: { input: 1, output: 2 } });
  const parsed = datagen.parseConfig({
    ...config,
    data_config: { ...data_config, input_data_path: space.at("rows.json") },
  });
  using store = datagen.openStore(space.at("datagen.db"));
  const make = async (where: typeof store, options: object = {}) => {
    const run = await datagen.createRun(where, parsed, { environment: {}, ...options });
    await datagen.executeRun(where, run, { environment: {} });
    return run;
  };
  const twoModels = (of: typeof parsed) =>
    ["a-1", "b-2"].map((model) => ({
      ...of,
      model_config: { ...of.model_config, model_name: model },
      max_cost_usd: 1,
    }));
  const first = await make(store);
  enlarge(store.sqlite);
  const second = await make(store);
  expect(datagen.listRuns(store)).toHaveLength(2);
  await datagen.estimateRun(store, parsed, { environment: {} });
  await datagen.createPilot(store, parsed, 1, { environment: {} });
  const condition = parsed.agent_perspectives[0]!.condition;
  const inputId = createHash("sha256").update(rows(2)[1]!.input).digest("hex").slice(0, 16);
  const scored = [
    { task: 0, condition, f1: 1 },
    { id: inputId, condition, f1: 1 },
    { id: inputId, condition, replicate: 1, f1: 1 },
  ];
  await space.write("twice.jsonl", scored.map((row) => JSON.stringify(row)).join("\n"));
  await expect(datagen.importScores(store, second, space.at("twice.jsonl"))).rejects.toThrow("as is row 1");
  await space.write("scores.json", scored.slice(0, 2));
  expect(await datagen.importScores(store, second, space.at("scores.json"))).toMatchObject({ scores: [{ cells: 2 }] });
  for (const format of ["json", "jsonl", "csv", "parquet"] as const) {
    await datagen.exportRun(store, second, { output: space.at(`dataset.${format}`), format });
  }
  store.sqlite
    .exec(`update calls set state = 'failed', answer_id = null, failure = 'server_error' where id = (select max(id) from calls);
    update attempts set outcome = 'server_error' where id = (select max(id) from attempts);
    update answers set finish_reason = 'length' where id <= 20`);
  datagen.showRun(store, second);
  expect([...showFailures(store, second)].length).toBeGreaterThan(-1);
  await datagen.executeRun(store, second, { retryFailed: true, retryTruncated: { maxTokens: 900 }, environment: {} });
  await datagen.executeRun(store, first, { retryFailed: true, retryTruncated: { maxTokens: 900 }, environment: {} });
  await datagen.repriceRun(store, second, { apply: true });
  datagen.runConfig(store, second);
  await datagen.runStatistics(store, second, { parts: ["comparisons", "duplicates"] });
  expect([...datagen.findSuspects(store, [second])].length).toBeGreaterThan(-1);
  await datagen.importDataset(store, space.at("dataset.json"));
  const batched = await make(store, { overrides: { executor: "batch" }, reuse: "none" });
  await datagen.cancelRun(store, batched, { environment: {} });
  store.sqlite.exec("update answers set text = text || id where id < 1000000");
  expect(datagen.diffRuns(store, batched, second, { show: 2 }).most_different).toHaveLength(2);
  expect(datagen.diffSeveralRuns(store, [first, batched, second], { show: 2 }).most_different).toHaveLength(2);
  await make(store, { shard: { indices: [1], count: 2 }, reuse: "unless_truncated" });
  {
    await using other = await workspace();
    using theirs = datagen.openStore(other.at("datagen.db"));
    await make(theirs, { shard: { indices: [2], count: 2 } });
    await datagen.createExperiment(theirs, twoModels(parsed), { environment: {} });
    expect(datagen.mergeDatabase(store, theirs.path).shards).toMatchObject([{ missing: [] }]);
    datagen.mergeDatabase(store, theirs.path);
  }
  // The same file with another input says what has changed.
  await space.write("rows.json", rows(7));
  await make(store, { overrides: { maxCostUsd: 1 } });
  await datagen.executeRun(store, "latest", { executor: "live", maxCostUsd: 2, environment: {} });
  await space.write(
    "rows.json",
    rows(8).map((row, id) => ({ ...row, id })),
  );
  const drawn = { ...parsed, data_config: { ...parsed.data_config, shuffle: true } };
  const random = await datagen.createRun(store, drawn, { environment: {} });
  expect(datagen.diffRuns(store, random, random).inputs).toMatchObject({ changed: 0 });
  const two = twoModels(drawn);
  const all = { environment: {} };
  await datagen.createExperiment(store, two, all);
  const experiment = await datagen.createExperiment(store, two, { ...all, name: "two" });
  expect(await datagen.executeExperiment(store, "two", { ...all, retryFailed: true })).toHaveLength(2);
  datagen.deleteRun(store, experiment.runs[0]!);
  await datagen.executeExperiment(store, "two", { ...all, maxCostUsd: 3 });
  await callRarely(store);
  store.sqlite.exec(
    "update calls set state = 'failed', answer_id = null, failure = 'other' where id = (select max(id) from calls where run_id = 2)",
  );
  await view(store, first, second, random);
  checkDatabase(store);
  datagen.showAnswers(store, first, { input: "bringt", withPrompts: true, withAttempts: true });
  await datagen.previewRun(store, parsed, { environment: {} });
  expect([...datagen.runInputs(store, first)].length).toBeGreaterThan(6);
  expect(await datagen.backUpDatabase(store, space.at("copy.db"))).toMatchObject({ backup: space.at("copy.db") });
  datagen.deleteRun(store, second);
  expect(datagen.deletedRuns(store)).toMatchObject({ runs: 2 });
  datagen.compactDatabase(store);

  const wrong = [...scans]
    .filter(([sql, found]) => found.length > 0 && !WHOLE.some(([statement]) => statement.test(sql)))
    .map(([sql, found]) => `${found.join()}: ${sql}`);
  expect(wrong).toEqual([]);
  expect(scans.size).toBeGreaterThan(150);
  expect(await notCalled()).toEqual(Object.keys(NOT_CALLED));
}, 60_000);

/** Functions of store/ that hold SQL and were not run. */
async function notCalled(): Promise<string[]> {
  const { result } = await inspector.post("Profiler.takePreciseCoverage");
  const names: string[] = [];
  for (const { url, scriptId, functions } of result.filter((script) => /src\/store\/[\w/-]+\.ts/.test(script.url))) {
    await inspector.post("Debugger.enable");
    const { scriptSource } = await inspector.post("Debugger.getScriptSource", { scriptId });
    for (const { functionName, ranges } of functions) {
      const [range] = ranges;
      if (!range || range.count > 0 || functionName === "") continue;
      const source = scriptSource.slice(range.startOffset, range.endOffset);
      if (/\bsqlite\b|\.db\b|statements|prepare|\.(get|all|run|exec|iterate)\(/.test(source)) {
        names.push(`${url.replace(/.*\/src\/store\//, "")} ${functionName}`);
      }
    }
  }
  return names.toSorted();
}
