import { readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { describe, expect, test, vi } from "vitest";
import {
  configFor,
  environmentFor,
  expectedDataset,
  queryRows,
  promptOf,
  rows,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { rounds } from "./support/rounds.ts";
import type { Config, Expected, ExpectedTask, Perspective, Result, Running, Workspace } from "./support/harness.ts";
import { answerTo, promptHashOf, startServer } from "./support/server.ts";
import type { Asked, IncomingCall, LoopbackServer, RecordedRequest } from "./support/server.ts";

interface Dataset {
  tasks: ExpectedTask[];
  metadata: {
    run_id: string;
    generation_time: string;
    token_usage: Record<string, unknown>;
    api_calls: { total_calls: number };
    calls: Record<string, number>;
  };
}

const DB = "data/datagen.db";
const BAD_REQUEST = { kind: "status", status: 400, message: "That will not do." } as const;
const NOTED = configFor().agent_perspectives[1] as Perspective & { reading: string };

const soon = (claim: () => void) => vi.waitFor(claim, { timeout: 30_000, interval: 5 });

async function write(ws: Workspace, config: Config = configFor(), size = 12): Promise<void> {
  await ws.write("config.json", config);
  await ws.write("rows.json", rows(size));
}

const inside = (ws: Workspace, server: LoopbackServer) => ({ cwd: ws.path, env: environmentFor(server) });
const start = (ws: Workspace, server: LoopbackServer, ...args: string[]) =>
  startDatagen(["run", "config.json", ...args], inside(ws, server));
const run = (ws: Workspace, server: LoopbackServer, ...args: string[]) =>
  datagenInTurn(["run", "config.json", ...args], inside(ws, server));
const resume = (ws: Workspace, server: LoopbackServer, ...args: string[]) =>
  datagenInTurn(["resume", "latest", ...args], inside(ws, server));
const datasets = (ws: Workspace) => readdir(ws.at("data/agents")).catch(() => []);
const datasetOf = (ws: Workspace, { stdout }: Result) => ws.json<Dataset>(stdout.trimEnd());
const hashesOf = (requests: RecordedRequest[]) => requests.map(({ promptHash }) => promptHash).toSorted();
const isReading = (call: Asked, input: string) => call.prompt === promptOf(NOTED.reading, input);

/** Waits for what a process sent right before its end. */
async function arrived(server: LoopbackServer): Promise<void> {
  await sleep(50);
  await soon(() => expect(server.inFlight).toBe(0));
}

/** What must not depend on whether and when a run was stopped. */
function lasting({ metadata: { run_id: _id, generation_time: _time, ...metadata }, ...dataset }: Dataset) {
  return { ...dataset, metadata };
}

/** The prompts of the calls that are in a state in the database, which does not count the references. */
function hashesIn(state: "succeeded" | "pending", ws: Workspace, { calls }: Expected): string[] {
  const first = Math.min(...calls.map(({ perspective }) => perspective));
  const inState = queryRows<{ cell: string }>(
    ws.at(DB),
    `select t.position || '/' || (p.position + ${first}) || '/' || c.step as cell from calls c
       join tasks t on t.id = c.task_id join perspectives p on p.id = c.perspective_id where c.state = '${state}'`,
  );
  const cells = new Set(inState.map(({ cell }) => cell));
  const found = calls.filter(({ task, perspective, step }) => cells.has(`${task}/${perspective}/${step}`));
  expect(found.length).toBe(inState.length);
  return found.map(({ asked }) => promptHashOf(asked.prompt)).toSorted();
}

const tokensOf = ({ served }: LoopbackServer) => ({
  prompt_tokens: served.prompt,
  completion_tokens: served.completion,
});

describe.concurrent("a run that was killed", () => {
  // By the request that the server gets when it happens: the first, some in the middle, and the last of 72.
  test.for([0, 33, 71, 7, 60].slice(0, rounds(3, 5)))(
    "at request %i goes on to what it would have been, and sends no finished call again",
    async (moment) => {
      await using ws = await workspace();
      await using other = await workspace();
      await using server = await startServer({ latency: ({ index }) => (index * 7) % 15 });
      const config = configFor({ concurrency: 6, add_references: true });
      await Promise.all([write(ws, config), write(other, config)]);
      const whole = await datasetOf(other, await run(other, server));
      const before = server.requests.length;
      const expected = expectedDataset(config, rows(12));
      expect(before).toBe(72);

      const running = start(ws, server);
      server.behave = ({ index }) => {
        if (index === before + moment) running.kill();
        return undefined;
      };
      const killed = await running.done;
      expect(killed).toMatchObject({ signal: "SIGKILL", stdout: "" });
      await arrived(server);
      const finished = hashesIn("succeeded", ws, expected);
      const pending = hashesIn("pending", ws, expected);
      expect(finished.length + pending.length).toBe(72);
      expect(pending.length).toBeGreaterThan(0);
      if (moment > 20) expect(finished.length).toBeGreaterThan(moment / 2);

      const sent = server.requests.length;
      const result = await resume(ws, server);
      expect(result.code).toBe(0);
      expect(hashesOf(server.requests.slice(sent))).toEqual(pending);
      expect(lasting(await datasetOf(ws, result))).toEqual(lasting(whole));
    },
  );

  test("needs neither the config nor the inputs nor the base URL of before", async () => {
    await using ws = await workspace();
    await using server = await startServer({ latency: 5 });
    await write(ws);
    const running = start(ws, server);
    server.behave = ({ index }) => {
      if (index === 20) running.kill();
      return undefined;
    };
    await running.done;
    await Promise.all(["config.json", "rows.json"].map((name) => rm(ws.at(name))));
    const { OPENAI_API_KEY } = environmentFor(server);
    const [killed] = queryRows<{ public_id: string }>(ws.at(DB), "select public_id from runs");
    const env = { OPENAI_API_KEY, OPENAI_BASE_URL: "http://127.0.0.1:9/v1" };
    const result = await datagenInTurn(["resume", killed!.public_id.slice(0, 5)], { cwd: ws.path, env });
    expect(result.code).toBe(0);
    expect((await datasetOf(ws, result)).tasks).toEqual(expectedDataset(configFor(), rows(12)).tasks);
  });

  test("while it was being planned has left no run, and the next one removes its rows", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("config.json", configFor({ data_config: { sample_size: 30_000 } }));
    await ws.write("rows.json", JSON.stringify(rows(30_000)));
    const running = start(ws, server);
    await running.waitFor(/^Run /m);
    await soon(() => expect(queryRows(ws.at(DB), "select 1 from calls limit 1").length).toBe(1));
    running.kill();
    expect((await running.done).signal).toBe("SIGKILL");
    const count = (table: string) => queryRows<{ n: number }>(ws.at(DB), `select count(*) as n from ${table}`)[0]!.n;
    expect([count("runs"), count("leases")]).toEqual([1, 1]);
    expect(count("calls")).toBeGreaterThan(0);

    expect((await datagenInTurn(["runs", "list", "--json"], { cwd: ws.path })).stdout).toBe("[]\n");
    const refused = await resume(ws, server);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/there are no runs/);
    expect(server.requests).toEqual([]);

    await write(ws, configFor(), 2);
    const result = await run(ws, server);
    expect((await datasetOf(ws, result)).tasks).toEqual(expectedDataset(configFor(), rows(2)).tasks);
    expect(
      Object.fromEntries(["runs", "leases", "perspectives", "tasks", "texts", "calls"].map((t) => [t, count(t)])),
    ).toEqual({ runs: 1, leases: 0, perspectives: 4, tasks: 2, texts: 4, calls: 12 });
  });
});

describe.concurrent("a run that is asked to stop", () => {
  test.for(["SIGINT", "SIGTERM"] as const)("by %s stores what is in flight, and says how to go on", async (signal) => {
    await using ws = await workspace();
    let running: Running | undefined;
    await using server = await startServer({
      // Long enough for the signal to come before the answers.
      latency: ({ index }) => (index < 8 ? 0 : 500),
      behave({ index }) {
        if (index === 10) running?.kill(signal);
        return undefined;
      },
    });
    await write(ws, configFor({ concurrency: 6 }));
    running = start(ws, server);
    const stopped = await running.done;
    expect(stopped).toMatchObject({ code: 130, signal: null, stdout: "" });
    expect(server.requests.filter(({ aborted }) => aborted)).toEqual([]);
    const sent = server.requests.length;
    expect(sent).toBeGreaterThan(10);
    expect(sent).toBeLessThan(72);
    expect(queryRows(ws.at(DB), "select calls_succeeded, attempts from runs")).toEqual([
      { calls_succeeded: sent, attempts: sent },
    ]);

    server.latency = 0;
    const [, command] = /Go on with: datagen (.+)$/m.exec(stopped.stderr)!;
    const result = await datagenInTurn(command!.split(" "), inside(ws, server));
    expect(result.code).toBe(0);
    expect(server.requests.length).toBe(72);
    const dataset = await datasetOf(ws, result);
    expect(dataset.tasks).toEqual(expectedDataset(configFor(), rows(12)).tasks);
    expect(dataset.metadata.token_usage).toMatchObject(tokensOf(server));
  });

  test("twice ends without waiting for what is in flight, and can go on", async () => {
    await using ws = await workspace();
    await using server = await startServer({ behave: ({ nth }) => (nth === 1 ? { kind: "hang" } : undefined) });
    await write(ws, configFor(), 2);
    await using running = start(ws, server);
    await soon(() => expect(server.requests.length).toBe(5));
    running.kill("SIGINT");
    await running.waitFor(/Stopping/);
    running.kill("SIGINT");
    const { code, stderr } = await running.done;
    expect(code).toBe(130);
    expect(stderr).toMatch(/Ended\. Requests in flight may be billed\. Go on with: datagen resume [0-9a-z]{8}\n$/);
    expect(server.requests.length).toBe(5);
    // The others are asked for the first time, and hang; the five are now answered.
    server.behave = undefined;
    const result = await resume(ws, server);
    expect((await datasetOf(ws, result)).tasks).toEqual(expectedDataset(configFor(), rows(2)).tasks);
  });
});

describe.concurrent("resume", () => {
  test("of a finished run sends nothing and writes the same dataset", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await write(ws, configFor(), 3);
    const first = await run(ws, server, "--output", "first.json");
    const second = await resume(ws, server, "--output", "second.json");
    expect([first.code, second.code, second.stdout]).toEqual([0, 0, "second.json\n"]);
    expect(server.requests.length).toBe(18);
    expect(await ws.read("second.json")).toBe(await ws.read("first.json"));
  });

  test("sends failed calls again under --retry-failed only", async () => {
    await using ws = await workspace();
    const bad = rows(4)[2]!.input;
    const fails = ({ prompt }: Asked) => prompt.includes(bad);
    await using server = await startServer({ behave: (call) => (fails(call) ? BAD_REQUEST : undefined) });
    await write(ws, configFor(), 4);
    expect((await run(ws, server)).code).toBe(1);
    // All of one input: two strategies and two readings, whose strategies were never sent.
    expect(server.requests.length).toBe(24 - 2);

    server.behave = undefined;
    const without = await resume(ws, server);
    expect(without.code).toBe(1);
    expect(server.requests.length).toBe(22);
    expect((await datasetOf(ws, without)).metadata.calls).toMatchObject({ succeeded: 18, failed: 6 });

    const result = await resume(ws, server, "--retry-failed");
    const dataset = await datasetOf(ws, result);
    const expected = expectedDataset(configFor(), rows(4));
    expect(result.code).toBe(0);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(hashesOf(server.requests.slice(22))).toEqual(
      expected.calls.flatMap(({ task, asked }) => (task === 2 ? [promptHashOf(asked.prompt)] : [])).toSorted(),
    );
    expect(dataset.metadata).toMatchObject({
      calls: { total: 24, succeeded: 24, failed: 0, pending: 0 },
      api_calls: { total_calls: 28 },
      token_usage: tokensOf(server),
    });
  });

  test("asks a strategy again that worked on its input, once its reading has notes", async () => {
    await using ws = await workspace();
    const [{ input }] = rows(1) as [{ input: string }];
    const behave = (call: IncomingCall) => (isReading(call, input) ? ({ kind: "empty" } as const) : undefined);
    await using server = await startServer({ behave });
    await write(ws, configFor(), 2);
    const first = await run(ws, server);
    const prompts = (instruction: string, text: string) => promptHashOf(promptOf(instruction, text));
    expect(first.code).toBe(1);
    expect(hashesOf(server.requests)).toContain(prompts(NOTED.strategy, input));

    server.behave = undefined;
    const sent = server.requests.length;
    const result = await resume(ws, server, "--retry-failed");
    const dataset = await datasetOf(ws, result);
    const expected = expectedDataset(configFor(), rows(2));
    expect(result.code).toBe(0);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(server.requests.slice(sent).map(({ promptHash }) => promptHash)).toEqual([
      prompts(NOTED.reading, input),
      prompts(NOTED.strategy, dataset.tasks[0]!.preparations[1]!),
    ]);
    expect(dataset.metadata).toMatchObject({
      calls: { total: 12, succeeded: 12, failed: 0, pending: 0 },
      api_calls: { total_calls: server.requests.length },
      token_usage: tokensOf(server),
    });
  });

  test("keeps the answer on the input where the reading comes back without notes again", async () => {
    await using ws = await workspace();
    const [{ input }] = rows(1) as [{ input: string }];
    await using server = await startServer({
      behave: (call) => (isReading(call, input) ? { kind: "empty" } : undefined),
    });
    await write(ws, configFor(), 1);
    const first = await datasetOf(ws, await run(ws, server));
    const sent = server.requests.length;
    const result = await resume(ws, server, "--retry-failed");
    expect(result.code).toBe(1);
    expect(server.requests.length).toBeGreaterThan(sent);
    expect(new Set(hashesOf(server.requests.slice(sent)))).toEqual(
      new Set([promptHashOf(promptOf(NOTED.reading, input))]),
    );
    const dataset = await datasetOf(ws, result);
    expect(dataset.tasks).toEqual(first.tasks);
    expect(dataset.metadata.calls).toEqual(first.metadata.calls);
  });

  test("takes --concurrency, --output and --no-export, and --json prints one value", async () => {
    await using ws = await workspace();
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await write(ws, configFor(), 4);
    const running = start(ws, server);
    await soon(() => expect(server.requests.length).toBe(5));
    running.kill();
    await running.done;
    await arrived(server);
    Object.assign(server, { behave: undefined, latency: 10, maxInFlight: 0 });
    const result = await resume(ws, server, "--concurrency", "2", "--no-export", "--json");
    expect(result.code).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({
      run: { status: "completed", calls: { total: 24, succeeded: 24, pending: 0 } },
      dataset: null,
    });
    expect(server.maxInFlight).toBe(2);
    expect(await datasets(ws)).toEqual([]);
    expect(await resume(ws, server, "--output", "set.json")).toMatchObject({ code: 0, stdout: "set.json\n" });
    expect((await ws.json<Dataset>("set.json")).tasks).toEqual(expectedDataset(configFor(), rows(4)).tasks);
  });

  test("is refused while a living process holds the run, and says which", async () => {
    await using ws = await workspace();
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await write(ws);
    await using running = start(ws, server);
    await soon(() => expect(server.requests.length).toBe(5));
    const refused = await resume(ws, server);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    const [, pid, host, since] = /executed by process (\d+) on (\S+) since (\S+)$/m.exec(refused.stderr)!;
    expect([pid, host]).toEqual([String(running.child.pid), hostname()]);
    const [lease] = queryRows<{ acquired_at: number }>(ws.at(DB), "select acquired_at from leases");
    expect(Date.parse(since!)).toBe(lease!.acquired_at);
    expect(server.requests.length).toBe(5);
    expect(running.child.exitCode).toBeNull();
  });

  test("of a run that no database has is refused", async () => {
    await using ws = await workspace();
    const missing = await datagenInTurn(["resume", "zzzz"], { cwd: ws.path });
    expect(missing).toMatchObject({ code: 2, stdout: "" });
    expect(missing.stderr).toMatch(/there is no database .*datagen\.db/);
    await write(ws);
    await datagenInTurn(["run", "config.json", "--provider", "offline", "--no-export"], { cwd: ws.path });
    const refused = await datagenInTurn(["resume", "zzzz"], { cwd: ws.path });
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/there is no run "zzzz"/);
  });
});

test("a process that has lost its run stops, and stores nothing more", async () => {
  await using ws = await workspace();
  await using server = await startServer({ latency: ({ index }) => (index < 5 ? 0 : 1_000) });
  await write(ws);
  await using running = start(ws, server);
  await soon(() => expect(server.requests.length).toBeGreaterThan(5));
  const db = new Database(ws.at(DB));
  db.prepare("update leases set token = 'of another process'").run();
  const { attempts } = db.prepare("select attempts from runs").get() as { attempts: number };
  db.close();
  const { code, stdout, stderr } = await running.done;
  expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
  expect(stderr).toMatch(/another process has taken this run over/);
  expect(queryRows(ws.at(DB), "select attempts from runs")).toEqual([{ attempts }]);
  expect(queryRows(ws.at(DB), "select count(*) as n from answers")).toEqual([{ n: attempts }]);
  expect(queryRows(ws.at(DB), "select token from leases")).toEqual([{ token: "of another process" }]);
});

test("a strategy on notes from before a stop works on those, without asking for them again", async () => {
  await using ws = await workspace();
  const data = rows(8);
  // Asked once more, a reading would give other notes; strategies are held up until the stop.
  let isHeld = true;
  await using server = await startServer({
    behave(call) {
      const isOfNotes = data.some(({ input }) => isReading(call, input));
      if (isOfNotes) return { kind: "text", text: `Notes, taken at request ${call.index}.` };
      return isHeld ? { kind: "hang" } : undefined;
    },
  });
  await write(ws, configFor({ agent_perspectives: [NOTED], concurrency: 20 }), 8);
  const running = start(ws, server);
  await soon(() => expect(server.requests.length).toBe(16));
  running.kill();
  await running.done;
  await arrived(server);
  isHeld = false;
  const result = await resume(ws, server);
  const { tasks } = await datasetOf(ws, result);
  expect(server.requests.length).toBe(16 + 8);
  expect(new Set(tasks.map(({ preparations }) => preparations[0])).size).toBe(8);
  const asked = { model: "gpt-4o-mini", max_tokens: 200, temperature: 0.7 };
  for (const { preparations, responses } of tasks) {
    expect(responses[0]).toBe(answerTo({ ...asked, prompt: promptOf(NOTED.strategy, preparations[0]!) }));
  }
});
