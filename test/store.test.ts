import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRun } from "../src/app/run/create-run.ts";
import { deleteRun } from "../src/app/runs/delete-run.ts";
import { executeRun } from "../src/app/run/execute-run.ts";
import { exportRun } from "../src/app/dataset/export-run.ts";
import { listRuns } from "../src/app/runs/list-runs.ts";
import { showRun } from "../src/app/runs/show-run.ts";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { parseConfig } from "../src/config/parse.ts";
import { openCalls, openStrategy } from "../src/store/runs/calls.ts";
import { datasetRows } from "../src/store/runs/dataset-rows.ts";
import { openStore } from "../src/store/file/open.ts";
import type { Store } from "../src/store/file/store.ts";
import {
  type Config,
  configFor,
  type ConfigOverrides,
  datagen,
  environmentFor,
  expectedDataset,
  promptOf,
  type Result,
  type Row,
  rows,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn, type InTurnOptions } from "./support/in-turn.ts";
import { rounds } from "./support/rounds.ts";
import { answerTo, type Fault, promptHashOf, startServer } from "./support/server.ts";

const ROOT = resolve(import.meta.dirname, "..");
const DB = "data/datagen.db";

/** A command that makes a database where there is none. */
const CREATE = ["prices", "set", "any", "--input", "0", "--output", "0"];

/** A workspace with a config and its rows. */
async function prepared(
  data: Row[] = rows(3),
  overrides: ConfigOverrides = {},
): Promise<Workspace & { config: Config }> {
  const space = await workspace();
  const config = configFor(overrides);
  await space.write("rows.json", data);
  await space.write("config.json", config);
  return { ...space, config };
}

/** Runs the bin in a workspace, and expects it to succeed. */
async function succeed(space: Workspace, args: string[], options: Partial<InTurnOptions> = {}): Promise<string> {
  const { code, stdout, stderr } = await datagenInTurn(args, { cwd: space.path, ...options });
  expect(code, stderr).toBe(0);
  return stdout;
}

const OFFLINE = ["run", "config.json", "--provider", "offline", "--no-export", "--fresh", "--json"];

async function runOffline(space: Workspace, ...args: string[]): Promise<string> {
  const stdout = await succeed(space, [...OFFLINE, ...args]);
  return (JSON.parse(stdout) as { run: RunSummary }).run.id;
}

async function list(space: Workspace): Promise<RunSummary[]> {
  return JSON.parse(await succeed(space, ["runs", "list", "--json"])) as RunSummary[];
}

/** A database of a workspace, for a test to look into and to change. */
function open(space: Workspace, name = DB): Database.Database & Disposable {
  const database = new Database(space.at(name));
  return Object.assign(database, { [Symbol.dispose]: () => database.close() });
}

function expectRefusal({ code, stdout, stderr }: Result, says: RegExp): void {
  expect(stderr).toMatch(/^Error: [^\n]+\n([^\n]+\n)?$/);
  expect(stderr).toMatch(says);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
}

describe.concurrent("a new database", () => {
  test("is made once when four processes open it at the same time, and all four go on", async () => {
    await using space = await workspace();
    for (let round = 0; round < rounds(4, 20); round += 1) {
      const path = space.at(`${round}/runs.db`);
      const opened = await Promise.all(
        [1, 2, 3, 4].map(() => datagen([...CREATE, "--json", "--db", path], { cwd: space.path })),
      );
      for (const result of opened) expect(result).toMatchObject({ code: 0, stderr: "" });
      using database = open(space, path);
      expect(database.pragma("integrity_check", { simple: true })).toBe("ok");
    }
  });

  test("is in WAL mode, is marked as datagen's, and has a version for each migration", async () => {
    await using space = await workspace();
    await succeed(space, CREATE);
    const { entries } = JSON.parse(await readFile(join(ROOT, "migrations/meta/_journal.json"), "utf8")) as {
      entries: object[];
    };
    using database = open(space);
    expect(database.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(Buffer.from([0x64, 0x74, 0x67, 0x6e]).readUInt32BE()).toBe(
      database.pragma("application_id", { simple: true }),
    );
    expect(database.pragma("user_version", { simple: true })).toBe(entries.length);
  });

  test("is finished by the next process where one was killed while it made it", async () => {
    await using space = await prepared();
    await succeed(space, CREATE);
    {
      using database = open(space);
      database.pragma("user_version = 0");
    }
    await space.write(`${DB}-lock`, "");
    await runOffline(space);
    expect(await list(space)).toHaveLength(1);
  });

  test("takes runs of several processes at the same time", async () => {
    await using space = await prepared(rows(10));
    const done = await Promise.all([1, 2, 3].map(() => datagen(OFFLINE, { cwd: space.path })));
    const ids = done.map(({ stdout }) => (JSON.parse(stdout) as { run: RunSummary }).run.id);
    const runs = await list(space);
    expect(runs.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    for (const { status, calls } of runs)
      expect({ status, ...calls }).toMatchObject({ status: "completed", succeeded: 60 });
    using database = open(space);
    expectTrueTotals(database);
  });
});

describe.concurrent("a file that is not a database of datagen", () => {
  /** Opens a file, and expects that it is refused and stays as it was. */
  async function expectRefused(space: Workspace, name: string, says: RegExp): Promise<void> {
    const beside = async () => (await readdir(space.path)).filter((file) => file.startsWith(name));
    const [before, files] = [await readFile(space.at(name)), await beside()];
    for (const args of [
      ["runs", "list"],
      ["run", "config.json", "--provider", "offline"],
    ]) {
      expectRefusal(await datagenInTurn([...args, "--db", name], { cwd: space.path }), says);
    }
    expect(await readFile(space.at(name))).toEqual(before);
    expect(await beside()).toEqual(files);
  }

  test("is refused where another program wrote it", async () => {
    await using space = await prepared();
    {
      using database = open(space, "other.db");
      database.exec("create table notes (text); insert into notes values ('mine')");
    }
    await expectRefused(space, "other.db", /another program/);
  });

  test("is refused where another program marked it as its own", async () => {
    await using space = await prepared();
    {
      using database = open(space, "other.db");
      database.pragma("application_id = 252006675");
      database.exec("create table runs (id)");
    }
    await expectRefused(space, "other.db", /another program/);
  });

  test("is refused where it is no database at all", async () => {
    await using space = await prepared();
    await expectRefused(space, "rows.json", /is not a SQLite database/);
  });

  test("is refused where a newer datagen wrote it", async () => {
    await using space = await prepared();
    await succeed(space, [...CREATE, "--db", "newer.db"]);
    {
      using database = open(space, "newer.db");
      database.pragma("user_version = 99");
      database.pragma("journal_mode = delete");
    }
    await expectRefused(space, "newer.db", /newer datagen .*version 99/);
  });

  test("is refused where it is a folder, or stands below a file", async () => {
    await using space = await prepared();
    await mkdir(space.at("folder.db"));
    expectRefusal(await datagenInTurn(["runs", "list", "--db", "folder.db"], { cwd: space.path }), /cannot be opened/);
    expectRefusal(
      await datagenInTurn(["runs", "list", "--db", "rows.json/x.db"], { cwd: space.path }),
      /cannot be opened \(ENOTDIR: not a directory/,
    );
  });

  test("is refused where nothing can be written", async () => {
    await using space = await prepared();
    // Rights do not bind root, but the kernel's own folder takes no file from anybody.
    const folder = process.getuid?.() === 0 ? "/sys" : space.at("locked");
    if (folder !== "/sys") {
      await mkdir(folder);
      await chmod(folder, 0o555);
    }
    const result = await datagenInTurn([...CREATE, "--db", join(folder, "x.db")], { cwd: space.path });
    expectRefusal(result, /cannot be (opened|written)/);
    if (folder !== "/sys") await chmod(folder, 0o755);
  });
});

describe.concurrent("a database of an older datagen", () => {
  /** A copy of the package that knows one migration more. */
  async function nextVersion(sql: string): Promise<Workspace & { bin: string }> {
    const space = await workspace();
    for (const name of ["package.json", "dist", "migrations"])
      await cp(join(ROOT, name), space.at(name), { recursive: true });
    await symlink(join(ROOT, "node_modules"), space.at("node_modules"));
    const journal = await space.json<{ entries: { idx: number; when: number }[] }>("migrations/meta/_journal.json");
    const last = journal.entries.at(-1)!;
    journal.entries.push(Object.assign({}, last, { idx: last.idx + 1, when: last.when + 1, tag: "9999_next" }));
    await space.write("migrations/meta/_journal.json", journal);
    await space.write("migrations/9999_next.sql", sql);
    return { ...space, bin: space.at("dist/main.js") };
  }

  /** All rows of a database, table by table. */
  function contents(database: Database.Database): Record<string, unknown[]> {
    const tables = ["runs", "perspectives", "tasks", "texts", "calls", "answers", "attempts", "settings"];
    return Object.fromEntries(tables.map((table) => [table, database.prepare(`select * from ${table}`).all()]));
  }

  /** Rebuilds a table that calls refer to, as drizzle-kit does it, and adds two columns. */
  function migrationOf(database: Database.Database): string {
    const sqlOf = (name: string) =>
      database.prepare<[string], string>("select sql from sqlite_schema where name = ?").pluck().get(name)!;
    return [
      "PRAGMA foreign_keys=OFF",
      sqlOf("perspectives")
        .replace("`perspectives`", "`__new_perspectives`")
        .replace("FOREIGN KEY", "`colour` text, FOREIGN KEY"),
      "INSERT INTO `__new_perspectives` SELECT *, NULL FROM `perspectives`",
      "DROP TABLE `perspectives`",
      "ALTER TABLE `__new_perspectives` RENAME TO `perspectives`",
      "PRAGMA foreign_keys=ON",
      sqlOf("perspectives_position"),
      "ALTER TABLE `calls` ADD `note` text",
    ].join(";--> statement-breakpoint\n");
  }

  test("is copied and brought up to date with all its rows, and the older datagen then refuses it", async () => {
    await using space = await prepared();
    const id = await runOffline(space);
    const exported = await succeed(space, ["export", id, "--output", "-"]);
    const before = open(space);
    const version = before.pragma("user_version", { simple: true }) as number;
    const rowsBefore = contents(before);
    await using next = await nextVersion(migrationOf(before));
    before.close();

    const { code, stdout, stderr } = await datagen(["export", id, "--output", "-"], { cwd: space.path, bin: next.bin });
    expect([code, stdout], stderr).toEqual([0, exported]);
    using after = open(space);
    expect(after.pragma("user_version", { simple: true })).toBe(version + 1);
    expect(after.pragma("foreign_key_check")).toEqual([]);
    const added = (table: string, column: string) =>
      rowsBefore[table]!.map((row) => Object.assign({}, row, { [column]: null }));
    expect(contents(after)).toEqual({
      ...rowsBefore,
      perspectives: added("perspectives", "colour"),
      calls: added("calls", "note"),
    });

    using backup = open(space, `${DB}.v${version}.backup`);
    expect(backup.pragma("user_version", { simple: true })).toBe(version);
    expect(contents(backup)).toEqual(rowsBefore);
    expect(await succeed(space, ["export", id, "--output", "-", "--db", `${DB}.v${version}.backup`])).toBe(exported);

    expectRefusal(await datagenInTurn(["runs", "list"], { cwd: space.path }), /newer datagen/);
  });

  test("is in WAL mode again where it was copied with VACUUM INTO, as backups are, and is run on", async () => {
    await using space = await prepared();
    const id = await runOffline(space);
    {
      using original = open(space);
      original.prepare("vacuum into ?").run(space.at("copy.db"));
    }
    {
      using copy = open(space, "copy.db");
      expect(copy.pragma("journal_mode", { simple: true })).toBe("delete");
    }
    const again = await runOffline(space, "--db", "copy.db");
    using copy = open(space, "copy.db");
    expect(copy.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(copy.prepare("select public_id from runs order by id").pluck().all()).toEqual([id, again]);
  });

  test("stays as it was where a migration fails", async () => {
    await using space = await prepared();
    const id = await runOffline(space);
    const exported = await succeed(space, ["export", id, "--output", "-"]);
    await using next = await nextVersion(
      "ALTER TABLE `calls` ADD `note` text;--> statement-breakpoint\nINSERT INTO `nowhere` VALUES (1)",
    );
    const failed = await datagen(["runs", "list"], { cwd: space.path, bin: next.bin });
    expect(failed).toMatchObject({ code: 4, stdout: "" });
    expect(failed.stderr).toContain("nowhere");
    expect(await succeed(space, ["export", id, "--output", "-"])).toBe(exported);
  });
});

describe.concurrent("a plan that was cut off", () => {
  /** A run as it stands before its last transaction, planned by a process. */
  async function planned(
    pid: number,
    { boot = null, hoursAgo = 0 }: { boot?: string | null; hoursAgo?: number } = {},
  ): Promise<Workspace & { kept: string }> {
    const space = await prepared(rows(2));
    const kept = await runOffline(space);
    await space.write("rows.json", rows(5));
    await runOffline(space);
    using database = open(space);
    const cut = database.prepare("select max(id) from runs").pluck().get();
    database.prepare("update runs set planned_at = null where id = ?").run(cut);
    const at = Date.now() - hoursAgo * 60 * 60 * 1_000;
    database
      .prepare(
        `insert into leases (run_id, token, host, pid, acquired_at, heartbeat_at, boot)
           values (?, 'somebody', ?, ?, ?, ?, ?)`,
      )
      .run(cut, hostname(), pid, at, at, boot);
    return { ...space, kept };
  }

  const countsOf = (database: Database.Database) =>
    ["runs", "perspectives", "tasks", "calls", "texts", "answers", "attempts", "leases"].map((table) =>
      database.prepare<[], number>(`select count(*) from ${table}`).pluck().get(),
    );

  test("is shown nowhere, and removed with its texts by the next run", async () => {
    const { pid } = spawnSync(process.execPath, ["--version"]);
    await using space = await planned(pid);
    expect((await list(space)).map(({ id }) => id)).toEqual([space.kept]);
    await space.write("rows.json", rows(2));
    await runOffline(space);
    using database = open(space);
    expect(countsOf(database)).toEqual([2, 8, 4, 24, 4, 24, 24, 0]);
  });

  test.for([
    { hoursAgo: 1, runs: 3 },
    { hoursAgo: 25, runs: 2 },
  ])("is left alone for a day where it is not known whether its process lives ($hoursAgo h)", async (past) => {
    await using space = await planned(process.pid, { boot: "of another machine", hoursAgo: past.hoursAgo });
    await space.write("rows.json", rows(2));
    await runOffline(space);
    using database = open(space);
    expect(countsOf(database)[0]).toBe(past.runs);
  });

  test("is left alone while a living process plans it", async () => {
    await using space = await planned(process.pid);
    expect((await list(space)).map(({ id }) => id)).toEqual([space.kept]);
    await space.write("rows.json", rows(2));
    await runOffline(space);
    using database = open(space);
    expect(countsOf(database)).toEqual([3, 12, 9, 54, 10, 54, 54, 1]);
  });
});

/** Expects that the totals of every run are those of its rows. */
function expectTrueTotals(database: Database.Database): void {
  const columns = `calls_total, calls_succeeded, calls_failed, calls_truncated, attempts,
    prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, tokens_estimated`;
  const stored = database.prepare(`select ${columns} from runs order by id`).all();
  const summed = database
    .prepare(
      `select
         (select count(*) from calls where run_id = runs.id) as calls_total,
         (select count(*) from calls where run_id = runs.id and state = 'succeeded') as calls_succeeded,
         (select count(*) from calls where run_id = runs.id and state = 'failed') as calls_failed,
         (select count(*) from calls join answers on answers.id = answer_id
            where run_id = runs.id and answers.finish_reason = 'length') as calls_truncated,
         count(attempts.id) as attempts,
         coalesce(sum(attempts.prompt_tokens), 0) as prompt_tokens,
         coalesce(sum(attempts.completion_tokens), 0) as completion_tokens,
         coalesce(sum(attempts.cached_tokens), 0) as cached_tokens,
         coalesce(sum(attempts.reasoning_tokens), 0) as reasoning_tokens,
         coalesce(max(attempts.tokens_estimated), 0) as tokens_estimated
       from runs
         left join calls on calls.run_id = runs.id
         left join attempts on attempts.call_id = calls.id
       group by runs.id order by runs.id`,
    )
    .all();
  expect(stored).toEqual(summed);
  const contradictions = "select count(*) from calls where (state = 'succeeded') != (answer_id is not null)";
  expect(database.prepare(contradictions).pluck().get()).toBe(0);
}

describe.concurrent("the totals of a run", () => {
  test("are those of its rows after every kind of failure, and again after the failed calls were retried", async () => {
    const data = rows(12);
    await using space = await prepared(data);
    const kinds: (Fault | "once")[] = [
      { kind: "status", status: 400 },
      { kind: "contentFilter" },
      { kind: "refusal" },
      { kind: "length" },
      { kind: "noUsage" },
      "once",
    ];
    const inputs = data.map(({ input }) => input);
    await using server = await startServer({
      behave({ prompt, nth }) {
        const fault = kinds[inputs.findIndex((input) => prompt.includes(input)) - 2];
        if (fault === "once") return nth === 1 ? { kind: "status", status: 500 } : undefined;
        return fault;
      },
    });
    const options = { cwd: space.path, env: environmentFor(server) };
    const { code } = await datagenInTurn(["run", "config.json", "--no-export"], options);
    expect(code).toBe(1);
    {
      using database = open(space);
      expectTrueTotals(database);
      const told = database
        .prepare(
          `select sum(prompt_tokens) as prompt, sum(completion_tokens) as completion, sum(cached_tokens) as cached,
             sum(reasoning_tokens) as reasoning from attempts where not tokens_estimated`,
        )
        .get();
      const { prompt, completion, cached, reasoning } = server.served;
      expect(told).toEqual({ prompt, completion, cached, reasoning });
      const outcomes = database.prepare<[], string>("select distinct outcome from attempts order by 1").pluck().all();
      expect(outcomes).toEqual(["bad_request", "content_filter", "refusal", "server_error", "succeeded"]);
      const [run] = await list(space);
      // Of six calls for an input, each of two readings that fails takes its strategy along.
      expect(run!.calls).toMatchObject({ total: 72, succeeded: 54, failed: 18, pending: 0 });
      expect(run!.calls.truncated).toBeGreaterThan(0);
      expect(run!.tokens.estimated).toBe(true);
      expect(run!.finished_at).not.toBeNull();
    }

    server.behave = undefined;
    const resumed = await datagenInTurn(["resume", "latest", "--retry-failed", "--no-export"], options);
    expect(resumed.code, resumed.stderr).toBe(0);
    using database = open(space);
    expectTrueTotals(database);
    const [run] = await list(space);
    expect(run).toMatchObject({ status: "completed", calls: { succeeded: 72, failed: 0 } });
    expect(run!.tokens.total).toBe(
      database.prepare<[], number>("select sum(prompt_tokens + completion_tokens) from attempts").pluck().get(),
    );
  });

  test("are those of its rows where it was stopped in the middle", async () => {
    await using space = await prepared(rows(20));
    await using server = await startServer({
      behave: ({ index }) => (index < 30 ? undefined : { kind: "status", status: 401 }),
    });
    const { code } = await datagenInTurn(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
    expect(code).toBe(3);
    using database = open(space);
    expectTrueTotals(database);
    expect(await list(space)).toMatchObject([{ status: "interrupted", finished_at: null }]);
  });
});

describe.concurrent("texts", () => {
  test("are stored once, however many rows and runs have them", async () => {
    const [first, second] = rows(2);
    await using space = await prepared([
      first!,
      second!,
      first!,
      { input: second!.reference!, reference: first!.input },
    ]);
    await runOffline(space);
    await space.write("rows.json", [second!, first!]);
    await runOffline(space);
    using database = open(space);
    const texts = database.prepare<[], string>("select text from texts order by text").pluck().all();
    const distinct = [first!, second!].flatMap(({ input, reference }) => [input, reference!]);
    expect(texts).toEqual(distinct.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    expect(database.prepare("select count(*) from tasks").pluck().get()).toBe(6);
  });

  /** Half characters, which have no UTF-8; two that differ in nothing else; and the mark that UTF-8 would put there. */
  const ODD = ["half \ud83d", "half \ud83e", "half \ufffd", "\udc00\ud800 turned", "nul \u0000 end", "whole 🦜 \u2028"];

  test("of inputs, references, instructions and answers come back as they were, character by character", async () => {
    const data = ODD.map((input) => ({ input, reference: `${input}!` }));
    await using space = await prepared(data, {
      add_references: true,
      agent_perspectives: [
        { condition: "Odd", reading: null, strategy: "Say \ud83d and \u0000." },
        { condition: "Odder", reading: "Note \ud83e.", strategy: "Tell \udfff." },
      ],
    });
    await using server = await startServer({
      behave: (call) => ({ kind: "text", text: `${answerTo(call)} \ud83d\u0000\udc00` }),
    });
    const dataset = await succeed(space, ["run", "config.json"], { env: environmentFor(server) });
    const { tasks, calls } = expectedDataset(space.config, data, (asked) => `${answerTo(asked)} \ud83d\u0000\udc00`);
    expect((await space.json<{ tasks: object[] }>(dataset.trim())).tasks).toEqual(tasks);
    expect(server.requests.map(({ promptHash }) => promptHash).toSorted()).toEqual(
      calls.map(({ asked }) => promptHashOf(asked.prompt)).toSorted(),
    );
    expect(promptHashOf(promptOf("a", ODD[0]!))).not.toBe(promptHashOf(promptOf("a", ODD[2]!)));

    const lines = (await succeed(space, ["export", "latest", "--format", "jsonl", "--output", "-"])).trim().split("\n");
    const contexts = lines.map((line) => (JSON.parse(line) as { context: string }).context);
    expect(contexts).toEqual(ODD.flatMap((input) => [input, input, input]));

    using database = open(space);
    expect(database.prepare("select count(*) from texts").pluck().get()).toBe(2 * ODD.length);
  });
});

describe("the queries", () => {
  const TASKS = 5_000;
  const PERSPECTIVES = 20;

  /** With a run of 100,000 calls, and a small one before it. */
  let space: Workspace;
  let store: Store;
  const ids = { small: "", large: 0 };

  beforeAll(async () => {
    space = await prepared(rows(2));
    ids.small = await runOffline(space);
    using database = open(space);
    const columns = database.prepare<[], string>("select name from pragma_table_info('runs')").pluck().all();
    const own = columns.filter((name) => name !== "id" && name !== "public_id").join();
    const { lastInsertRowid } = database
      .prepare(`insert into runs (public_id, ${own}) select 'zzzzzzzz', ${own} from runs`)
      .run();
    ids.large = Number(lastInsertRowid);
    const numbers = "with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ?)";
    database
      .prepare(
        `insert into perspectives (run_id, position, condition, strategy) ${numbers} select ?, i, 'P' || i, 'S' from n`,
      )
      .run(PERSPECTIVES, ids.large);
    database
      .prepare(
        `insert into tasks (run_id, position, input_id, reference_id)
           ${numbers} select ?, i, (select input_id from tasks), (select reference_id from tasks) from n`,
      )
      .run(TASKS, ids.large);
    const { changes } = database
      .prepare(
        `insert into calls (run_id, task_id, perspective_id, step)
           select tasks.run_id, tasks.id, perspectives.id, 'strategy'
           from tasks join perspectives using (run_id) where run_id = ?`,
      )
      .run(ids.large);
    expect(changes).toBe(100_000);
    database
      .prepare("update runs set calls_total = ?, calls_succeeded = 0, tasks = ?, perspectives = ? where id = ?")
      .run(changes, TASKS, PERSPECTIVES, ids.large);
    store = openStore(space.at(DB));
    // As it is where rows are removed: the check would look for what refers to each of them.
    store.sqlite.pragma("foreign_keys = off");
  });

  afterAll(async () => {
    store.close();
    await space[Symbol.asyncDispose]();
  });

  /** The statements that something prepares on a store of its own, each with what SQLite says it will do. */
  async function plansOf(body: (store: Store) => unknown): Promise<{ sql: string; plan: string[] }[]> {
    using own = openStore(space.at(DB));
    const statements: string[] = [];
    const prepare = own.sqlite.prepare.bind(own.sqlite);
    own.sqlite.prepare = (sql: string) => {
      statements.push(sql);
      return prepare(sql);
    };
    await body(own);
    expect(statements.length).toBeGreaterThan(0);
    store.sqlite.exec("create temp table if not exists taken (reuse integer, id integer, primary key (reuse, id))");
    store.sqlite.exec("create temp table if not exists failed_attempts (id integer primary key)");
    store.sqlite.function("attempt_cost", { deterministic: true, varargs: true }, () => 0);
    return [...new Set(statements)].map((sql) => {
      const explained = store.sqlite.prepare<unknown[], { detail: string }>(`explain query plan ${sql}`);
      const positional = Array.from({ length: (sql.match(/\?/g) ?? []).length }, () => 1);
      const named = Object.fromEntries((sql.match(/(?<=@)[a-z]\w*/gi) ?? []).map((name) => [name, 1]));
      return { sql, plan: explained.all(...positional, named).map(({ detail }) => detail) };
    });
  }

  test("for a page of open calls seek it in the index of open calls, and sort nothing", async () => {
    const plans = await plansOf((own) => {
      const [page] = [openCalls(own, ids.large, 1000, 256)];
      expect(page).toHaveLength(256);
      openStrategy(own, page[0]!);
    });
    const { plan } = plans.find(({ sql }) => sql.includes("limit"))!;
    expect(plan[0]).toMatch(/^SEARCH calls USING INDEX calls_open \(run_id=\? AND id>\?\)/);
    expect(plan.join("\n")).not.toMatch(/SCAN|TEMP B-TREE/);
  });

  test("for the cells of a task seek them by the task", async () => {
    const plans = await plansOf((own) => {
      for (const { cells } of datasetRows(own, ids.large)) {
        expect(cells).toHaveLength(PERSPECTIVES);
        break;
      }
    });
    const planOf = (table: string) => plans.find(({ sql }) => new RegExp(`from ${table}\\s`).test(sql))!.plan;
    expect(planOf("calls")[0]).toMatch(/^SEARCH c USING INDEX calls_cell \(task_id=\?\)/);
    expect(planOf("tasks")).toEqual([
      expect.stringMatching(/^SEARCH tasks USING INDEX tasks_position \(run_id=\? AND position>\?\)/),
    ]);
  });

  test("of a whole run, its export and its deletion go through no table from end to end", async () => {
    const { data_config, ...config } = configFor({ api_provider: "offline" });
    const input = { ...data_config, input_data_path: space.at("rows.json") };
    const plans = await plansOf(async (own) => {
      const run = await createRun(own, parseConfig({ ...config, data_config: input }));
      await executeRun(own, run);
      await exportRun(own, run, { output: space.at("dataset.json") });
      listRuns(own);
      showRun(own, run);
      deleteRun(own, run);
    });
    expect(plans.length).toBeGreaterThan(30);
    for (const { sql, plan } of plans) {
      expect(plan.join("\n"), sql).not.toMatch(
        /SCAN (calls|tasks|texts|answers|attempts|perspectives|readings)\b(?! USING INDEX attempts_reserved)/,
      );
    }
  });

  test("of a list read the rows of runs, leases and experiments, and of no other table", async () => {
    const [listing, ...others] = await plansOf((own) => expect(listRuns(own)).not.toEqual([]));
    expect(others).toEqual([]);
    const opened = store.sqlite
      .prepare<[], { opcode: string; p2: number }>(`explain ${listing!.sql}`)
      .all()
      .filter(({ opcode }) => opcode === "OpenRead")
      .map(({ p2 }) =>
        store.sqlite.prepare<[number], string>("select tbl_name from sqlite_schema where rootpage = ?").pluck().get(p2),
      );
    expect(new Set(opened)).toEqual(new Set(["runs", "leases", "experiments"]));
  });

  test("of datagen runs list need no other table than these", async () => {
    await using copy = await workspace();
    await mkdir(copy.at("data"));
    store.sqlite.prepare("vacuum into ?").run(copy.at(DB));
    const before = await list(copy);
    expect(before.map(({ calls }) => calls.total)).toContain(100_000);
    {
      using database = open(copy);
      database.pragma("foreign_keys = off");
      for (const table of ["attempts", "calls", "answers", "tasks", "texts", "perspectives", "settings"]) {
        database.exec(`drop table ${table}`);
      }
    }
    expect(await list(copy)).toEqual(before);
  });
});

test("a database that was opened leaves nothing but itself behind", async () => {
  await using space = await prepared();
  await runOffline(space);
  expect(existsSync(space.at(DB))).toBe(true);
  expect((await readdir(space.at("data"))).filter((name) => !/^datagen\.db(-lock)?$/.test(name))).toEqual([]);
});
