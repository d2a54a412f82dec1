import { copyFile, mkdir, readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { configFor, environmentFor, rows, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

interface Dataset {
  tasks: object[];
  metadata: Record<string, unknown> & { run_id: string; calls: { total: number } };
}

interface Merge {
  runs: { id: string; result: string }[];
  shards: { run: string; missing: number[]; pending: number }[];
}

const CONFIG = configFor({ add_references: true, prices: { input: 1, output: 2 } });

/** A machine of its own: a folder with the config, the inputs and a database. */
async function machine(server: LoopbackServer, inputs = rows(20)) {
  const space = await workspace();
  await space.write("rows.json", inputs);
  await space.write("config.json", CONFIG);
  const options = { cwd: space.path, env: environmentFor(server) };
  return {
    space,
    run: (...args: string[]) => datagenInTurn(args, options),
    async merge(...others: { space: Workspace }[]): Promise<Merge[]> {
      const merges: Merge[] = [];
      for (const other of others) {
        const result = await datagenInTurn(["db", "merge", other.space.at("data/datagen.db"), "--json"], options);
        expect(result.code, result.stderr).toBe(0);
        merges.push(JSON.parse(result.stdout) as Merge);
      }
      expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);
      return merges;
    },
    async dataset(run = "latest"): Promise<string> {
      const result = await datagenInTurn(["export", run, "--output", "-"], options);
      expect(result.code, result.stderr).toBe(0);
      return result.stdout;
    },
    list: async () => JSON.parse((await datagenInTurn(["runs", "list", "--json"], options)).stdout) as { id: string }[],
    [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
  };
}

/** A dataset without what differs from run to run: its id and its time. */
function comparable(dataset: string): string {
  const { run_id, generation_time } = (JSON.parse(dataset) as Dataset).metadata;
  return dataset.replaceAll(run_id, "ID").replaceAll(String(generation_time), "TIME");
}

describe("datagen db merge", () => {
  test("makes one run of the shards of three machines, with the bytes of a run that was made in one", async () => {
    await using server = await startServer();
    // Inputs repeat, and 3 does not divide their number.
    const inputs = [...rows(17), ...rows(3)];
    await using whole = await machine(server, inputs);
    await using first = await machine(server, inputs);
    await using second = await machine(server, inputs);
    await using third = await machine(server, inputs);
    expect((await whole.run("run", "config.json")).code).toBe(0);
    for (const [at, part] of [first, second, third].entries()) {
      const result = await part.run("run", "config.json", "--shard", `${at + 1}/3`);
      expect(result.code, result.stderr).toBe(0);
      expect(result.stdout).toMatch(new RegExp(`_shard_${at + 1}_of_3\\.json\\n$`));
    }
    const [one] = await first.merge(third);
    expect(one).toMatchObject({ runs: [{ result: "taken in" }], shards: [{ missing: [2] }] });
    const [two] = await first.merge(second);
    expect(two).toMatchObject({ runs: [{ result: "taken in" }], shards: [{ missing: [] }] });
    expect(await first.list()).toHaveLength(1);
    expect(comparable(await first.dataset())).toBe(comparable(await whole.dataset()));
    const exported = await first.run("export", "latest");
    expect(exported.stdout).toMatch(/^data\/agents\/translation_gpt_4o_mini_\d{8}_\d{6}\.json\n$/);
  });

  test("twice changes nothing, and says so", async () => {
    await using server = await startServer();
    await using mine = await machine(server);
    await using other = await machine(server);
    await mine.run("run", "config.json", "--shard", "1/2", "--no-export");
    await other.run("run", "config.json", "--shard", "2/2", "--no-export");
    await other.run("run", "config.json", "--sample-size", "3", "--no-export");
    await mine.merge(other);
    const before = await mine.list();
    expect(before).toHaveLength(2);
    const bytes = await mine.dataset();
    const [again] = await mine.merge(other);
    expect(again?.runs.map(({ result }) => result)).toEqual(["here already", "here already"]);
    expect(await mine.list()).toEqual(before);
    expect(await mine.dataset()).toBe(bytes);
  });

  test("asks again where two parts took the same earlier answer for inputs that repeat", async () => {
    await using server = await startServer();
    const [a, b] = rows(2);
    const inputs = [a, a, b, b].flatMap((row) => (row ? [row] : []));
    await using mine = await machine(server, inputs);
    await using other = await machine(server, inputs);
    await mine.run("run", "config.json", "--sample-size", "1", "--no-export");
    // With one earlier answer for each of its calls, the first input takes the same ones on both machines.
    await mkdir(other.space.at("data"), { recursive: true });
    await copyFile(mine.space.at("data/datagen.db"), other.space.at("data/datagen.db"));
    await mine.run("run", "config.json", "--shard", "1/2", "--no-export");
    await other.run("run", "config.json", "--shard", "2/2", "--no-export");
    const [merged] = await mine.merge(other);
    expect(merged?.shards).toMatchObject([{ missing: [], pending: 6 }]);
    const resumed = await mine.run("resume", "latest", "--json");
    expect(JSON.parse(resumed.stdout)).toMatchObject({ run: { status: "completed", calls: { total: 24 } } });
    expect((await mine.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });

  test("names a part that has more answers there than when it was merged", async () => {
    await using server = await startServer({
      behave: ({ index }) => (index === 75 ? { kind: "status", status: 401 } : undefined),
    });
    await using mine = await machine(server);
    await using other = await machine(server);
    await mine.run("run", "config.json", "--shard", "1/2", "--no-export", "--concurrency", "1");
    expect((await other.run("run", "config.json", "--shard", "2/2", "--concurrency", "1")).code).toBe(3);
    const [merged] = await mine.merge(other);
    expect(merged?.shards).toMatchObject([{ missing: [], pending: 45 }]);
    expect((await other.run("resume", "latest", "--no-export")).code).toBe(0);
    const [again] = await mine.merge(other);
    expect(again?.runs.map(({ result }) => result)).toEqual(["differs"]);
  });

  test("keeps answers that several runs have once, and reuses what it took in", async () => {
    await using server = await startServer();
    await using mine = await machine(server);
    await using other = await machine(server);
    await other.run("run", "config.json", "--no-export");
    await other.run("run", "config.json", "--no-export");
    await mine.merge(other);
    const sent = server.requests.length;
    const result = await mine.run("run", "config.json", "--json");
    expect(JSON.parse(result.stdout)).toMatchObject({ run: { calls: { total: 120, reused: 120 } } });
    expect(server.requests.length).toBe(sent);
  });

  test("copies a stopped run, which can be resumed here", async () => {
    await using server = await startServer({
      behave: ({ index }) => (index === 30 ? { kind: "status", status: 401 } : undefined),
    });
    await using mine = await machine(server);
    await using other = await machine(server);
    expect((await other.run("run", "config.json", "--concurrency", "1")).code).toBe(3);
    await mine.merge(other);
    const resumed = await mine.run("resume", "latest", "--json");
    expect(JSON.parse(resumed.stdout)).toMatchObject({ run: { status: "completed", calls: { total: 120 } } });
    expect(server.requests).toHaveLength(121);
    // It has fewer answers there now: what is here stays.
    const [again] = await mine.merge(other);
    expect(again?.runs[0]?.result).toBe("here already");
    // And the other way round it is told, not taken.
    const [back] = await other.merge(mine);
    expect(back?.runs[0]?.result).toBe("differs");
  });

  test("does not write to the other database", async () => {
    await using server = await startServer();
    await using mine = await machine(server);
    await using other = await machine(server);
    await other.run("run", "config.json", "--no-export");
    const before = await readFile(other.space.at("data/datagen.db"));
    await mine.merge(other);
    expect((await readFile(other.space.at("data/datagen.db"))).equals(before)).toBe(true);
  });

  test("keeps apart what is not one plan: other inputs, other parts of another count, the same part twice", async () => {
    await using server = await startServer();
    await using mine = await machine(server);
    await using changed = await machine(server, rows(21));
    await using twice = await machine(server);
    await using halves = await machine(server);
    await mine.run("run", "config.json", "--shard", "1/3", "--no-export");
    await changed.run("run", "config.json", "--shard", "2/3", "--no-export");
    await twice.run("run", "config.json", "--shard", "1/3", "--no-export");
    await halves.run("run", "config.json", "--shard", "2/2", "--no-export");
    const merges = await mine.merge(changed, twice, halves);
    expect(merges.at(-1)?.shards).toHaveLength(4);
  });

  test.for([
    { what: "no file", name: "none.db", says: /there is no database/ },
    { what: "itself", name: "data/datagen.db", says: /is the database that it would be merged into/ },
    { what: "no database", name: "config.json", says: /(cannot be read as a database|is not a database)/ },
    { what: "an older database", name: "old.db", says: /was written by another version of datagen/ },
  ])("refuses $what", async ({ name, says }) => {
    await using server = await startServer();
    await using mine = await machine(server);
    await mine.run("run", "config.json", "--provider", "offline", "--no-export");
    await copyFile(mine.space.at("data/datagen.db"), mine.space.at("old.db"));
    const { default: Database } = await import("better-sqlite3");
    const old = new Database(mine.space.at("old.db"));
    old.pragma("user_version = 1");
    old.close();
    const result = await mine.run("db", "merge", name);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(says);
    expect(await mine.list()).toHaveLength(1);
  });
});

describe("--shard", () => {
  test.for(["0/3", "4/3", "1", "1/0", "a/b", "1/3/5"])("refuses %s", async (value) => {
    await using server = await startServer();
    await using mine = await machine(server);
    const result = await mine.run("run", "config.json", "--shard", value);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(/--shard: expected i\/n/);
  });

  test("of which no input is left is refused", async () => {
    await using server = await startServer();
    await using mine = await machine(server);
    const result = await mine.run("run", "config.json", "--shard", "30/30");
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/none of the inputs of rows\.json is in shard 30 of 30/);
  });

  test("keeps each input's place in the file", async () => {
    await using server = await startServer();
    await using mine = await machine(server);
    await mine.run("run", "config.json", "--shard", "2/3", "--no-export");
    const lines = (await mine.run("export", "latest", "--format", "jsonl", "--output", "-")).stdout
      .trimEnd()
      .split("\n");
    const tasks = new Set(lines.map((line) => (JSON.parse(line) as { task: number }).task));
    expect([...tasks]).toEqual([1, 4, 7, 10, 13, 16, 19]);
    expect((await mine.list())[0]).toMatchObject({ shard: { indices: [2], count: 3 } });
    const exported = await mine.run("export", "latest", "--output", "-");
    expect(exported.stderr).toMatch(/the dataset has only a part of the inputs: 1 shard \(2\) of 3/);
    expect((JSON.parse(exported.stdout) as Dataset).metadata).toMatchObject({ shard: { indices: [2], count: 3 } });
  });
});

test("a run says how an input file differs from what it was for the last run", async () => {
  await using server = await startServer();
  await using mine = await machine(server);
  const first = await mine.run("run", "config.json", "--no-export");
  expect(first.stderr).not.toMatch(/has changed/);
  const again = await mine.run("run", "config.json", "--no-export");
  expect(again.stderr).not.toMatch(/has changed/);
  const [a, b, ...others] = rows(25);
  await mine.space.write("rows.json", [{ ...a, input: "Etwas anderes." }, b, ...others]);
  const changed = await mine.run("run", "config.json", "--no-export");
  expect(changed.stderr).toMatch(
    /rows\.json has changed since run \w{8}: of 25 inputs, 1 have changed, 5 were not in that run/,
  );
});
