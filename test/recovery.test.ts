import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { cp } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { deflateRawSync } from "node:zlib";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRun } from "../src/app/run/create-run.ts";
import { executeRun } from "../src/app/run/execute-run.ts";
import { parseConfig } from "../src/config/parse.ts";
import { openStore } from "../src/store/file/open.ts";
import {
  type ConfigOverrides,
  configFor,
  environmentFor,
  openDatabase,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { answerTo, type Fault, type LoopbackServer, startServer, usageFor } from "./support/server.ts";

const DATABASE = "data/datagen.db";

interface Exported {
  tasks: { responses: (string | null)[]; preparations: (string | null)[] }[];
  metadata: {
    calls: { failed: number; truncated: number };
    asked_with_other_parameters?: { parameters: { max_tokens?: number }; answers: number }[];
  };
}

describe.concurrent("a provider that goes away", () => {
  test("is probed, and the run goes on without a failed call once it is back", async () => {
    await using server = await startServer({ latency: 30 });
    await using space = await workspace();
    await space.write("rows.json", rows(60));
    await space.write("config.json", configFor({ data_config: { sample_size: 60 }, concurrency: 8 }));
    await using run = startDatagen(["run", "config.json", "--json"], { cwd: space.path, env: environmentFor(server) });
    while (server.requests.length < 60) await new Promise((resolve) => setTimeout(resolve, 10));
    await server.goDown();
    await run.waitFor(/The provider answers nothing \(connection: .*Trying again until /);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const before = server.requests.length;
    await server.comeUp();
    await run.waitFor(/The provider answers again\./);
    const result = await run.done;
    expect(result.code, result.stderr).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ run: { status: "completed", calls: { total: 360, failed: 0 } } });
    expect(server.requests.length).toBeGreaterThan(before);
  });

  test("fails no call that never left, and is not asked in a rush", async () => {
    await using server = await startServer({ latency: 30 });
    await using space = await workspace();
    await space.write("rows.json", rows(60));
    await space.write("config.json", configFor({ data_config: { sample_size: 60 }, concurrency: 8, max_attempts: 1 }));
    await using run = startDatagen(["run", "config.json", "--json"], { cwd: space.path, env: environmentFor(server) });
    while (server.requests.length < 60) await sleep(10);
    await server.goDown();
    await run.waitFor(/Trying again until /);
    await sleep(1_500);
    await server.comeUp();
    const { run: done } = JSON.parse((await run.done).stdout) as { run: { id: string; calls: { failed: number } } };
    // Those that were in flight when the connections broke may have been answered and charged.
    expect(done.calls.failed).toBeLessThanOrEqual(8 * 2);
    const database = openDatabase(space.at(DATABASE));
    const refused = database.prepare("select count(*) from attempts where error_code = 'ECONNREFUSED'").pluck().get();
    const failed = database.prepare(
      `select count(*) from calls c join attempts a on a.call_id = c.id
       where c.state = 'failed' and a.error_code = 'ECONNREFUSED' and a.decision = 'fail'`,
    );
    expect(failed.pluck().get()).toBe(0);
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(40);
    database.close();
  });

  test("ends the run with exit code 3 once it has been silent for give_up_after_s, and the run can be resumed", async () => {
    await using server = await startServer({ behave: () => ({ kind: "status", status: 503 }) });
    await using space = await workspace();
    await space.write("rows.json", rows(20));
    await space.write("config.json", configFor({ data_config: { sample_size: 20 }, give_up_after_s: 3 }));
    const options = { cwd: space.path, env: environmentFor(server) };
    const stopped = await datagenInTurn(["run", "config.json"], options);
    expect(stopped).toMatchObject({ code: 3, stdout: "" });
    expect(stopped.stderr).toMatch(/has not answered for 3 seconds; the last failure was server_error/);
    const [, command = ""] = /Go on with: datagen (.+)/.exec(stopped.stderr) ?? [];
    server.behave = () => undefined;
    const resumed = await datagenInTurn(command.split(" "), options);
    expect(resumed.code, resumed.stderr).toBe(0);
  });

  test("is not what a single call is that always fails: that call fails, and the others are answered", async () => {
    const inputs = rows(12);
    await using server = await startServer({
      behave: ({ prompt }) => (prompt.includes(inputs[5]!.input) ? { kind: "status", status: 500 } : undefined),
    });
    await using space = await workspace();
    await space.write("rows.json", inputs);
    const config = { data_config: { sample_size: 12 }, concurrency: 1, max_attempts: 3 };
    await space.write("config.json", configFor({ ...config, agent_perspectives: [PLAIN] }));
    const env = { ...environmentFor(server), NODE_OPTIONS: QUICK };
    const result = await datagenInTurn(["run", "config.json", "--json"], { cwd: space.path, env });
    expect(result.code, result.stderr).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject({ run: { calls: { succeeded: 11, failed: 1 } } });
  });
});

const PLAIN = { condition: "Plain", reading: null, strategy: "Say it in English." };

/** Makes the delays before a retry as short as they can be. */
const QUICK = `--import=data:text/javascript,${encodeURIComponent("Math.random = () => 0;")}`;

/** With a run of three rows that is done, made once and copied. */
let done: Workspace;

beforeAll(async () => {
  done = await workspace();
  await done.write("rows.json", rows(3));
  await done.write("config.json", configFor({ data_config: { sample_size: 3 }, api_provider: "offline" }));
  expect((await datagenInTurn(["run", "config.json"], { cwd: done.path })).code).toBe(0);
  expect(await datagenInTurn(["db", "check"], { cwd: done.path })).toMatchObject({ code: 0, stderr: "" });
});

afterAll(() => done[Symbol.asyncDispose]());

async function copyOfDone(): Promise<Workspace> {
  const space = await workspace();
  await cp(done.path, space.path, { recursive: true });
  return space;
}

describe("resume --retry-truncated --max-tokens", () => {
  test("asks again only for what was cut off, and the dataset says what was asked with other parameters", async () => {
    let isCutting = true;
    await using server = await startServer({
      behave: ({ body, index }) =>
        isCutting && index % 3 === 0 && body["max_tokens"] === 200 ? { kind: "length" } : undefined,
    });
    await using space = await workspace();
    const inputs = rows(6);
    await space.write("rows.json", inputs);
    const config = configFor({ data_config: { sample_size: 6 }, concurrency: 1, agent_perspectives: [PLAIN] });
    await space.write("config.json", { ...config, model_config: { ...config.model_config, max_tokens: 200 } });
    const options = { cwd: space.path, env: environmentFor(server) };
    const first = await datagenInTurn(["run", "config.json"], options);
    const before = await space.json<Exported>(first.stdout.trim());
    expect(before.metadata.calls.truncated).toBe(2);
    expect(before.metadata).not.toHaveProperty("asked_with_other_parameters");

    isCutting = false;
    const sent = server.requests.length;
    const again = await datagenInTurn(["resume", "latest", "--retry-truncated", "--max-tokens", "900"], options);
    expect(again.code, again.stderr).toBe(0);
    expect(server.requests.slice(sent).map(({ parameters }) => parameters["max_tokens"])).toEqual([900, 900]);
    const after = await space.json<Exported>(again.stdout.trim());
    expect(after.metadata.calls.truncated).toBe(0);
    expect(after.metadata.asked_with_other_parameters).toEqual([
      { parameters: expect.objectContaining({ max_tokens: 900 }) as object, answers: 2 },
    ]);
    const changed = after.tasks.filter((task, index) => task.responses[0] !== before.tasks[index]?.responses[0]);
    expect(changed).toHaveLength(2);
    expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);
  });

  test("keeps the answer that is there where no better one comes", async () => {
    let isRefusing = false;
    await using server = await startServer({
      behave: () => (isRefusing ? { kind: "refusal" } : { kind: "length" }),
    });
    await using space = await workspace();
    await space.write("rows.json", rows(3));
    await space.write("config.json", configFor({ data_config: { sample_size: 3 } }));
    const options = { cwd: space.path, env: environmentFor(server) };
    const first = await datagenInTurn(["run", "config.json"], options);
    const before = await space.json<Exported>(first.stdout.trim());
    isRefusing = true;
    const again = await datagenInTurn(["resume", "latest", "--retry-truncated", "--max-tokens", "900"], options);
    expect(again.code, again.stderr).toBe(0);
    const after = await space.json<Exported>(again.stdout.trim());
    expect(after.tasks).toEqual(before.tasks);
    expect(after.metadata.calls.truncated).toBe(before.metadata.calls.truncated);
    expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);
  });

  test("has a strategy work on the better notes", async () => {
    let isCutting = true;
    await using server = await startServer({
      behave: ({ prompt }) => (isCutting && prompt.startsWith("Take notes") ? { kind: "length" } : undefined),
    });
    await using space = await workspace();
    const [row] = rows(1);
    await space.write("rows.json", [row]);
    const noted = { condition: "Noted", reading: "Take notes on it.", strategy: "Say it in English." };
    await space.write("config.json", configFor({ data_config: { sample_size: 1 }, agent_perspectives: [noted] }));
    const options = { cwd: space.path, env: environmentFor(server) };
    await datagenInTurn(["run", "config.json"], options);
    isCutting = false;
    const again = await datagenInTurn(["resume", "latest", "--retry-truncated", "--max-tokens", "900"], options);
    const { tasks } = await space.json<Exported>(again.stdout.trim());
    const ask = (instruction: string, text: string, max_tokens: number) =>
      answerTo({
        model: "gpt-4o-mini",
        prompt: `${instruction}\n\n\`\`\`${text}\`\`\`${instruction}\n\n`,
        max_tokens,
        temperature: configFor().model_config.temperature!,
      });
    const notes = ask(noted.reading, row!.input, 900);
    expect(tasks[0]?.preparations).toEqual([notes]);
    expect(tasks[0]?.responses).toEqual([ask(noted.strategy, notes, configFor().model_config.max_tokens!)]);
    expect(server.requests).toHaveLength(4);
  });

  test.for([
    [["--retry-truncated"], /--retry-truncated and --max-tokens must be used together/],
    [["--max-tokens", "900"], /--retry-truncated and --max-tokens must be used together/],
    [["--retry-truncated", "--max-tokens", "0"], /--max-tokens/],
    [["--retry-truncated", "--max-tokens", "5"], /5 tokens are not more than the limit of 200/],
  ] as const)("is refused as %j", async ([flags, sentence]) => {
    await using space = await copyOfDone();
    const refused = await datagenInTurn(["resume", "latest", ...flags], { cwd: space.path });
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(sentence);
  });
});

describe("a response that was made of the input, as the notes were empty,", () => {
  test("stays where the reading then fails in another way, and the warning and db check are right about it", async () => {
    await using space = await workspace();
    const perspective = { condition: "Noted", reading: "Take notes.", strategy: "Write it out." };
    const config = configFor({ agent_perspectives: [perspective], max_attempts: 1, data_config: { sample_size: 2 } });
    await space.write("config.json", config);
    await space.write("rows.json", rows(2));
    let fault: Fault = { kind: "empty" };
    await using server = await startServer({ behave: ({ prompt }) => (prompt.startsWith("Take") ? fault : undefined) });
    const options = { cwd: space.path, env: environmentFor(server) };
    expect((await datagenInTurn(["run", "config.json", "--no-export"], options)).code).toBe(1);
    fault = { kind: "contentFilter" };
    const again = await datagenInTurn(["resume", "latest", "--retry-failed"], options);
    expect(again.code).toBe(1);
    const { tasks } = await space.json<Exported>(again.stdout.trim());
    expect(tasks.map(({ preparations }) => preparations)).toEqual([[null], [null]]);
    expect(tasks.flatMap(({ responses }) => responses)).toEqual([expect.any(String), expect.any(String)]);
    expect(again.stderr).toMatch(/2 calls failed.*; the dataset has null in place of their texts\./);
    expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);
  });
});

describe("datagen runs show --failures", () => {
  test("lists every request that failed, with what the provider said", async () => {
    await using server = await startServer({
      behave: ({ nth, index }) =>
        index % 4 === 0 && nth === 1
          ? { kind: "status", status: 500, headers: { "retry-after-ms": "1" }, code: "out_of_luck" }
          : undefined,
    });
    await using space = await workspace();
    await space.write("rows.json", rows(4));
    await space.write("config.json", configFor({ data_config: { sample_size: 4 }, agent_perspectives: [PLAIN] }));
    const options = { cwd: space.path, env: { ...environmentFor(server), NODE_OPTIONS: QUICK } };
    expect((await datagenInTurn(["run", "config.json"], options)).code).toBe(0);
    const failures = JSON.parse(
      (await datagenInTurn(["runs", "show", "latest", "--failures", "--json"], options)).stdout,
    ) as object[];
    expect(failures.length).toBe(server.requests.filter(({ status }) => status === 500).length);
    expect(failures[0]).toMatchObject({
      condition: "Plain",
      reason: "server_error",
      decision: "retry",
      http_status: 500,
    });
    const { stdout } = await datagenInTurn(["runs", "show", "latest", "--failures"], options);
    expect(stdout.split("\n")[0]).toMatch(/^TIME \(UTC\) .* MESSAGE$/);
  });
});

describe("datagen db check", () => {
  test.for([
    ["update calls set answer_id = null where id = 2", /a call has an answer if and only if it succeeded.*call 2/],
    ["update calls set state = 'failed' where id = 3", /a call has a failure reason if and only if it failed.*call 3/],
    [
      "update runs set prompt_tokens = prompt_tokens + 1",
      /a run's tokens and cost are the sums over its attempts.*run /,
    ],
    ["update runs set calls_failed = 1", /a run's counts of calls match its calls/],
    [
      "update answers set cached_tokens = prompt_tokens + 1 where id = 1",
      /cached and written tokens are part of the prompt/,
    ],
    ["update calls set answer_id = 1 where id = 2", /an answer is used once in a run.*answer 1/],
    ["delete from calls where id = 1", /every task of a run has a strategy for every perspective/],
    ["delete from texts where id = 1", /a row refers only to rows that exist/],
    ["update runs set finished_at = null", /a run is finished if and only if none of its calls is pending/],
  ] as const)("finds what breaks after %s", async ([damage, told]) => {
    await using space = await copyOfDone();
    const database = new Database(space.at(DATABASE));
    database.pragma("foreign_keys = OFF");
    database.exec(damage);
    database.close();
    const found = await datagenInTurn(["db", "check"], { cwd: space.path });
    expect(found.code).toBe(1);
    expect(found.stdout).toMatch(told);
  });
});

describe("a proxy of the environment", () => {
  test("is used, and NO_PROXY goes around it", async () => {
    await using server = await startServer();
    const seen: string[] = [];
    const proxy = createServer((incoming, outgoing) => {
      seen.push(new URL(incoming.url ?? "").host);
      const { method, headers } = incoming;
      const forwarded = request(incoming.url ?? "", { method: method ?? "GET", headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(forwarded);
    });
    await using listener = await listening(proxy);
    await using space = await workspace();
    await space.write("rows.json", rows(2));
    await space.write("config.json", configFor({ data_config: { sample_size: 2 } }));
    const HTTP_PROXY = `http://127.0.0.1:${listener.port}`;
    const env = { ...environmentFor(server), HTTP_PROXY };
    expect((await datagenInTurn(["run", "config.json"], { cwd: space.path, env })).code).toBe(0);
    expect(new Set(seen)).toEqual(new Set([`127.0.0.1:${server.port}`]));
    const before = seen.length;
    const around = await datagenInTurn(["run", "config.json"], {
      cwd: space.path,
      env: { ...env, NO_PROXY: "127.0.0.1" },
    });
    expect(around.code, around.stderr).toBe(0);
    expect(seen.length).toBe(before);
  });
});

async function listening(server: Server): Promise<AsyncDisposable & { port: number }> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("space on the disk", () => {
  async function prepared(server: LoopbackServer, overrides: ConfigOverrides) {
    const space = await workspace();
    const inputs = overrides.data_config?.sample_size ?? 10;
    await space.write("rows.json", rows(inputs));
    await space.write("config.json", configFor(overrides));
    return { ...space, options: { cwd: space.path, env: environmentFor(server) } };
  }

  test.runIf(process.platform === "linux")(
    "is held back while a run is executed, by how much is in flight",
    async () => {
      await using server = await startServer({ latency: 200 });
      await using space = await prepared(server, { data_config: { sample_size: 10 }, concurrency: 32 });
      await using run = startDatagen(["run", "config.json"], space.options);
      while (server.requests.length < 3) await sleep(10);
      const files = `/proc/${run.child.pid}/fd`;
      const held = readdirSync(files).filter((file) => readlinkSync(join(files, file)).includes("datagen.db-reserve-"));
      expect(held.map((file) => statSync(join(files, file)).size)).toEqual([18 * 1024 * 1024]);
      // A file system that compresses must not make it smaller.
      const beginning = readFileSync(join(files, held[0]!)).subarray(0, 128 * 1024);
      expect(deflateRawSync(beginning).length).toBeGreaterThan(0.95 * beginning.length);
      expect((await run.done).code).toBe(0);
    },
  );

  test("is free again after a kill", async () => {
    await using server = await startServer({ latency: 200 });
    await using space = await prepared(server, { data_config: { sample_size: 10 } });
    await using run = startDatagen(["run", "config.json"], space.options);
    while (server.requests.length < 3) await sleep(10);
    run.kill();
    await run.done;
    const left = ["datagen.db", "datagen.db-lock", "datagen.db-shm", "datagen.db-wal"];
    expect(readdirSync(space.at("data")).toSorted()).toEqual(left);
  });

  test("that ends at once stops the run, which says how many results it could not store", async () => {
    await using server = await startServer({
      latency: 100,
      behave: (call) => ({ kind: "text", text: "long ".repeat(4_000), usage: usageFor(call, "long ".repeat(4_000)) }),
    });
    await using space = await prepared(server, { data_config: { sample_size: 40 }, concurrency: 32 });
    const config = configFor({
      data_config: { input_data_path: space.at("rows.json"), sample_size: 40 },
      concurrency: 32,
    });
    const environment = environmentFor(server);
    using store = openStore(space.at(DATABASE));
    const id = await createRun(store, parseConfig(config), { environment });
    let lost = 0;
    let isLimited = false;
    const stopped = executeRun(store, id, {
      environment,
      onEvent(event) {
        if (event.type === "stored" && event.delta.callsSucceeded > 0 && !isLimited) {
          isLimited = true;
          // There is room for some results more.
          const pages = Number(store.sqlite.pragma("page_count", { simple: true }));
          store.sqlite.pragma(`max_page_count = ${pages + 8}`);
        }
        if (event.type === "lost") lost += event.results;
      },
    });
    await expect(stopped).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/the disk of .* is full/),
      hint: "Make room on it, at least 18 MB.",
    });
    const stored = Number(store.sqlite.prepare("select count(*) from answers").pluck().get());
    expect(stored).toBeGreaterThan(0);
    expect(lost).toBeGreaterThan(0);
    expect(stored + lost).toBe(server.served.answers);
  });
});

describe("a database that another process keeps locked", () => {
  test("stops the run, which can be resumed, and nothing that came back is lost once it is free again", async () => {
    await using server = await startServer({ latency: ({ index }) => (index < 20 ? 50 : 1_000) });
    await using space = await workspace();
    await space.write("rows.json", rows(20));
    const config = configFor({
      data_config: { input_data_path: space.at("rows.json"), sample_size: 20 },
      concurrency: 16,
    });
    const environment = environmentFor(server);
    using store = openStore(space.at(DATABASE));
    store.sqlite.pragma("busy_timeout = 50");
    const id = await createRun(store, parseConfig(config), { environment });
    const other = new Database(space.at(DATABASE));
    let stored = 0;
    const stopped = executeRun(store, id, {
      environment,
      onEvent(event) {
        expect(event.type).not.toBe("lost");
        if (event.type !== "stored") return;
        const isFirst = stored < 8;
        stored += event.delta.callsSucceeded;
        if (!isFirst || stored < 8) return;
        other.exec("begin immediate");
        setTimeout(() => other.exec("commit"), 400);
      },
    });
    await expect(stopped).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/another process keeps the database .* locked/),
    });
    expect(server.served.answers).toBe(stored);
    expect(store.sqlite.prepare("select count(*) from answers").pluck().get()).toBe(stored);
    expect(store.sqlite.prepare("select count(*) from attempts where outcome = 'unanswered'").pluck().get()).toBe(0);
    server.latency = 10;
    expect((await executeRun(store, id, { environment })).calls).toMatchObject({ total: 120, succeeded: 120 });
    expect(server.requests.length).toBe(120);
    other.close();
  });
});
