import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import { cp } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { awaitHolders } from "../src/app/run/await-holders.ts";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { errorCode } from "../src/errors.ts";
import { openStore } from "../src/store/file/open.ts";
import { type LeaseRow, marksOfProcess, monotonicMs } from "../src/store/runs/holder.ts";
import {
  configFor,
  datagen,
  environmentFor,
  type Result,
  rows,
  type Running,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const DB = "data/datagen.db";
const BIN = resolve(import.meta.dirname, "../dist/main.js");
const HOUR_MS = 60 * 60 * 1_000;

const { pid: dead } = spawnSync(process.execPath, ["--version"]);
const living = process.pid;
/** Of the processes of this machine that see each other. */
const here = marksOfProcess();
/** In another container of this machine: no process here can be seen from there, nor the other way. */
const elsewhere = { ...here, pidNamespace: "pid:[1]", pid: dead };
/** Of another machine with the same name, or of this one before it was started again. */
const before = { ...here, boot: "11111111-2222-3333-4444-555555555555", pid: dead };
/** As older versions wrote it. */
const older = { host: hostname(), boot: null, pidNamespace: null, pidStarted: null };

const isLinux = process.platform === "linux";

let server: LoopbackServer;
/** With a run that was stopped before its first answer. */
let stopped: Workspace;

async function prepared(): Promise<Workspace> {
  const space = await workspace();
  await space.write("rows.json", rows(3));
  await space.write("config.json", configFor());
  return space;
}

beforeAll(async () => {
  server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
  stopped = await prepared();
  const { code } = await datagenInTurn(["run", "config.json"], { cwd: stopped.path, env: environmentFor(server) });
  expect(code).toBe(3);
  server.behave = undefined;
});

afterAll(() => Promise.all([stopped[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));

function open(space: Workspace) {
  const database = new Database(space.at(DB));
  return Object.assign(database, { [Symbol.dispose]: () => database.close() });
}

/** Gives the run a lease, by a machine whose wall clock is ahead of ours. */
function hold(space: Workspace, lease: Partial<LeaseRow>, { silentMs = 0, aheadMs = 0 } = {}): void {
  const at = Date.now() + aheadMs - silentMs;
  const row = {
    acquiredAt: at,
    heartbeatAt: at,
    heartbeatMonotonic: lease.boot === null ? null : monotonicMs() - silentMs,
    ...lease,
  };
  using database = open(space);
  database
    .prepare(
      `insert or replace into leases (run_id, token, host, pid, acquired_at, heartbeat_at, boot, pid_namespace,
         pid_started, heartbeat_monotonic)
       values ((select id from runs), 'somebody', @host, @pid, @acquiredAt, @heartbeatAt, @boot, @pidNamespace,
         @pidStarted, @heartbeatMonotonic)`,
    )
    .run(row);
}

/** A run that was stopped, with a lease of somebody else. */
async function held(...lease: [Partial<LeaseRow>, { silentMs?: number; aheadMs?: number }?]): Promise<Workspace> {
  const space = await workspace();
  await cp(stopped.path, space.path, { recursive: true });
  hold(space, ...lease);
  return space;
}

/** Stops a process for so long that its lease looks old; it must not hold a lock of the database meanwhile. */
async function silence(space: Workspace, running: Running): Promise<void> {
  using database = open(space);
  database.pragma("busy_timeout = 100");
  for (;;) {
    running.kill("SIGSTOP");
    try {
      database.prepare("update leases set heartbeat_at = 0, heartbeat_monotonic = heartbeat_monotonic - 60000").run();
      return;
    } catch (error) {
      if (errorCode(error) !== "SQLITE_BUSY") throw error;
      running.kill("SIGCONT");
      await sleep(5);
    }
  }
}

/** Lets the holder of a run give signs of life, by a clock of its own. */
function beating(space: Workspace): Disposable {
  const timer = setInterval(() => {
    using database = open(space);
    database
      .prepare(
        `update leases set heartbeat_at = heartbeat_at + 1,
           heartbeat_monotonic = iif(heartbeat_monotonic is null, null, ?) where token = 'somebody'`,
      )
      .run(monotonicMs());
  }, 1_000);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const inside = (space: Workspace) => ({ cwd: space.path, env: environmentFor(server) });
const resume = (space: Workspace, ...args: string[]) => datagen(["resume", "latest", ...args], inside(space));

async function statusOf(space: Workspace): Promise<string> {
  const { stdout } = await datagenInTurn(["runs", "list", "--json"], inside(space));
  return (JSON.parse(stdout) as RunSummary[])[0]!.status;
}

const holders = (space: Workspace) => {
  using database = open(space);
  return database.prepare("select token from leases").pluck().all();
};

const answers = (space: Workspace) => {
  using database = open(space);
  return database.prepare("select count(*) from answers").pluck().get();
};

function expectRefused(space: Workspace, { code, stdout, stderr }: Result): void {
  expect(stderr).toMatch(/^Error: run \w+ is executed by process \d+ on \S+ since \S+\n[^\n]+--take-over[^\n]+\n$/m);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(answers(space)).toBe(0);
}

async function expectDone(space: Workspace, { code, stderr }: Result): Promise<void> {
  expect(code, stderr).toBe(0);
  expect(await statusOf(space)).toBe("completed");
  expect(holders(space)).toEqual([]);
}

describe.concurrent("a run of a living process", () => {
  test.for([0, HOUR_MS, -HOUR_MS])("is not taken over where the wall clock jumps by %i ms", async (aheadMs) => {
    await using space = await held(here, { aheadMs });
    expect(await statusOf(space)).toBe("running");
    expectRefused(space, await resume(space));
    expectRefused(space, await datagen(["runs", "delete", "latest", "--yes"], inside(space)));
    expectRefused(space, await datagen(["db", "compact"], inside(space)));
    expect(holders(space)).toEqual(["somebody"]);
  });

  test.for([
    { where: "in another container", lease: elsewhere, aheadMs: 0 },
    { where: "on a machine with the same name whose clock is behind", lease: before, aheadMs: -HOUR_MS },
    { where: "on one whose clock is ahead", lease: before, aheadMs: HOUR_MS },
    { where: "on another machine", lease: { ...before, host: "a-host-of-somebody-else" }, aheadMs: 0 },
    {
      where: "of an older version on another machine",
      lease: { ...older, host: "an-older-host", pid: dead },
      aheadMs: 0,
    },
  ])("is not taken over $where", async ({ lease, aheadMs }) => {
    await using space = await held(lease, { aheadMs });
    using _ = beating(space);
    const refused = await resume(space);
    expect(refused.stderr).toMatch(/^Warning: run \w+ was executed by .* Waiting up to \d+ s to see/m);
    expectRefused(space, refused);
    expectRefused(space, await datagen(["runs", "delete", "latest", "--yes"], inside(space)));
    expect(holders(space)).toEqual(["somebody"]);
  });

  test("is not taken over from a container that cannot see it", async () => {
    await using space = await prepared();
    await using own = await startServer({ behave: () => ({ kind: "hang" }) });
    const env = environmentFor(own);
    await using run = startDatagen(["run", "config.json"], { cwd: space.path, env });
    await expect.poll(() => own.requests.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    const canUnshare = spawnSync("unshare", [...unshare, "true"]).status === 0;
    if (!canUnshare) {
      using database = open(space);
      database.prepare("update leases set pid = ?, pid_namespace = 'pid:[1]'").run(dead);
    }
    const inContainer = [...(canUnshare ? ["unshare", ...unshare] : []), process.execPath, BIN];
    await space.write(
      "container.mjs",
      `import { spawnSync } from "node:child_process";
       const [program, ...args] = ${JSON.stringify(inContainer)};
       const { status } = spawnSync(program, [...args, ...process.argv.slice(2)], { stdio: "inherit" });
       process.exit(status ?? 4);`,
    );
    const sent = own.requests.length;
    const bin = space.at("container.mjs");
    expectRefused(space, await datagen(["resume", "latest"], { cwd: space.path, env, bin }));
    expect(own.requests.length).toBe(sent);
    expect(run.child.exitCode).toBeNull();
  });

  test("is held while it stands still, and --take-over frees it after saying what is known of it", async () => {
    await using space = await prepared();
    await using own = await startServer({ behave: ({ index }) => (index < 5 ? { kind: "hang" } : undefined) });
    const options = { cwd: space.path, env: environmentFor(own) };
    await using run = startDatagen(["run", "config.json", "--concurrency", "5"], options);
    await expect.poll(() => own.requests.length, { timeout: 20_000 }).toBe(5);
    await silence(space, run);
    expect(await statusOf(space)).toBe("running");
    expectRefused(space, await datagen(["resume", "latest"], options));

    const taken = await datagen(["resume", "latest", "--take-over", "--no-export"], options);
    expect(taken.stderr).toMatch(
      new RegExp(
        `^Warning: taking run \\w+ over from process ${run.child.pid} on ${hostname()}, which executes it since \\S+Z\\. ` +
          `That process is on this machine; last sign of life \\d+ s ago, and it still runs\\.`,
        "m",
      ),
    );
    await expectDone(space, taken);
    const stored = answers(space);
    run.kill("SIGCONT");
    expect(await run.done).toMatchObject({ code: 3, stdout: "" });
    expect(run.stderr).toContain("another process has taken this run over");
    expect(answers(space)).toBe(stored);
  });
});

describe.concurrent("a run whose process is gone", () => {
  test.for([
    { whose: "a process that died", lease: { ...here, pid: dead } },
    { whose: "one with a clock an hour ahead", lease: { ...here, pid: dead }, aheadMs: HOUR_MS },
    { whose: "a silent one in another container", lease: elsewhere, silentMs: 31_000 },
    { whose: "a silent one with a clock an hour ahead", lease: elsewhere, silentMs: 31_000, aheadMs: HOUR_MS },
    { whose: "one before the machine was started again", lease: { ...elsewhere, heartbeatMonotonic: 1e15 } },
    { whose: "an older version that died", lease: { ...older, pid: dead } },
    { whose: "an older version that is silent", lease: { ...older, pid: living }, silentMs: 60_000 },
  ])("is free at once, after $whose", async ({ lease, silentMs = 0, aheadMs = 0 }) => {
    await using space = await held(lease, { silentMs, aheadMs });
    expect(await statusOf(space)).toBe("interrupted");
    const resumed = await resume(space);
    expect(resumed.stderr).not.toContain("Waiting up to");
    await expectDone(space, resumed);
  });

  test.runIf(isLinux)("is free at once where another process has its id", async () => {
    await using space = await held({ ...here, pid: living, pidStarted: "1" });
    expect(await statusOf(space)).toBe("interrupted");
    await expectDone(space, await resume(space));
  });

  test.runIf(isLinux)("is free at once where only its parent has not noticed", async () => {
    const parent = spawn("sh", ["-c", "sleep 0.2 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(String(line));
    const stat = () => readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
    await expect.poll(() => stat()[2]).toBe("Z");
    await using space = await held({ ...here, pid, pidStarted: stat()[21]! });
    await expectDone(space, await resume(space));
    parent.kill();
  });

  test.for([
    { whose: "before the machine was started again", lease: before, aheadMs: 0 },
    { whose: "on a machine whose clock is ahead", lease: before, aheadMs: HOUR_MS },
    { whose: "on a machine whose clock is behind", lease: before, aheadMs: -HOUR_MS },
    { whose: "of an older version whose clock is ahead", lease: { ...older, pid: living }, aheadMs: HOUR_MS },
  ])("is free within 30 seconds, after one $whose", async ({ lease, aheadMs }) => {
    await using space = await held(lease, { aheadMs });
    expect(await statusOf(space)).toBe(aheadMs === 0 ? "running" : "interrupted");
    const resumed = await resume(space);
    expect(resumed.stderr).toMatch(
      new RegExp(
        `^Warning: run \\w+ was executed by process ${lease.pid} on ${hostname()}, .*Waiting up to 30 s to see`,
        "m",
      ),
    );
    await expectDone(space, resumed);
  });

  test("is watched no longer than is left of the 30 seconds, by all commands that change it", async () => {
    const silent: Parameters<typeof held> = [elsewhere, { silentMs: 15_000, aheadMs: HOUR_MS }];
    await using cancelled = await held(...silent);
    await using priced = await held(...silent);
    await using compacted = await held(...silent);
    await using deleted = await held(...silent);
    const commands = [
      [cancelled, "runs", "cancel", "latest"],
      [priced, "runs", "reprice", "latest", "--apply"],
      [compacted, "db", "compact"],
      [deleted, "runs", "delete", "latest", "--yes"],
    ] as const;
    await Promise.all(
      commands.map(async ([space, ...args]) => {
        const { code, stderr } = await datagen(args, inside(space));
        expect(code, stderr).toBe(0);
        expect(stderr).toMatch(/Waiting up to 1?\d s/);
        expect(holders(space)).toEqual([]);
      }),
    );
  });

  test("stays where Ctrl-C ends the waiting, and nothing is sent", async () => {
    await using space = await held(before);
    const { code, stderr } = await datagen(["resume", "latest"], {
      ...inside(space),
      signalAfter: { stderr: /Waiting up to/ },
    });
    expect({ code, answers: answers(space), holders: holders(space) }).toEqual({
      code: 130,
      answers: 0,
      holders: ["somebody"],
    });
    expect(stderr).toContain("it was not known yet whether another process executes the run");
  });

  test("is watched anew where another program has kept the database locked", async () => {
    await using space = await held(elsewhere, { silentMs: 31_000 });
    using store = openStore(space.at(DB));
    // What the holder would have written waits for the other program too.
    await space.write(
      "lock.mjs",
      `import Database from ${JSON.stringify(import.meta.resolve("better-sqlite3"))};
       const database = new Database(${JSON.stringify(space.at(DB))});
       database.exec("begin immediate");
       console.log("locked");
       setTimeout(() => database.exec("commit"), 3_000);
       const beat = database.prepare("update leases set heartbeat_at = heartbeat_at + 1, heartbeat_monotonic = ?");
       setTimeout(() => beat.run(process.hrtime.bigint() / 1_000_000n), 4_000);`,
    );
    const other = spawn(process.execPath, [space.at("lock.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
    await once(other.stdout, "data");
    await awaitHolders(store, { onEvent: () => {} });
    expect(holders(space)).toEqual(["somebody"]);
  });
});

test("a run that was taken over is closed to its old holder", async () => {
  await using space = await workspace();
  await cp(stopped.path, space.path, { recursive: true });
  await using own = await startServer({
    behave: ({ index }): undefined => {
      if (index > 0) return;
      using database = open(space);
      database.prepare("update leases set token = 'somebody', pid = ?").run(living);
    },
  });
  {
    using database = open(space);
    database.prepare("update runs set base_url = ?").run(own.openaiUrl);
  }
  const { code, stderr } = await datagen(["resume", "latest"], { cwd: space.path, env: environmentFor(own) });
  expect(code).toBe(3);
  expect(stderr).toContain("another process has taken this run over");
  expect(answers(space)).toBe(0);
  expect(holders(space)).toEqual(["somebody"]);
});

test.runIf(isLinux)("a lease has what tells its process from all others", async () => {
  await using space = await prepared();
  await using own = await startServer({ behave: () => ({ kind: "hang" }) });
  await using run = startDatagen(["run", "config.json"], { cwd: space.path, env: environmentFor(own) });
  await expect.poll(() => own.requests.length, { timeout: 20_000 }).toBeGreaterThan(0);
  using database = open(space);
  const stat = readFileSync(`/proc/${run.child.pid}/stat`, "utf8");
  expect(database.prepare("select pid, boot, pid_namespace, pid_started from leases").all()).toEqual([
    {
      pid: run.child.pid,
      boot: `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/time")}`,
      pid_namespace: readlinkSync("/proc/self/ns/pid"),
      pid_started: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19],
    },
  ]);
});
