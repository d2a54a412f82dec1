import { copyFile, readFile, writeFile } from "node:fs/promises";
import type Database from "better-sqlite3";
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { possiblyCharged } from "../src/app/run/cap.ts";
import { createRun } from "../src/app/run/create-run.ts";
import { executeRun } from "../src/app/run/execute-run.ts";
import { listRuns } from "../src/app/runs/list-runs.ts";
import { mergeDatabase } from "../src/app/database/merge-database.ts";
import { showFailures } from "../src/app/runs/show-run.ts";
import { jsonLines } from "../src/cli/render/json.ts";
import { type Column, renderTable } from "../src/cli/render/table.ts";
import { parseConfig } from "../src/config/parse.ts";
import { Cap } from "../src/execute/cap.ts";
import type { Prices } from "../src/models/cost.ts";
import { settingsOf } from "../src/plan/settings.ts";
import { isInShard, positionIn } from "../src/plan/shard.ts";
import { checkStore } from "../src/store/check/check.ts";
import { openStore } from "../src/store/file/open.ts";
import type { Store } from "../src/store/file/store.ts";
import { configFor, rows, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

const PAGE = 1024;

/** A database with a run of the offline provider, made by the library. */
async function database(space: Workspace, inputs = rows(3), more: object = {}): Promise<Store> {
  await space.write("rows.json", inputs);
  const store = openStore(space.at("datagen.db"));
  await plan(space, store, more);
  await executeRun(store, "latest");
  return store;
}

async function plan(space: Workspace, store: Store, more: object = {}): Promise<string> {
  const { data_config, ...config } = configFor({ api_provider: "offline", ...more });
  return await createRun(
    store,
    parseConfig({ ...config, data_config: { ...data_config, input_data_path: space.at("rows.json") } }),
  );
}

describe("db check", () => {
  test("finds nothing wrong with texts that begin with NUL or have no UTF-8", async () => {
    await using space = await workspace();
    using store = await database(space, [{ input: "\0 begins so" }, { input: "half \ud83d" }]);
    store.sqlite.prepare("update answers set text = ?, checksum = ? where id = 1").run("\0a", crc32("\0a"));
    expect(checkStore(store)).toEqual([]);
  });

  test.for([
    {
      what: "an input",
      sql: "update texts set text = text || '!' where id = 2",
      found: ["a text matches its hash", "text 2"],
    },
    {
      what: "an answer",
      sql: "update answers set text = upper(text) where id = 4",
      found: ["an answer matches its checksum", "answer 4"],
    },
    {
      what: "an answer without a text",
      sql: "update answers set text = '', checksum = null where id = 1",
      found: ["an answer has a text", "answer 1"],
    },
    { what: "a config", sql: "update runs set config = '{'", found: ["columns of JSON contain valid JSON", /^run /] },
    {
      what: "a missing row",
      sql: "pragma foreign_keys = off; delete from texts where id = 1",
      found: ["a row refers only to rows that exist", /^tasks 1 to texts/],
    },
  ] as const)("names $what that was changed", async ({ sql, found: [rule, example] }) => {
    await using space = await workspace();
    using store = await database(space);
    store.sqlite.exec(sql);
    const violation = checkStore(store).find((one) => one.rule === rule);
    expect(violation?.examples[0]).toMatch(example);
  });

  test("says of an answer from before there were checksums nothing", async () => {
    await using space = await workspace();
    using store = await database(space);
    store.sqlite.exec("update answers set checksum = null, text = 'other'");
    expect(checkStore(store)).toEqual([]);
  });

  test.for([
    { what: "a table is missing", sql: "pragma foreign_keys = off; drop table texts" },
    { what: "pages are damaged", sql: "" },
  ])("lists what is broken where $what, and exits with 1", async ({ sql }) => {
    await using space = await workspace();
    {
      using store = await database(space, rows(40));
      store.sqlite.exec(sql);
      store.sqlite.pragma("wal_checkpoint(truncate)");
    }
    if (sql === "") {
      const file = await readFile(space.at("datagen.db"));
      const middle = Math.floor(file.length / 2 / PAGE) * PAGE;
      file.fill(0xff, middle, middle + 8 * PAGE);
      await writeFile(space.at("datagen.db"), file);
    }
    const { code, stdout, stderr } = await datagenInTurn(["db", "check", "--db", "datagen.db"], { cwd: space.path });
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(stdout).toMatch(
      sql === "" ? /broken: the file is intact/ : /cannot be checked: no such table: (main\.)?texts/,
    );
  });

  test("takes no longer for each call where a batch is large", async () => {
    await using space = await workspace();
    using store = await database(space);
    store.sqlite.exec(`
      insert into batches (id, run_id, name, state, requests, created_at) values (1, 1, 'b', 'submitted', 3, 0);
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
        insert into attempts (call_id, started_at, duration_ms, outcome, decision, batch_id) select 1, 0, 0, 'unanswered', 'retry', 1 from n`);
    const statements: string[] = [];
    const prepare = store.sqlite.prepare.bind(store.sqlite) as (sql: string) => Database.Statement;
    store.sqlite.prepare = ((sql: string) => {
      statements.push(sql);
      return prepare(sql);
    }) as typeof store.sqlite.prepare;
    checkStore(store);
    const ofBatches = statements.find((sql) => sql.includes("'unanswered' and b.state <> 'done'"));
    const details = prepare(`explain query plan ${ofBatches}`).all() as { detail: string }[];
    expect(details.map(({ detail }) => detail).join("\n")).toMatch(/SEARCH a USING INDEX attempts_call/);
  });
});

test("every answer of a run has the checksum of its bytes, and keeps it in another database", async () => {
  await using space = await workspace();
  await using other = await workspace();
  using store = await database(space, [{ input: "half \ud83d" }, ...rows(2)]);
  const wrong = (sqlite: Database.Database) => {
    const all = sqlite
      .prepare<[], { bytes: Buffer; checksum: number | null }>("select cast(text as blob) bytes, checksum from answers")
      .all();
    expect(all.length).toBeGreaterThan(0);
    return all.filter(({ bytes, checksum }) => checksum !== crc32(bytes));
  };
  expect(wrong(store.sqlite)).toEqual([]);
  using merged = openStore(other.at("datagen.db"));
  mergeDatabase(merged, store.path);
  expect(wrong(merged.sqlite)).toEqual([]);
  expect(checkStore(merged)).toEqual([]);
});

describe("db merge", () => {
  test("reads the other database at one moment, and lets others write to it meanwhile", async () => {
    await using space = await workspace();
    await using other = await workspace();
    using theirs = await database(other);
    using mine = openStore(space.at("datagen.db"));
    // Each transaction here is a moment at which the other database is written to.
    const transaction = mine.sqlite.transaction.bind(mine.sqlite);
    let writes = 0;
    mine.sqlite.transaction = ((body: () => unknown) => {
      theirs.sqlite.exec(
        "update calls set state = 'pending', answer_id = null; update runs set calls_succeeded = 0, finished_at = null",
      );
      writes += 1;
      return transaction(body);
    }) as typeof transaction;
    expect(mergeDatabase(mine, theirs.path).runs).toMatchObject([{ result: "taken in" }]);
    mine.sqlite.transaction = transaction;
    expect(writes).toBeGreaterThan(2);
    expect(checkStore(mine)).toEqual([]);
    expect(listRuns(mine)[0]).toMatchObject({ status: "completed" });
  });

  test.for([
    { what: "a table is missing", damage: "drop table texts" },
    { what: "rows are missing", damage: "delete from answers" },
  ])("says which of the two is damaged, where $what", async ({ damage }) => {
    await using space = await workspace();
    await using other = await workspace();
    {
      using theirs = await database(other);
      theirs.sqlite.exec(`pragma foreign_keys = off; ${damage}`);
    }
    const path = other.at("datagen.db");
    const { code, stderr } = await datagenInTurn(["db", "merge", path], { cwd: space.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      new RegExp(`^Error: the other database ${path} is damaged \\(.*\\)\\nThis database is sound`),
    );
  });

  test("takes out of a folded shard nothing but what is its own", async () => {
    await using space = await workspace();
    await using other = await workspace();
    {
      using store = await database(space, rows(1));
      store.sqlite.pragma("wal_checkpoint(truncate)");
    }
    await copyFile(space.at("datagen.db"), other.at("datagen.db"));
    // Both have the same earlier answers for the first input, which repeats.
    const [a, b] = rows(2);
    const shardOf = async (where: Workspace, index: number) => {
      await where.write("rows.json", [a, a, b, b]);
      const store = openStore(where.at("datagen.db"));
      const { data_config, ...config } = configFor({ api_provider: "offline" });
      const parsed = parseConfig({
        ...config,
        data_config: { ...data_config, input_data_path: where.at("rows.json") },
      });
      await createRun(store, parsed, { shard: { indices: [index], count: 2 } });
      await executeRun(store, "latest");
      return store;
    };
    using mine = await shardOf(space, 1);
    using theirs = await shardOf(other, 2);
    // As a resume with --retry-truncated leaves it where it was stopped.
    theirs.sqlite.exec(`update calls set wanted_settings_id = 1 where run_id = 2 and state = 'succeeded';
      update runs set calls_reopened = (select count(*) from calls where run_id = 2) where id = 2`);
    expect(mergeDatabase(mine, theirs.path).shards).toMatchObject([{ missing: [], pending: 6 }]);
    expect(checkStore(mine)).toEqual([]);
    expect(mine.sqlite.prepare("select count(*) from runs").pluck().get()).toBe(2);
    expect(await executeRun(mine, "latest")).toMatchObject({
      status: "completed",
      calls: { total: 24, succeeded: 24 },
    });
    expect(checkStore(mine)).toEqual([]);
  });
});

test("failed requests are read a page at a time, in the order in which they were stored", async () => {
  await using space = await workspace();
  using store = await database(space);
  store.sqlite.exec(`with recursive n(i) as (select 1 union all select i + 1 from n where i < 1234)
    insert into attempts (call_id, started_at, duration_ms, outcome, decision, message)
      select 1 + i % 3, i, 0, 'timeout', 'retry', 'number ' || i from n`);
  const failures = showFailures(store, "latest");
  const iterator = failures[Symbol.iterator]();
  iterator.next();
  // Nothing is held while a slow reader looks at a page.
  expect(store.sqlite.inTransaction).toBe(false);
  expect(store.sqlite.pragma("wal_checkpoint(truncate)")).toMatchObject([{ busy: 0 }]);
  for (const _ of [1, 2]) {
    expect(Array.from(failures, ({ message }) => message)).toEqual(
      Array.from({ length: 1234 }, (__, at) => `number ${at + 1}`),
    );
  }
  expect([...jsonLines(failures)].join("\n")).toBe(JSON.stringify([...failures], null, 2));
  expect([...jsonLines([])]).toEqual([JSON.stringify([], null, 2)]);
});

test("two runs that are planned at once on one store reuse the same earlier answers, each all of them", async () => {
  await using space = await workspace();
  using store = await database(space, rows(60));
  const planned = await Promise.all([plan(space, store), plan(space, store)]);
  const reused = listRuns(store).filter(({ id }) => planned.includes(id));
  expect(reused.map(({ calls }) => calls.reused)).toEqual([360, 360]);
  expect(store.sqlite.prepare("select count(*) from temp.taken").pluck().get()).toBe(0);
});

test("a request that was reserved without a limit counts in a cap with that of the run", () => {
  const prices: Prices = {
    input: 1,
    cached_input: 1,
    cache_write: 1,
    output: 2,
    batch_factor: 0.5,
    long_prompts: [],
    source: "config",
    date: "2026-01-01",
  };
  const budget = { mostNanoUsd: 1e9, usedNanoUsd: 0, inFlight: new Map() };
  const cap = new Cap({ budget, completionLimit: 100, prices }, 1);
  expect(cap.mostOf({ promptTokens: 10, completionTokens: null })).toBe(
    cap.mostOf({ promptTokens: 10, completionTokens: 100 }),
  );
});

test("a request may cost what the cache of an hour costs only if its extra_body asks for that", () => {
  const rates = { input: 4, cached_input: 1, cache_write: 5, cache_write_1h: 8, output: 0 };
  const prices: Prices = { ...rates, long_prompts: [], batch_factor: 0.5, source: "", date: "" };
  const reserved = { promptTokens: 1_000, completionTokens: 1, attempts: 1, isBatched: false, isUnderWay: false };
  const mostWith = (extra: Record<string, unknown>) => {
    const config = configFor({ model_config: { extra_body: extra } });
    const target = { provider: "anthropic", baseUrl: null, endpoint: "chat" } as const;
    return possiblyCharged([reserved], prices, [settingsOf(parseConfig(config), target)]).mostNanoUsd;
  };
  expect(mostWith({})).toBe(5_000_000);
  expect(mostWith({ cache_control: { type: "ephemeral" } })).toBe(5_000_000);
  expect(mostWith({ cache_control: { type: "ephemeral", ttl: "1h" } })).toBe(8_000_000);
});

test.for([
  { indices: [1], count: 3 },
  { indices: [2], count: 3 },
  { indices: [1, 3], count: 4 },
  { indices: [1, 2], count: 2 },
])("the inputs of shards $indices of $count stand where they stand in the file", (part) => {
  const all = Array.from({ length: 40 }, (_, position) => position).filter((position) => isInShard(part, position));
  expect(all.map((_, nth) => positionIn(part, nth))).toEqual(all);
});

test("a table of 200,000 rows is made in a moment, each line as wide as the widest cells", () => {
  const columns: Column<number>[] = [
    { title: "N", value: String, align: "right", rank: 0 },
    { title: "TEXT", value: (row) => "x".repeat(row % 7), rank: 0 },
  ];
  const lines = renderTable(
    columns,
    Array.from({ length: 200_000 }, (_, at) => at),
    80,
  ).split("\n");
  expect(lines).toHaveLength(200_001);
  expect([lines[0], lines[1], lines[7]]).toEqual(["     N  TEXT", "     0", "     6  xxxxxx"]);
});
