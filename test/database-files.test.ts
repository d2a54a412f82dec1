import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { createRun } from "../src/app/run/create-run.ts";
import { executeRun } from "../src/app/run/execute-run.ts";
import { parseConfig } from "../src/config/parse.ts";
import { backUp } from "../src/store/file/backup.ts";
import { isNetwork } from "../src/store/file/network.ts";
import { openStore } from "../src/store/file/open.ts";
import { temporaryPath } from "../src/store/file/temporary.ts";
import {
  type ConfigOverrides,
  configFor,
  environmentFor,
  openDatabase,
  type Result,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn, type InTurnOptions } from "./support/in-turn.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const BIN = join(import.meta.dirname, "../dist/main.js");
const DB = "data/datagen.db";
const OFFLINE = ["run", "config.json", "--provider", "offline", "--no-export", "--fresh"];

async function prepared(inputs = 1, overrides: ConfigOverrides = {}): Promise<Workspace> {
  const space = await workspace();
  await space.write("rows.json", rows(inputs));
  await space.write("config.json", configFor(overrides));
  return space;
}

async function succeed(space: Workspace, args: string[], options: Partial<InTurnOptions> = {}): Promise<string> {
  const { code, stdout, stderr } = await datagenInTurn(args, { cwd: space.path, ...options });
  expect(code, stderr).toBe(0);
  return stdout;
}

describe.concurrent("a database that is a link", () => {
  test("is the file that it leads to, which may be missing, with all that stands beside it", async () => {
    await using space = await prepared();
    await mkdir(space.at("data"));
    await symlink("../big/other.db", space.at(DB));
    await succeed(space, OFFLINE);
    await succeed(space, ["resume", "latest", "--no-export"]);
    await succeed(space, ["run", "config.json", "--provider", "offline", "--batch", "--no-export", "--fresh"]);
    expect(await readdir(space.at("data"))).toEqual(["datagen.db"]);
    expect((await readdir(space.at("big"))).toSorted()).toEqual(["batches", "other.db", "other.db-lock"]);
    expect(JSON.parse(await succeed(space, ["runs", "list", "--json"]))).toHaveLength(2);
  });
});

const READING: [args: string[], code: number][] = [
  [["runs", "list", "--json"], 0],
  [["runs", "show", "latest"], 2],
  [["runs", "config", "latest"], 2],
  [["runs", "reprice", "latest"], 2],
  [["export", "latest", "--output", "-"], 2],
  [["diff", "latest", "latest"], 2],
  [["db", "check"], 2],
  [["prices", "list", "gpt-4o-mini"], 0],
  [["estimate", "config.json"], 0],
];

describe.concurrent("a command that only reads", () => {
  /** Where no database is. */
  const CHANGING: [args: string[], code: number][] = [
    [["resume", "latest"], 2],
    [["runs", "cancel", "latest"], 2],
    [["runs", "delete", "latest", "--yes"], 2],
    [["runs", "reprice", "latest", "--apply"], 2],
    [["prices", "unset", "gpt-4o-mini"], 2],
    [["db", "compact"], 2],
  ];

  test.for([...READING, ...CHANGING])("makes nothing where there is no database: %s", async ([args, code]) => {
    await using space = await prepared();
    const result = await datagenInTurn([...args, "--db", "nodir/x.db"], { cwd: space.path });
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).toMatch(/there is no database .*nodir\/x\.db/i);
    if (args[0] === "runs" && args[1] === "list") expect(result.stdout).toBe("[]\n");
    expect((await readdir(space.path)).toSorted()).toEqual(["config.json", "rows.json"]);
  });

  test("changes nothing, in its folder or in one that it cannot write, beside a living process or not", async () => {
    await using space = await prepared(2);
    await succeed(space, OFFLINE);
    const files = () => readdir(space.at("data"));
    const before = await readFile(space.at(DB));
    const names = await files();
    const commands = READING.map(([args]) => (args[0] === "diff" ? ["diff", "latest", "latest", "--show", "1"] : args));
    const expected = await Promise.all(commands.map((args) => succeed(space, args)));
    expect(await readFile(space.at(DB))).toEqual(before);
    expect(await files()).toEqual(names);

    await chmod(space.at(DB), 0o444);
    await chmod(space.at("data"), 0o555);
    try {
      for (const [at, args] of commands.entries()) expect(await unprivileged(space, args)).toBe(expected[at]);
      expect(await files()).toEqual(names);
      expect(await readFile(space.at(DB))).toEqual(before);
      const refused = await runUnprivileged(space, ["runs", "delete", "latest", "--yes"]);
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toMatch(/cannot be written/);
    } finally {
      await chmod(space.at("data"), 0o755);
      await chmod(space.at(DB), 0o644);
    }

    // What another user's process has committed is in the WAL.
    const writer = new Database(space.at(DB));
    writer.exec("update runs set name = 'in the wal'");
    chmodSync(space.at("data"), 0o555);
    for (const name of await files()) chmodSync(space.at(`data/${name}`), 0o444);
    try {
      expect(await unprivileged(space, ["runs", "list", "--json"])).toContain("in the wal");
      // As on a medium that was copied while it was open.
      chmodSync(space.at("data"), 0o755);
      await copyFile(space.at(DB), space.at("copy.db"));
      await copyFile(space.at(`${DB}-wal`), space.at("copy.db-wal"));
    } finally {
      chmodSync(space.at("data"), 0o755);
      for (const name of await files()) chmodSync(space.at(`data/${name}`), 0o644);
      writer.close();
    }
    await chmod(space.path, 0o555);
    try {
      expect(await unprivileged(space, ["runs", "list", "--json", "--db", "copy.db"])).toContain("in the wal");
    } finally {
      await chmod(space.path, 0o755);
    }
    expect(await readdir(space.path)).not.toContain("copy.db-shm");
  }, 60_000);

  test("says that an older database cannot be upgraded if it cannot be written, and upgrades it if it can", async () => {
    await using space = await prepared();
    await mkdir(space.at("data"));
    await makeOlder(space);
    await chmod(space.at("data"), 0o555);
    try {
      const result = await runUnprivileged(space, ["runs", "list"]);
      expect(result).toMatchObject({ code: 2, stdout: "" });
      expect(result.stderr).toMatch(/older datagen, and cannot be upgraded because it cannot be written/);
    } finally {
      await chmod(space.at("data"), 0o755);
    }
    await succeed(space, ["runs", "list"]);
    expect(await readdir(space.at("data"))).toContain("datagen.db.v1.backup");
    expect(statSync(space.at(`${DB}.v1.backup`)).mode & 0o777).toBe(0o600);
  });
});

/** A database of the first version. */
async function makeOlder(space: Workspace): Promise<void> {
  const migrations = join(import.meta.dirname, "../migrations");
  const journal = JSON.parse(await readFile(join(migrations, "meta/_journal.json"), "utf8")) as {
    entries: { tag: string; when: number }[];
  };
  const [first] = journal.entries;
  const older = new Database(space.at(DB));
  older.pragma("journal_mode = WAL");
  older.pragma("application_id = 1685350254");
  older.exec(await readFile(join(migrations, `${first!.tag}.sql`), "utf8"));
  older.exec("create table __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)");
  older.prepare("insert into __drizzle_migrations (hash, created_at) values ('', ?)").run(first!.when);
  older.pragma("user_version = 1");
  older.close();
}

/** Runs the bin bound by the rights of files, as root is not. */
function runUnprivileged(space: Workspace, args: string[]): Promise<Result> {
  if (process.getuid?.() !== 0) return datagenInTurn(args, { cwd: space.path });
  const rights = ["--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"];
  const env = { PATH: process.env["PATH"], HOME: space.path, TZ: "UTC", LC_ALL: "C.UTF-8", NO_COLOR: "1" };
  const child = spawn("setpriv", [...rights, process.execPath, BIN, ...args], { cwd: space.path, env });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => (output[stream] += text));
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...output }));
  });
}

async function unprivileged(space: Workspace, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runUnprivileged(space, args);
  expect(code, `${args.join(" ")}: ${stderr}`).toBe(0);
  return stdout;
}

describe.concurrent("a database that is taken away while a run goes on", () => {
  const removeAll = (space: Workspace) => {
    for (const ending of ["", "-wal", "-shm"]) rmSync(space.at(DB + ending));
  };
  /** As a backup that is put back. */
  const replace = (space: Workspace) => renameSync(space.at("backup.db"), space.at(DB));
  const WAYS: [how: string, take: (space: Workspace) => void, isPathFree: boolean][] = [
    ["removed", (space) => rmSync(space.at(DB)), true],
    ["removed with all its files", removeAll, true],
    ["removed with its folder", (space) => rmSync(space.at("data"), { recursive: true }), true],
    ["moved", (space) => renameSync(space.at(DB), space.at("moved.db")), true],
    ["replaced", replace, false],
  ];

  test.for(WAYS)("is noticed at the end of a short run, with all that came in a new file: %s", async (way) => {
    const [, take, isPathFree] = way;
    await using space = await prepared(3);
    await using server = await startServer({ latency: 5 });
    const environment = environmentFor(server);
    using store = openStore(space.at(DB));
    store.sqlite.prepare("vacuum into ?").run(space.at("backup.db"));
    const config = configFor({ data_config: { input_data_path: space.at("rows.json") }, concurrency: 2 });
    const id = await createRun(store, parseConfig(config), { environment });
    let isTaken = false;
    const run = executeRun(store, id, {
      environment,
      onEvent(event) {
        if (event.type !== "stored" || event.delta.callsSucceeded === 0 || isTaken) return;
        isTaken = true;
        take(space);
      },
    });
    const error: unknown = await run.catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(
        /was moved, removed or replaced during the run; its content is saved in/,
      ) as string,
    });
    const { rescued } = error as { rescued: string };
    expect(rescued).toMatch(/\/data\/datagen\.rescued-\d{8}-\d{6}\.db$/);
    expect(statSync(rescued).mode & 0o777).toBe(0o600);
    const database = openDatabase(rescued);
    expect(database.prepare("select count(*) from answers").pluck().get()).toBe(18);
    expect(database.prepare("select calls_succeeded from runs").pluck().get()).toBe(18);
    expect(database.prepare("select count(*) from leases").pluck().get()).toBe(0);
    database.close();
    expect(existsSync(space.at(DB))).toBe(!isPathFree);
    store.close();
    if (!isPathFree) {
      // Nothing of the run has come into it.
      const theirs = new Database(space.at(DB));
      expect(theirs.pragma("integrity_check", { simple: true })).toBe("ok");
      expect(theirs.prepare("select count(*) from runs").pluck().get()).toBe(0);
      theirs.close();
    }
    expect((await readdir(space.at("data"))).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  test("is noticed within a heartbeat, and the run stops with exit code 3 and goes on from the new file", async () => {
    await using space = await prepared(40, { data_config: { sample_size: 40 }, concurrency: 4 });
    await using server = await startServer({ latency: 250 });
    const options = { cwd: space.path, env: environmentFor(server) };
    await using run = startDatagen(["run", "config.json"], options);
    while (server.requests.length < 4) await sleep(10);
    await rm(space.at("data"), { recursive: true });
    const { code, stderr, stdout } = await run.done;
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(server.requests.length).toBeLessThan(200);
    const [, command = ""] = /Go on with: datagen (.+)/.exec(stderr) ?? [];
    expect(command).toMatch(/ --db .*rescued/);
    server.latency = 0;
    await succeed(space, command.split(" "), options);
    // None was asked for twice.
    expect(server.requests).toHaveLength(240);
  });
});

describe("a backup", () => {
  /** A database with some rows, and the size of a whole backup of it. */
  async function filled(space: Workspace): Promise<Database.Database & Disposable> {
    const sqlite = new Database(space.at("runs.db"));
    sqlite.exec(
      "create table t (a); with n(i) as (select 1 union all select i + 1 from n where i < 5000) insert into t select 'row ' || i from n",
    );
    await Promise.resolve();
    return Object.assign(sqlite, { [Symbol.dispose]: () => sqlite.close() });
  }

  const countIn = (path: string): unknown => {
    const database = openDatabase(path);
    const count: unknown = database.prepare("select count(*) from t").pluck().get();
    database.close();
    return count;
  };

  test.for([
    ["nothing", null],
    ["an empty file", 0],
    ["a part of one", 20_000],
    ["a part that is a page short", -4096],
  ] as const)("is made whole where %s is in its place", async ([, size]) => {
    await using space = await workspace();
    using sqlite = await filled(space);
    const backup = space.at("runs.db.v3.backup");
    if (size !== null) {
      sqlite.prepare("vacuum into ?").run(backup);
      await truncate(backup, size < 0 ? statSync(backup).size + size : size);
    }
    backUp(sqlite, space.at("runs.db"), 3);
    expect(countIn(backup)).toBe(5000);
    expect((await readdir(space.path)).toSorted()).toEqual(["runs.db", "runs.db.v3.backup"]);
  });

  test("is made whole where one was cut off with its journal", async () => {
    await using space = await workspace();
    using sqlite = await filled(space);
    await writeFile(space.at("runs.db.v3.backup"), "half");
    await writeFile(space.at("runs.db.v3.backup-journal"), "its journal");
    backUp(sqlite, space.at("runs.db"), 3);
    expect(countIn(space.at("runs.db.v3.backup"))).toBe(5000);
    expect((await readdir(space.path)).toSorted()).toEqual(["runs.db", "runs.db.v3.backup"]);
  });

  test("is made once of what does not change, and never takes the place of another whole one", async () => {
    await using space = await workspace();
    using sqlite = await filled(space);
    backUp(sqlite, space.at("runs.db"), 3);
    backUp(sqlite, space.at("runs.db"), 3);
    expect((await readdir(space.path)).toSorted()).toEqual(["runs.db", "runs.db.v3.backup"]);
    sqlite.exec("insert into t values ('later')");
    backUp(sqlite, space.at("runs.db"), 3);
    expect(countIn(space.at("runs.db.v3.backup"))).toBe(5000);
    expect(countIn(space.at("runs.db.v3.2.backup"))).toBe(5001);
  });
});

/** Runs the bin where no file can be longer than so many bytes, as where a disk fails in writing. */
async function limited(space: Workspace, kilobytes: number, args: string[]): Promise<Result> {
  // The signal would end the process; without, a write that is too long is an error.
  const script = `trap '' XFSZ; ulimit -f ${kilobytes}; exec "$0" "$@"`;
  const child = spawn("bash", ["-c", script, process.execPath, BIN, ...args], { cwd: space.path });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => (output[stream] += text));
  }
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, signal: null, ...output };
}

describe.concurrent("damage that a run meets", () => {
  test.for([0.3, 0.5, 0.7, 0.9])(
    "is reported as damaged, not as a bug of datagen: at %d of the file",
    async (place) => {
      await using space = await prepared(20, { data_config: { sample_size: 20 } });
      await using server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
      const options = { cwd: space.path, env: environmentFor(server) };
      expect((await datagenInTurn(["run", "config.json"], options)).code).toBe(3);
      const bytes = await readFile(space.at(DB));
      bytes.fill(0xa5, Math.floor(bytes.length * place), Math.floor(bytes.length * (place + 0.1)));
      await writeFile(space.at(DB), bytes);
      server.behave = undefined;
      const { code, stderr } = await datagenInTurn(["resume", "latest"], options);
      expect([0, 2, 3], stderr).toContain(code);
      if (code !== 0) expect(stderr).toMatch(/Error: the database .*is damaged|Error: the database is damaged|no run/);
    },
  );
});

describe.concurrent("a disk", () => {
  test("that cannot be written is reported as such, not as full, with exit code 3", async () => {
    await using space = await prepared();
    for (const kilobytes of [0, 32, 200]) {
      const result = await limited(space, kilobytes, OFFLINE);
      expect(result.code, result.stderr).toBe(3);
      expect(result.stderr).toMatch(/^(.*\n)*Error: the disk of .*datagen\.db cannot be read or written \(\w+\)\n/);
      expect(result.stderr).not.toMatch(/full/);
    }
    await succeed(space, OFFLINE);
  });

  test("that fails while an older database is backed up leaves it as it was, without a part of a backup", async () => {
    await using space = await prepared();
    await mkdir(space.at("data"));
    await makeOlder(space);
    const size = statSync(space.at(DB)).size;
    const result = await limited(space, Math.floor(size / 1024 / 2), ["runs", "list"]);
    expect(result.code, result.stderr).toBe(3);
    const database = openDatabase(space.at(DB));
    expect(database.pragma("user_version", { simple: true })).toBe(1);
    database.close();
    expect((await readdir(space.at("data"))).filter((name) => /backup|part|journal/.test(name))).toEqual([]);
  });

  const canMount = process.platform === "linux" && process.getuid?.() === 0;
  test.runIf(canMount)(
    "that is full while a database is made stops with exit code 3 and says how much is missing",
    async ({ skip }) => {
      await using space = await prepared();
      await mkdir(space.at("small"));
      for (const kilobytes of [4, 64, 128, 256]) {
        if (spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kilobytes}k`, "tmpfs", space.at("small")]).status !== 0)
          skip();
        try {
          const result = await datagenInTurn([...OFFLINE, "--db", "small/x.db"], { cwd: space.path });
          expect(result.code, result.stderr).toBe(3);
          expect(result.stderr).toMatch(/Error: the disk of .*small\/x\.db is full\n.*at least \d+ MB/);
        } finally {
          spawnSync("umount", [space.at("small")]);
        }
      }
    },
  );
});

describe("file systems", () => {
  test.for([
    [0x6969, null, true],
    [0xff534d42 | 0, null, true],
    [0x786f4256, null, true],
    [0xef53, null, false],
    [0x01021994, null, false],
    [0x65735546, null, false],
    [0x65735546, "fuse.sshfs", true],
    [0x65735546, "fuse.rclone", true],
    [0x65735546, "virtiofs", true],
    [0x65735546, "fuseblk", false],
    [0x65735546, "fuse.gocryptfs", false],
    [0x65735546, "fuse.ntfs-3g", false],
  ] as const)("of number %i and name %s are shared by machines: %s", ([type, name, isShared]) => {
    expect(isNetwork({ type, name })).toBe(isShared);
  });
});

describe.concurrent("the file of a batch, while it is sent", () => {
  test("needs no temporary folder of the system", async () => {
    await using space = await prepared();
    await succeed(space, [...OFFLINE, "--batch"], { env: { TMPDIR: space.at("nowhere") } });
  });

  test("is the user's alone, and is removed at the next start where the process was killed", async () => {
    await using space = await prepared();
    await using server = await startServer();
    const kept = await uploadKilled(space, server);
    expect(kept).toEqual([0o700]);
    expect(await parts(space)).toHaveLength(1);
    server.behaveApi = undefined;
    const living = temporaryPath(space.at("data"));
    await mkdir(living);
    await succeed(space, ["resume", "latest"], { env: environmentFor(server) });
    expect(await parts(space)).toEqual([basename(living)]);
  });

  const parts = async (space: Workspace) =>
    (await readdir(space.at("data"))).filter((name) => name.startsWith(".datagen-"));

  /** Kills a run in its upload. @returns the modes of its temporary folders then */
  async function uploadKilled(space: Workspace, server: LoopbackServer): Promise<number[]> {
    const run = startDatagen(["run", "config.json", "--batch"], { cwd: space.path, env: environmentFor(server) });
    server.behaveApi = ({ operation }) => {
      if (operation !== "upload") return undefined;
      run.kill();
      return { kind: "hang" };
    };
    await run.done;
    return (await parts(space)).map((name) => statSync(space.at(`data/${name}`)).mode & 0o777);
  }
});
