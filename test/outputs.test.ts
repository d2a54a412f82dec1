import { spawn, spawnSync } from "node:child_process";
import { createReadStream, statSync } from "node:fs";
import { chmod, link, mkdir, readdir, readFile, readlink, rename, symlink, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { createRun } from "../src/app/run/create-run.ts";
import { executeRun } from "../src/app/run/execute-run.ts";
import { exportRun } from "../src/app/dataset/export-run.ts";
import { placeOf, writeDataset } from "../src/app/dataset/output.ts";
import { parseConfig } from "../src/config/parse.ts";
import { FORMATS } from "../src/export/formats.ts";
import { openStore } from "../src/store/file/open.ts";
import type { Store } from "../src/store/file/store.ts";
import { temporaryPath } from "../src/store/file/temporary.ts";
import { configFor, environmentFor, rows, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { startServer } from "./support/server.ts";

const DB = "data/datagen.db";

/** A finished run of one input in a database of a workspace. */
async function finished(space: Workspace, database = DB): Promise<{ store: Store; run: string } & Disposable> {
  await space.write("rows.json", rows(1));
  await space.write("config.json", configFor({ api_provider: "offline" }));
  const { data_config, ...config } = configFor({ api_provider: "offline" });
  const store = openStore(space.at(database));
  const input = { ...data_config, input_data_path: space.at("rows.json") };
  const run = await createRun(store, parseConfig({ ...config, data_config: input }));
  await executeRun(store, run);
  return { store, run, [Symbol.dispose]: () => store.close() };
}

interface Dataset {
  metadata: { run_id: string };
}

describe("what a dataset never replaces", () => {
  test("is the database and its files, the inputs and what is no dataset, by whatever name", async () => {
    await using space = await workspace();
    using done = await finished(space);
    await space.write("notes.txt", "mine");
    await space.write("other.json", [{ input: "mine" }]);
    await space.write("tasks.json", { version: "2.0.0", tasks: [] });
    await space.write("fake.json", { text: '"agent_perspectives": ["tasks": [' });
    await symlink(DB, space.at("link.db"));
    await symlink("link.db", space.at("link-of-link.json"));
    await symlink("data", space.at("folder"));
    await symlink("rows.json", space.at("inputs.json"));
    await symlink(`${DB}-journal`, space.at("dangling.json"));
    await link(space.at(DB), space.at("hard.json"));
    await link(space.at("rows.json"), space.at("hard-rows.json"));
    const before = new Map<string, Buffer>();
    const files = ["rows.json", "config.json", "notes.txt", "other.json", "tasks.json", "fake.json"];
    for (const name of files) before.set(name, await readFile(space.at(name)));
    const cases: [output: string, says: RegExp][] = [
      [DB, /is the database/],
      ["data/../data/./datagen.db", /is the database/],
      ["folder/datagen.db", /is the database/],
      ["link.db", /is the database/],
      ["link-of-link.json", /is the database/],
      ["hard.json", /is the database/],
      [`${DB}-wal`, /is a file of the database/],
      [`${DB}-shm`, /is a file of the database/],
      [`${DB}-lock`, /is a file of the database/],
      [`${DB}-journal`, /is a file of the database/],
      [`folder/datagen.db-reserve-17`, /is a file of the database/],
      [`${DB}.v4.backup`, /is a file of the database/],
      ["dangling.json", /is a file of the database/],
      ["rows.json", /is an input of the run/],
      ["./inputs.json", /is an input of the run/],
      ["hard-rows.json", /is an input of the run/],
      ["config.json", /is not a dataset/],
      ["notes.txt", /is not a dataset/],
      ["other.json", /is not a dataset/],
      ["tasks.json", /is not a dataset/],
      ["fake.json", /is not a dataset/],
    ];
    for (const [output, says] of cases) {
      const result = exportRun(done.store, done.run, { output: join(space.path, output) });
      await expect(result, output).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(says) as string,
      });
    }
    for (const [name, bytes] of before) expect(await readFile(space.at(name))).toEqual(bytes);
    expect(done.store.sqlite.pragma("quick_check", { simple: true })).toBe("ok");
    expect(await readlink(space.at("link.db"))).toBe(DB);
  });

  test("is refused by run and resume before anything is sent or planned", async () => {
    await using space = await workspace();
    await using server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
    await space.write("rows.json", rows(1));
    const config = await space.write("config.json", configFor());
    const options = { cwd: space.path, env: environmentFor(server) };
    const before = await readFile(config);
    for (const [output, says] of [
      ["config.json", /which is the config of the run/],
      ["./rows.json", /which is an input of the run/],
      [DB, /which is the database/],
      ["rows.json/", /^Error: the folder rows\.json cannot be written \(ENOTDIR\)\n/],
    ] as const) {
      const result = await datagenInTurn(["run", "config.json", "--output", output], options);
      expect(result).toMatchObject({ code: 2, stdout: "" });
      expect(result.stderr).toMatch(says);
    }
    expect(server.requests).toEqual([]);
    expect((await datagenInTurn(["runs", "list", "--json"], options)).stdout).toBe("[]\n");

    expect((await datagenInTurn(["run", "config.json"], options)).code).toBe(3);
    const sent = server.requests.length;
    const resumed = await datagenInTurn(["resume", "latest", "--output", "rows.json"], options);
    expect(resumed).toMatchObject({ code: 2, stdout: "" });
    expect(server.requests).toHaveLength(sent);
    expect(await readFile(config)).toEqual(before);
  });

  test("is the dataset that a run was imported from", async () => {
    await using space = await workspace();
    using done = await finished(space);
    await exportRun(done.store, done.run, { output: space.at("old.json") });
    const options = { cwd: space.path };
    expect((await datagenInTurn(["import", "old.json", "--db", "new.db"], options)).code).toBe(0);
    const result = await datagenInTurn(["export", "latest", "--output", "./old.json", "--db", "new.db"], options);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/is an input of the run/);
  });
});

describe("a dataset", () => {
  test("replaces another dataset of any format, and an empty file", async () => {
    await using space = await workspace();
    using done = await finished(space);
    for (const format of FORMATS) {
      const output = space.at(`set.${format}`);
      await writeFile(output, "");
      await exportRun(done.store, done.run, { output });
      const bytes = await readFile(output);
      for (const over of FORMATS) {
        await exportRun(done.store, done.run, { output, format: over });
      }
      await exportRun(done.store, done.run, { output });
      expect(await readFile(output)).toEqual(bytes);
    }
  });

  test("is written to what a link leads to, and the link stays", async () => {
    await using space = await workspace();
    using done = await finished(space);
    await mkdir(space.at("elsewhere"));
    await symlink("elsewhere/real.json", space.at("link.json"));
    for (let time = 0; time < 2; time += 1) {
      expect(await exportRun(done.store, done.run, { output: space.at("link.json") })).toBe(space.at("link.json"));
      expect(await readlink(space.at("link.json"))).toBe("elsewhere/real.json");
      expect((await space.json<Dataset>("elsewhere/real.json")).metadata.run_id).toBe(done.run);
      expect(await readdir(space.at("elsewhere"))).toEqual(["real.json"]);
    }
  });

  test("has the mode of the file that it replaces, else what the umask says, and is nobody else's until it is whole", async () => {
    await using space = await workspace();
    using done = await finished(space);
    const modeOf = (name: string) => statSync(space.at(name)).mode & 0o777;
    const output = space.at("set.json");
    await exportRun(done.store, done.run, { output });
    await writeFile(space.at("any"), "");
    expect(modeOf("set.json")).toBe(modeOf("any"));
    for (const mode of [0o600, 0o640, 0o444]) {
      await chmod(output, mode);
      await exportRun(done.store, done.run, { output });
      expect(modeOf("set.json")).toBe(mode);
    }
    const modes: number[] = [];
    await mkdir(space.at("new"));
    async function* pieces() {
      yield "{";
      const [part] = await readdir(space.at("new"));
      modes.push(modeOf(`new/${part}`));
      yield "}";
    }
    await writeDataset(placeOf(space.at("new/set.json"), "", "json"), done.run, Readable.from(pieces()));
    expect(modes).toEqual([0o600]);
    expect(await readdir(space.at("new"))).toEqual(["set.json"]);
  });

  test("goes to a pipe without an error if the reader leaves early", async () => {
    await using space = await workspace();
    using done = await finished(space);
    spawnSync("mkfifo", [space.at("pipe")]);
    const reader = createReadStream(space.at("pipe"));
    reader.once("data", () => reader.destroy());
    const long = Readable.from(Array.from({ length: 2_000 }, () => "x".repeat(10_000)));
    expect(await writeDataset(placeOf(space.at("pipe"), "", "json"), done.run, long)).toBe(space.at("pipe"));
  });

  test("removes the parts that dead processes have left, and no others", async () => {
    await using space = await workspace();
    using done = await finished(space);
    const { pid: dead } = spawnSync(process.execPath, ["--version"]);
    await mkdir(space.at("out"));
    const living = basename(temporaryPath(space.at("out")));
    const left = living.replace(`-${process.pid}-`, `-${dead}-`);
    const foreign = living.replace(/^\.datagen-[0-9a-f]{8}/, ".datagen-00000000");
    const old = foreign.replace(/[0-9a-f]{8}\.part$/, "11111111.part");
    const user = ".datagen-notes.part";
    for (const name of [living, left, foreign, old, user]) await writeFile(space.at(`out/${name}`), "");
    await utimes(space.at(`out/${old}`), 1, 1);
    await exportRun(done.store, done.run, { output: space.at("out/set.json") });
    expect((await readdir(space.at("out"))).toSorted()).toEqual([foreign, living, user, "set.json"].toSorted());
  });
});

describe("a dataset with a name that datagen chose", () => {
  test("never replaces the dataset of another run, also where both are written at once, and replaces its own", async () => {
    await using space = await workspace();
    const runs = [await finished(space, "0.db"), await finished(space, "1.db"), await finished(space, "2.db")];
    for (const { store } of runs) store.sqlite.exec("update runs set dataset_name = 'same'");
    await mkdir(space.at("sets"));
    for (const format of FORMATS) {
      const all = () =>
        Promise.all(runs.map(({ store, run }) => exportRun(store, run, { output: space.at("sets"), format })));
      const paths = await all();
      expect(new Set(paths).size).toBe(3);
      expect(paths).toContain(space.at(`sets/same.${format}`));
      for (const [at, path] of paths.entries()) expect(await readFile(path, "utf8")).toContain(runs[at]!.run);
      expect(await all()).toEqual(paths);
    }
    expect(await readdir(space.at("sets"))).toHaveLength(3 * FORMATS.length);
    for (const { store } of runs) store.close();
  });

  test("does not replace a file of a user, with the run's id in its name or without", async () => {
    await using space = await workspace();
    using done = await finished(space);
    done.store.sqlite.exec("update runs set dataset_name = 'same'");
    await space.write("sets/same.json", "mine");
    await space.write(`sets/same_${done.run}.json`, "mine, too");
    const path = await exportRun(done.store, done.run, { output: space.at("sets") });
    expect(path).toBe(space.at(`sets/same_${done.run}_2.json`));
    expect(await space.read("sets/same.json")).toBe("mine");
    expect(await space.read(`sets/same_${done.run}.json`)).toBe("mine, too");
  });
});

describe("the paths of a command", () => {
  test("have the user's home for a ~ that no shell has read", async () => {
    await using space = await workspace();
    await space.write("rows.json", rows(1));
    await space.write("cwd/config.json", configFor({ data_config: { input_data_path: "~/rows.json" } }));
    const options = { cwd: space.at("cwd"), env: { HOME: space.path } };
    const run = ["run", "config.json", "--provider", "offline", "--output=~/set.json"];
    expect(await datagenInTurn([...run, "--db=~/one.db"], options)).toMatchObject({
      code: 0,
      stdout: `${space.at("set.json")}\n`,
    });
    const env = { ...options.env, DATAGEN_DB: "~/two.db" };
    expect(await datagenInTurn(run, { ...options, env })).toMatchObject({ code: 0 });
    expect(await readdir(space.at("cwd"))).toEqual(["config.json"]);
    expect(await readdir(space.path)).toEqual(expect.arrayContaining(["one.db", "set.json", "two.db"]));
  });

  test("are reported as missing if the current folder was removed", async () => {
    await using space = await workspace();
    await rename(await space.write("x/y", ""), space.at("y"));
    const bin = join(import.meta.dirname, "../dist/main.js");
    const script = 'cd x && rmdir ../x && exec "$0" "$@"';
    const child = spawn("sh", ["-c", script, process.execPath, bin, "runs", "list"], { cwd: space.path });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(said).toMatch(/^Error: the current folder no longer exists\n/);
    expect(code).toBe(2);
  });
});
