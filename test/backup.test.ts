import { existsSync, statSync, writeFileSync } from "node:fs";
import { mkdir, readdir, symlink } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { type Backup, backUpDatabase, InterruptedError, openStore, type RunSummary } from "../src/index.ts";
import { configFor, openDatabase, rows, startDatagen, environmentFor, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import type { Workspace } from "./support/harness.ts";
import { startServer } from "./support/server.ts";

const DB = "data/datagen.db";

async function prepared(inputs = 6): Promise<Workspace> {
  const space = await workspace();
  await space.write("rows.json", rows(inputs));
  await space.write("config.json", configFor());
  return space;
}

const command = (space: Workspace, ...args: string[]) => datagenInTurn(args, { cwd: space.path });

async function succeed(space: Workspace, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await command(space, ...args);
  expect(code, stderr).toBe(0);
  return stdout;
}

const runOffline = (space: Workspace) =>
  succeed(space, "run", "config.json", "--provider", "offline", "--no-export", "--fresh");

/** All rows of all tables. */
function rowsOf(path: string): Record<string, unknown[]> {
  const database = openDatabase(path);
  try {
    const tables = database.prepare<[], string>("select name from sqlite_schema where type = 'table'").pluck().all();
    return Object.fromEntries(tables.map((table) => [table, database.prepare(`select * from "${table}"`).all()]));
  } finally {
    database.close();
  }
}

describe.concurrent("datagen db backup", () => {
  test("writes one private file with every row, and datagen works with it", async () => {
    await using space = await prepared();
    await runOffline(space);
    expect(await succeed(space, "db", "backup", "copy.db")).toMatch(
      /^copy\.db: a copy of \/.*\/data\/datagen\.db with 1 run, \d+\.\d MB\n$/,
    );
    expect((await readdir(space.path)).toSorted()).toEqual(["config.json", "copy.db", "data", "rows.json"]);
    expect(statSync(space.at("copy.db")).mode & 0o777).toBe(0o600);
    expect(rowsOf(space.at("copy.db"))).toEqual(rowsOf(space.at(DB)));
    expect(await succeed(space, "db", "check", "--db", "copy.db")).toContain("0 broken");
    expect(await succeed(space, "export", "latest", "--output", "-", "--db", "copy.db")).toBe(
      await succeed(space, "export", "latest", "--output", "-"),
    );
    const json = JSON.parse(await succeed(space, "db", "backup", "again.db", "--json")) as Backup;
    const { size } = statSync(space.at("again.db"));
    expect(json).toEqual({ database: space.at(DB), backup: "again.db", runs: 1, bytes: size });
  });

  test("has the database at one moment while a run goes on, which does not notice", async () => {
    await using space = await prepared(60);
    await runOffline(space);
    // Starts a copy at each of these requests. Requests go on meanwhile.
    const copies: Promise<string>[] = [];
    await using server = await startServer({
      latency: 40,
      behave({ index }) {
        if ([20, 60, 100].includes(index)) copies.push(succeed(space, "db", "backup", `${copies.length}.db`));
        return undefined;
      },
    });
    const env = environmentFor(server);
    await using running = startDatagen(["run", "config.json", "--no-export", "--concurrency", "4"], {
      cwd: space.path,
      env,
    });
    expect((await running.done).code).toBe(0);
    await Promise.all(copies);
    const whole = JSON.parse(await succeed(space, "runs", "list", "--json")) as RunSummary[];
    expect(whole[0]?.calls).toMatchObject({ pending: 0, failed: 0 });
    expect(copies).toHaveLength(3);
    for (const at of copies.keys()) {
      expect(await succeed(space, "db", "check", "--db", `${at}.db`)).toContain("0 broken");
      expect(rowsOf(space.at(`${at}.db`))["runs"]).toHaveLength(2);
    }
    // A copy goes on where it was made.
    const resumed = await datagenInTurn(["resume", "latest", "--no-export", "--db", "0.db"], { cwd: space.path, env });
    expect(resumed.code, resumed.stderr).toBe(0);
    const again = JSON.parse(await succeed(space, "runs", "list", "--json", "--db", "0.db")) as RunSummary[];
    expect(again[0]).toMatchObject({ id: whole[0]?.id, status: "completed" });
  });

  test("replaces nothing: no file, no link, no folder, and no file of a database", async () => {
    await using space = await prepared();
    await runOffline(space);
    await space.write("mine.txt", "mine");
    await symlink("nowhere", space.at("link"));
    await mkdir(space.at("folder"));
    const before = rowsOf(space.at(DB));
    const refused: [string, RegExp][] = [
      ["mine.txt", /mine\.txt is there already, and a backup replaces nothing/],
      ["link", /link is there already/],
      ["folder", /folder is a folder/],
      [DB, /datagen\.db is there already/],
      [`${DB}-wal`, /is no name for a backup/],
      ["other.db-journal", /is no name for a backup/],
      ["", /is no name for a backup/],
      ["nowhere/copy.db", /the folder of nowhere\/copy\.db does not exist/],
      ["mine.txt/copy.db", /the folder of mine\.txt\/copy\.db does not exist/],
    ];
    for (const [path, message] of refused) {
      const { code, stdout, stderr } = await command(space, "db", "backup", path);
      expect([path, code, stdout]).toEqual([path, 2, ""]);
      expect(stderr).toMatch(message);
    }
    expect(await space.read("mine.txt")).toBe("mine");
    expect(existsSync(space.at("nowhere"))).toBe(false);
    expect(rowsOf(space.at(DB))).toEqual(before);
    expect((await readdir(space.path)).toSorted()).toEqual([
      "config.json",
      "data",
      "folder",
      "link",
      "mine.txt",
      "rows.json",
    ]);
  });

  test("creates nothing where there is no database", async () => {
    await using space = await prepared();
    const { code, stderr } = await command(space, "db", "backup", "copy.db");
    expect(code).toBe(2);
    expect(stderr).toContain("there is no database data/datagen.db");
    expect((await readdir(space.path)).toSorted()).toEqual(["config.json", "rows.json"]);
  });

  test("leaves nothing where the disk has no room for it", async () => {
    await using space = await prepared(60);
    await runOffline(space);
    // A limit on the size of files stands for a disk that is full: SQLite gets an error in the middle of the copy.
    const blocks = Math.floor(statSync(space.at(DB)).size / 1024 / 2);
    const { spawnSync } = await import("node:child_process");
    const script = `ulimit -f ${blocks}; trap '' XFSZ; exec "$0" "$1" db backup copy.db`;
    const bin = `${import.meta.dirname}/../dist/main.js`;
    const result = spawnSync("bash", ["-c", script, process.execPath, bin], { cwd: space.path, encoding: "utf8" });
    expect(result.stderr).toMatch(/^Error: the disk of .*copy\.db (is full|cannot be read or written)/);
    expect(result.status).toBe(3);
    expect((await readdir(space.path)).toSorted()).toEqual(["config.json", "data", "rows.json"]);
  });

  test("has the database as it was at the start, whatever is committed while it copies", async () => {
    await using space = await prepared();
    await runOffline(space);
    using store = openStore(space.at(DB));
    using other = openStore(space.at(DB));
    const copy = backUpDatabase(store, space.at("copy.db"));
    other.sqlite.exec("update runs set name = 'later'");
    await copy;
    expect(rowsOf(space.at(DB))["runs"]).toMatchObject([{ name: "later" }]);
    expect(rowsOf(space.at("copy.db"))["runs"]).toMatchObject([{ name: null }]);
  });

  test("replaces no file that appears while it copies, and leaves nothing once it is stopped", async () => {
    await using space = await prepared();
    await runOffline(space);
    using store = openStore(space.at(DB));
    const names = await readdir(space.path);
    const stop = new AbortController();
    const stopped = backUpDatabase(store, space.at("stopped.db"), { signal: stop.signal });
    stop.abort();
    await expect(stopped).rejects.toThrow(InterruptedError);
    expect(await readdir(space.path)).toEqual(names);
    const late = backUpDatabase(store, space.at("late.db"));
    writeFileSync(space.at("late.db"), "mine");
    await expect(late).rejects.toThrow(/late\.db is there already, and a backup replaces nothing/);
    expect(await space.read("late.db")).toBe("mine");
    expect((await readdir(space.path)).toSorted()).toEqual([...names, "late.db"].toSorted());
  });
});
