import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorCode } from "../src/errors.ts";
import {
  configFor,
  environmentFor,
  queryRows,
  type Result,
  rows,
  type Running,
  startDatagen,
  workspace,
  type Workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { startServer } from "./support/server.ts";

const PLAIN = { condition: "Plain", reading: null, strategy: "Translate the German text into English." };

/** A run that is done, and whose dataset takes a while to write. */
let large: Workspace;

beforeAll(async () => {
  large = await workspace();
  await large.write("config.json", configFor({ agent_perspectives: [PLAIN] }));
  await large.write("rows.json", rows(80));
  const { code, stderr } = await datagenInTurn(["run", "config.json", "--provider", "offline", "--no-export"], {
    cwd: large.path,
  });
  expect(code, stderr).toBe(0);
  const database = new Database(large.at("data/datagen.db"));
  database.exec("update answers set text = hex(zeroblob(1000000))");
  database.close();
});

afterAll(() => large[Symbol.asyncDispose]());

/** Waits until a file with this ending is in a folder. */
async function appearing(folder: string, ending: string, { done }: Running): Promise<void> {
  let isOver = false;
  void done.then(() => (isOver = true));
  for (;;) {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    if (names.some((name) => name.endsWith(ending))) return;
    if (isOver) throw new Error(`the command ended without a ${ending} in ${folder}`);
    await new Promise((fulfil) => setTimeout(fulfil, 1));
  }
}

/** Takes a byte out of a pipe. @returns how many there were: at most one */
function bytesIn(pipe: number): number {
  try {
    return readSync(pipe, Buffer.alloc(1));
  } catch (error) {
    if (errorCode(error) === "EAGAIN") return 0;
    throw error;
  }
}

/** How a shell sees the end of a process. */
const statusOf = ({ code, signal }: Result) => (signal === "SIGINT" ? 130 : code);

describe("Ctrl-C", () => {
  test.for([
    ["export", ["export", "latest"]],
    ["resume", ["resume", "latest"]],
  ] as const)("during the export of %s ends it, and leaves no part of it", async ([name, args]) => {
    await using running = startDatagen([...args, "--output", `of-${name}/`], { cwd: large.path });
    await appearing(large.path, ".part", running);
    running.kill("SIGINT");
    const { code, stdout, stderr } = await running.done;
    expect([code, stdout]).toEqual([130, ""]);
    expect(stderr).toContain("Stopping: the export ends");
    expect(stderr).toMatch(/^The export of run \w+ was stopped\.$/m);
    expect(stderr).not.toContain("requests in flight");
    expect(await readdir(large.at(`of-${name}`))).toEqual([]);
  });

  test("twice ends an export that waits for the reader of a pipe", async () => {
    execFileSync("mkfifo", [large.at("pipe")]);
    await using running = startDatagen(["export", "latest", "--output", "pipe"], { cwd: large.path });
    // The export has begun to write once there is a byte to read; then nobody reads on.
    const reader = openSync(large.at("pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
    await expect.poll(() => bytesIn(reader), { timeout: 30_000, interval: 20 }).toBe(1);
    running.kill("SIGINT");
    await running.waitFor(/Stopping/);
    running.kill("SIGINT");
    expect(statusOf(await running.done)).toBe(130);
    closeSync(reader);
  });

  describe("before anything is sent", () => {
    /** Inputs that take a second to read, in a folder with a small database. */
    async function prepared(): Promise<Workspace> {
      const space = await workspace();
      await space.write("config.json", configFor({ data_config: { sample_size: 60_000 } }));
      await space.write("few.json", configFor({ data_config: { sample_size: 300 } }));
      await space.write("rows.json", rows(60_000));
      return space;
    }

    test("ends planning, and nothing of the run is shown", async () => {
      await using space = await prepared();
      await using running = startDatagen(["run", "config.json", "--provider", "offline"], { cwd: space.path });
      await running.waitFor(/Run \w+: /);
      running.kill("SIGINT");
      expect(statusOf(await running.done)).toBe(130);
      await expectClean(space, 0);
    });

    test("ends an estimate", async () => {
      await using space = await prepared();
      // An estimate reads a database, and makes none.
      await datagenInTurn(["run", "few.json", "--provider", "offline", "--no-export"], { cwd: space.path });
      await using running = startDatagen(["estimate", "config.json"], { cwd: space.path });
      await appearing(space.path, "datagen.db-wal", running);
      running.kill("SIGINT");
      const result = await running.done;
      expect([statusOf(result), result.stdout]).toEqual([130, ""]);
      await expectClean(space, 1);
    });

    test("ends an import, and nothing of its run is shown", async () => {
      await using space = await prepared();
      const made = await datagenInTurn(["run", "few.json", "--provider", "offline", "--output", "few.out.json"], {
        cwd: space.path,
      });
      expect(made.code, made.stderr).toBe(0);
      const dataset = await space.json<{ tasks: object[] }>("few.out.json");
      const tasks = Array.from({ length: 100 }, () => dataset.tasks).flat();
      await writeFile(space.at("many.json"), JSON.stringify({ ...dataset, tasks }));
      await using running = startDatagen(["import", "many.json", "--db", "other.db"], { cwd: space.path });
      await appearing(space.path, "other.db-wal", running);
      running.kill("SIGINT");
      expect(statusOf(await running.done)).toBe(130);
      await expectClean(space, 1);
    });

    async function expectClean(space: Workspace, runs: number): Promise<void> {
      const { stdout } = await datagenInTurn(["runs", "list", "--json"], { cwd: space.path });
      expect(JSON.parse(stdout)).toHaveLength(runs);
      const check = await datagenInTurn(["db", "check"], { cwd: space.path });
      expect(check.code, check.stdout).toBe(0);
      const names = await readdir(space.path, { recursive: true });
      expect(names.filter((name) => /part$|upload|reserve/.test(name))).toEqual([]);
    }
  });

  test("stops a run of the offline provider, whose answers come at once", async () => {
    await using ws = await workspace();
    const data_config = { sample_size: 8_000 };
    await ws.write("config.json", configFor({ agent_perspectives: [PLAIN], data_config, concurrency: 2 }));
    await ws.write("rows.json", rows(8_000));
    const args = ["run", "config.json", "--provider", "offline", "--no-export"];
    await using running = startDatagen(args, { cwd: ws.path });
    await running.waitFor(/Estimate:/);
    const attempts = () =>
      queryRows<{ n: number }>(ws.at("data/datagen.db"), "select count(*) as n from attempts")[0]?.n;
    await expect.poll(attempts, { timeout: 30_000, interval: 20 }).toBeGreaterThan(0);
    running.kill("SIGINT");
    const { code, stderr } = await running.done;
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/was stopped; every answer that came back is stored/);
  });

  test("while requests are in flight says how long they get, and ends with 130", async () => {
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await using space = await workspace();
    await space.write("config.json", configFor({ agent_perspectives: [PLAIN] }));
    await space.write("rows.json", rows(2));
    const env = environmentFor(server);
    await using running = startDatagen(["run", "config.json"], { cwd: space.path, env });
    await expect.poll(() => server.requests.length, { timeout: 20_000 }).toBe(2);
    running.kill("SIGINT");
    await running.waitFor(/Stopping: requests in flight get up to 10 seconds\. Press Ctrl-C again to end at once\./);
    running.kill("SIGINT");
    expect((await running.done).code).toBe(130);
    expect((await readdir(join(space.path, "data"))).filter((name) => name.includes("reserve"))).toEqual([]);
  });
});
