import { readdir, stat } from "node:fs/promises";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import type { Compaction } from "../src/app/database/compact-database.ts";
import { checkRoom } from "../src/store/file/compact.ts";
import { configFor, environmentFor, rows, startDatagen, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { startServer } from "./support/server.ts";

const DB = "data/datagen.db";

async function prepared(): Promise<Workspace> {
  const space = await workspace();
  await space.write("rows.json", rows(60));
  await space.write("config.json", configFor());
  return space;
}

async function succeed(space: Workspace, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await datagenInTurn(args, { cwd: space.path });
  expect(code, stderr).toBe(0);
  return stdout;
}

const run = (space: Workspace, ...flags: string[]) =>
  succeed(space, "run", "config.json", "--provider", "offline", "--no-export", ...flags);

function open(space: Workspace): Database.Database & Disposable {
  const database = new Database(space.at(DB));
  return Object.assign(database, { [Symbol.dispose]: () => database.close() });
}

/** All rows of all tables, and what the file says of itself. */
function contentsOf(space: Workspace) {
  using database = open(space);
  const tables = database.prepare<[], string>("select name from sqlite_schema where type = 'table'").pluck().all();
  const pragma = (name: string) => database.pragma(name, { simple: true }) as number | string;
  const settings = ["page_size", "auto_vacuum", "journal_mode", "application_id", "user_version", "encoding"];
  return {
    rows: Object.fromEntries(tables.map((table) => [table, database.prepare(`select * from ${table}`).all()])),
    schema: database.prepare("select type, name, tbl_name, sql from sqlite_schema order by name").all(),
    settings: Object.fromEntries(settings.map((name) => [name, pragma(name)])),
    freeBytes: Number(pragma("freelist_count")) * Number(pragma("page_size")),
  };
}

describe.concurrent("datagen db compact", () => {
  test("gives back what a deleted run took, and leaves all else as it was", async () => {
    await using space = await prepared();
    await run(space);
    await run(space, "--fresh");
    await succeed(space, "runs", "delete", "latest", "--yes");
    const before = contentsOf(space);
    const { size } = await stat(space.at(DB));
    expect(before.freeBytes).toBeGreaterThan(0.05 * size);
    const dataset = await succeed(space, "export", "latest", "--output", "-");

    const compaction = JSON.parse(await succeed(space, "db", "compact", "--json")) as Compaction;
    const after = await stat(space.at(DB));
    expect(compaction).toEqual({ database: space.at(DB), before_bytes: size, after_bytes: after.size });
    expect(after.size).toBeLessThanOrEqual(size - before.freeBytes);
    expect(contentsOf(space)).toEqual({ ...before, freeBytes: 0 });
    expect(before.settings).toMatchObject({ page_size: 1_024, journal_mode: "wal" });
    expect(await succeed(space, "export", "latest", "--output", "-")).toBe(dataset);
    expect(await succeed(space, "db", "check")).toContain("0 broken");
    expect((await readdir(space.at("data"))).filter((name) => !/^datagen\.db(-lock|-wal|-shm)?$/.test(name))).toEqual(
      [],
    );
  });

  test("says what was there before and after, and that again once nothing is left to give back", async () => {
    await using space = await prepared();
    await run(space);
    const text = await succeed(space, "db", "compact");
    expect(text).toMatch(/datagen\.db: \d+\.\d MB before, \d+\.\d MB after\n$/);
    const { before_bytes, after_bytes } = JSON.parse(await succeed(space, "db", "compact", "--json")) as Compaction;
    expect(after_bytes).toBe(before_bytes);
  });

  test("removes what a deletion that was cut off has left", async () => {
    await using space = await prepared();
    await run(space);
    {
      using database = open(space);
      database.exec("update runs set planned_at = null");
    }
    const { before_bytes, after_bytes } = JSON.parse(await succeed(space, "db", "compact", "--json")) as Compaction;
    expect(after_bytes).toBeLessThan(before_bytes);
    using database = open(space);
    for (const table of ["runs", "perspectives", "tasks", "calls", "attempts", "answers", "texts"]) {
      expect(database.prepare(`select count(*) from ${table}`).pluck().get()).toBe(0);
    }
  });

  test("refuses while a process executes a run, and not once that is gone", async () => {
    await using space = await prepared();
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await using running = startDatagen(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
    await expect.poll(() => server.requests.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const { code, stdout, stderr } = await datagenInTurn(["db", "compact"], { cwd: space.path });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(
      new RegExp(`^Error: run [0-9a-z]{8} is executed by process ${running.child.pid} on .*\n.*\n$`),
    );
    running.kill();
    await running.done;
    await succeed(space, "db", "compact");
    expect(await succeed(space, "runs", "list")).toContain("interrupted");
  });
});

describe("the room for a copy", () => {
  const MB = 1024 * 1024;
  const disks: Record<string, { device: number; free: number }> = {
    "/data": { device: 1, free: 100 * MB },
    "/data/tmp": { device: 1, free: 100 * MB },
    "/tmp": { device: 2, free: 60 * MB },
  };
  const check = (megabytes: number, ...folders: string[]) => checkRoom(megabytes * MB, folders, (name) => disks[name]!);

  test("is there on both disks, or twice on one", () => {
    expect(() => check(60, "/data", "/tmp")).not.toThrow();
    expect(() => check(50, "/data", "/data/tmp")).not.toThrow();
  });

  test("is missed with the disk, what it needs and what it has", () => {
    expect(() => check(61, "/data", "/tmp")).toThrow(/needs 61 MB .* disk of \/tmp, but only 60 MB are free/);
    expect(() => check(51, "/data", "/data/tmp")).toThrow(
      /needs 102 MB .* disk of \/data\/tmp, but only 100 MB are free/,
    );
    expect(() => check(101, "/data", "/data/tmp")).toThrow(/needs 101 MB .* disk of \/data, /);
  });

  test("is asked of the disks of this machine", () => {
    expect(() => checkRoom(1, ["."])).not.toThrow();
    expect(() => checkRoom(2 ** 60, ["."])).toThrow(/disk of \./);
  });
});
