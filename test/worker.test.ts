import { cp, mkdir, symlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { Job } from "bullmq";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import manifest from "../package.json" with { type: "json" };
import type { ListedWorker } from "../src/app/worker/list-workers.ts";
import { hasEnded } from "../src/queue/bullmq/ended.ts";
import type { Engine, Reader } from "../src/queue/bullmq/engine.ts";
import { isUnreadable } from "../src/queue/bullmq/foreign.ts";
import { Roster } from "../src/queue/bullmq/roster.ts";
import { workerQueue } from "../src/queue/bullmq/worker.ts";
import { jobsQueue, ROSTER_QUEUE } from "../src/queue/destination.ts";
import { newToken } from "../src/queue/messages.ts";
import { parseQueueUrl } from "../src/queue/url.ts";
import { answerTo } from "./support/answers.ts";
import { ENGINES, PASSWORD, startEngine, startRedis, type TestEngine } from "./support/engines.ts";
import { datagen, startDatagen, workspace, type Workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { jobFor, openCoordinator, openStranger, putAnything, startWorker } from "./support/queue-lab.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const KEY = "sk-worker-7d1c0e55";

let space: Workspace;
beforeAll(async () => {
  space = await workspace();
});
afterAll(() => space[Symbol.asyncDispose]());

/** The machine may be busy. */
const PATIENT = { timeout: 60_000 };

const asked = (prompt: string) => answerTo({ model: "gpt-4o-mini", prompt });

describe.each(ENGINES)("on %s", (name) => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startEngine(name);
  });
  afterAll(() => engine[Symbol.asyncDispose]());

  const inSpace = () => ({ cwd: space.path, env: { OPENAI_API_KEY: KEY } });
  const workerOf = (server: LoopbackServer, ...flags: string[]) =>
    startWorker(["--queue", engine.url, "--base-url", server.openaiUrl, ...flags], inSpace());

  test("answers and failures travel, and nothing of them stays", async () => {
    await using server = await startServer({
      headers: () => ({ "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "7" }),
      behave: ({ prompt }) => (prompt === "too often" ? { kind: "status", status: 429 } : undefined),
    });
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl);
    await using worker = await workerOf(server);
    const long = "x".repeat(300_000);
    const prompts = [...Array.from({ length: 30 }, (_, at) => `prompt ${at}`), "\u0000 \ud800 Größe", long];
    const tokens = await Promise.all(prompts.map((prompt) => coordinator.put(prompt)));
    const results = await Promise.all(tokens.map((token) => coordinator.result(token)));
    expect(results.map((result) => "completion" in result && result.completion.text)).toEqual(prompts.map(asked));
    const limits = { limit: 100, remaining: 7 };
    expect(results[0]).toMatchObject({ completion: { finishReason: "stop", rateLimits: { requests: limits } } });

    const failed = await coordinator.result(await coordinator.put("too often"));
    const details = { httpStatus: 429, hasLeft: true, rateLimits: { requests: limits } };
    expect(failed).toMatchObject({ error: { reason: "rate_limited", details } });

    worker.kill("SIGTERM");
    const { code, stdout } = await worker.done;
    expect({ code, report: JSON.parse(stdout) as unknown }).toEqual({
      code: 0,
      report: { answered: prompts.length + 1, failed: 1, dropped: 0 },
    });
    expect(await coordinator.queue.workers()).toEqual([]);
    const destination = { provider: "openai", server: server.openaiUrl } as const;
    expect(await coordinator.queue.stateOf(tokens[0]!, destination)).toBe("absent");
    const dump = await engine.dump();
    for (const prompt of prompts.slice(0, 30)) {
      expect(dump).not.toContain(prompt);
      expect(dump).not.toContain(asked(prompt));
    }
  });

  test("a result comes again until it is taken, also to the next coordinator", async () => {
    const [databaseId, runId] = ["0123456789abcdef", `again${name}`];
    await using server = await startServer();
    await using worker = await workerOf(server);
    let times = 0;
    const isTwice = Promise.withResolvers<void>();
    const take = () => {
      times += 1;
      if (times === 2) isTwice.resolve();
      return Promise.reject(new Error("the disk is full"));
    };
    const first = await openCoordinator(engine.url, server.openaiUrl, { databaseId, runId, take });
    const token = await first.put("again");
    await isTwice.promise;
    expect(await first.queue.stateOf(token, { provider: "openai", server: server.openaiUrl })).toBe("reported");
    await first[Symbol.asyncDispose]();
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl, { databaseId, runId });
    expect(await coordinator.result(token)).toMatchObject({ token, completion: { text: asked("again") } });
    expect(server.requests).toHaveLength(1);
    worker.kill("SIGTERM");
    expect(await worker.done).toMatchObject({ code: 0 });
  });

  test("a worker takes no more jobs after SIGTERM, finishes what it has, and a second signal ends it at once", async () => {
    await using server = await startServer({ latency: 1_000 });
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl);
    const destination = { provider: "openai", server: server.openaiUrl } as const;
    await using worker = await workerOf(server, "--concurrency", "2");
    const tokens = await Promise.all(["one", "two", "three", "four"].map((prompt) => coordinator.put(prompt)));
    await expect.poll(() => server.requests.length, PATIENT).toBe(2);
    worker.kill("SIGTERM");
    const { code, stdout } = await worker.done;
    expect({ code, report: JSON.parse(stdout) as unknown }).toMatchObject({ code: 0, report: { answered: 2 } });
    expect(server.requests).toHaveLength(2);
    const states = await Promise.all(tokens.map((token) => coordinator.queue.stateOf(token, destination)));
    expect(states.toSorted()).toEqual(["absent", "absent", "waiting", "waiting"]);
    const waiting = tokens.filter((_, at) => states[at] === "waiting");
    expect(await coordinator.queue.takeBack(waiting[0]!, destination)).toBe(true);
    expect(await coordinator.queue.takeBack(waiting[0]!, destination)).toBe(false);

    server.latency = 600_000;
    await using other = await workerOf(server);
    await expect.poll(() => server.requests.length, PATIENT).toBe(3);
    expect(await coordinator.queue.stateOf(waiting[1]!, destination)).toBe("begun");
    expect(await coordinator.queue.takeBack(waiting[1]!, destination)).toBe(false);
    other.kill("SIGTERM");
    await other.waitFor(/Taking no more jobs/);
    other.kill("SIGTERM");
    expect(await other.done).toMatchObject({ code: 130 });
  });

  test("a worker outlives its engine, also one that comes back empty", async () => {
    await using server = await startServer({ latency: 1_500 });
    await using worker = await workerOf(server);
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl);
    const held = await coordinator.put("held");
    await expect.poll(() => server.requests.length, PATIENT).toBe(1);
    await engine.crash();
    await worker.waitFor(/Warning: the queue \S+ does not answer; trying again\./);
    await engine.restart();
    expect(await coordinator.result(held)).toMatchObject({ completion: { text: asked("held") } });

    const lost = await coordinator.put("lost");
    await expect.poll(() => server.requests.length, PATIENT).toBe(2);
    await engine.crash();
    await engine.restartEmpty();
    // It was with the worker, which reports it to the new engine.
    expect(await coordinator.result(lost)).toMatchObject({ completion: { text: asked("lost") } });
    server.latency = 0;
    const next = await coordinator.put("next");
    expect(await coordinator.result(next)).toMatchObject({ completion: { text: asked("next") } });
    await expect.poll(async () => (await coordinator.queue.workers()).length, PATIENT).toBe(1);
    worker.kill("SIGTERM");
    const { code, stderr } = await worker.done;
    expect(code).toBe(0);
    expect(stderr).toContain(`The queue ${engine.shown} answers again.`);
    expect(stderr).not.toContain(PASSWORD);
  });

  test("a worker with a hostile queue sends nothing that it should not, and stays up", async () => {
    await using server = await startServer();
    await using other = await startServer();
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl);
    await using worker = await workerOf(server, "--concurrency", "4");
    await using stranger = await openStranger(engine.url);
    const good = jobFor("hostile", server.openaiUrl, coordinator.replyTo);
    const job = (changes: object) => {
      const token = newToken(coordinator.replyTo);
      return { id: token, data: JSON.stringify({ v: 1, ...good, token, ...changes }) };
    };
    const elsewhere = job({ server: other.openaiUrl });
    const others = job({ provider: "together" });
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    const bomb = gzipSync(Buffer.alloc(201_000_000, " "), { level: 1 }).toString("base64");
    await putAnything(stranger, server.openaiUrl, [
      elsewhere,
      others,
      { id: newToken(coordinator.replyTo), data: "x".repeat(100_000_000) },
      { id: newToken(coordinator.replyTo), data: { v: 1, ...good } },
      { id: newToken(coordinator.replyTo), data: null },
      { id: newToken(coordinator.replyTo), data: 7 },
      { id: newToken(coordinator.replyTo), data: [] },
      { id: newToken(coordinator.replyTo), data: "\u001b[2J {" },
      { id: newToken(coordinator.replyTo), data: `gzip:${bomb}` },
      { id: newToken(coordinator.replyTo), data: "gzip:AAAA" },
      { ...job({}), id: "another-id" },
      job({ replyTo: "bull:datagen-workers" }),
      job({ replyTo: `datagen-results-${"0".repeat(32)}-../x` }),
      job({ v: 2 }),
      job({ apiKey: "sk-other" }),
      job({ timeoutMs: 1e12 }),
      job({ maxAnswerBytes: 1e12 }),
      job({ question: { ...good.question, parameters: { model: "gpt-9" } } }),
      job({ question: { ...good.question, parameters: { extra_body: { messages: [] } } } }),
      job({ question: { ...good.question, model: 7 } }),
      { id: newToken(coordinator.replyTo), data: `{"v":1,"token":${deep}}` },
    ]);
    const last = await coordinator.put("the last");
    expect(await coordinator.result(last)).toMatchObject({ completion: { text: asked("the last") } });
    const refused = { reason: "bad_request", details: { hasLeft: false, usage: null } };
    expect(await coordinator.result(elsewhere.id)).toMatchObject({ error: refused });
    expect(await coordinator.result(others.id)).toMatchObject({ error: refused });
    worker.kill("SIGTERM");
    const { code, stdout, stderr } = await worker.done;
    expect({ code, report: JSON.parse(stdout) as unknown }).toEqual({
      code: 0,
      report: { answered: 1, failed: 0, dropped: 21 },
    });
    expect({ other: other.requests, server: server.requests.length }).toEqual({ other: [], server: 1 });
    expect(stderr.match(/Warning: a job of the queue was dropped/g)).toHaveLength(10);
    expect(stderr.length).toBeLessThan(5_000);
    expect(stderr).toContain("it is for the server http://127.0.0.1");
  });

  test("what somebody else has put into the queues costs nothing", async () => {
    await using server = await startServer();
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl);
    await using worker = await workerOf(server);
    const destination = { provider: "openai", server: server.openaiUrl } as const;
    for (const queue of [ROSTER_QUEUE, jobsQueue(destination), coordinator.replyTo]) await engine.spoil(queue);
    const prompts = ["one", "two", "three"];
    const tokens = await Promise.all(prompts.map((prompt) => coordinator.put(prompt)));
    const results = await Promise.all(tokens.map((token) => coordinator.result(token)));
    expect(results.map((result) => "completion" in result && result.completion.text)).toEqual(prompts.map(asked));
    await expect.poll(async () => (await coordinator.queue.workers()).length, PATIENT).toBe(1);
    expect(await coordinator.queue.stateOf(tokens[0]!, destination)).toBe("absent");
    const list = await datagen(["workers", "--queue", engine.url, "--json"], { cwd: space.path });
    expect({ code: list.code, workers: JSON.parse(list.stdout) as unknown }).toMatchObject({
      code: 0,
      workers: [{ servers: [server.openaiUrl] }],
    });
    expect(coordinator.queue.lost.aborted).toBe(false);
    worker.kill("SIGTERM");
    expect(await worker.done).toMatchObject({ code: 0 });
  });

  test("keys and passwords never come into the queue, nor onto the terminal", async () => {
    await using server = await startServer({ latency: 600_000 });
    await using coordinator = await openCoordinator(engine.url, server.openaiUrl);
    await using worker = await workerOf(server, "--concurrency", "1");
    const tokens = [await coordinator.put("secret one"), await coordinator.put("secret two")];
    await expect.poll(() => server.requests.length, PATIENT).toBe(1);
    expect(server.requests[0]!.authorization).toBe(`Bearer ${KEY}`);
    const during = await engine.dump();
    for (const token of tokens) expect(during).toContain(token);

    const list = (...flags: string[]) =>
      datagenInTurn(["workers", "--queue", engine.url, ...flags], { cwd: space.path });
    const own = async () => {
      const { stdout } = await list("--json");
      return (JSON.parse(stdout) as ListedWorker[]).find(({ servers }) => servers[0] === server.openaiUrl);
    };
    const expected = { provider: "openai", in_flight: 1, concurrency: 1, answered: 0, version: manifest.version };
    await expect.poll(own, PATIENT).toMatchObject(expected);
    const table = await list();
    expect(table).toMatchObject({ code: 0, stderr: "" });
    expect(table.stdout).toMatch(/^HOST +PROVIDER +SERVERS +IN FLIGHT +ANSWERED +LAST HEARD\n/);
    expect(table.stdout).toMatch(/openai +http:\/\/127\.0\.0\.1:\d+\/openai\/v1 +1 of 1 +0 +\d\.\d s ago/);

    // The next worker answers the second job.
    server.latency = 0;
    await using next = await workerOf(server);
    expect(await coordinator.result(tokens[1]!)).toMatchObject({ completion: { text: asked("secret two") } });
    const after = await engine.dump();
    worker.kill();
    next.kill("SIGTERM");
    const [first, second] = await Promise.all([worker.done, next.done]);
    const said = [first, second, table].flatMap(({ stdout, stderr }) => [stdout, stderr]);
    for (const text of [during, after, ...said]) {
      expect(text).not.toContain(KEY);
      expect(text).not.toContain(PASSWORD);
    }
    expect(first.stderr).toContain(`Taking jobs from ${engine.shown} for ${server.openaiUrl}`);
  });

  test("several servers share the jobs for their name", async () => {
    await using one = await startServer({ latency: 300 });
    await using two = await startServer({ latency: 300 });
    await using coordinator = await openCoordinator(engine.url, "llama");
    await using worker = await workerOf(one, "--base-url", two.openaiUrl, "--server", "llama", "--concurrency", "4");
    const prompts = Array.from({ length: 8 }, (_, at) => `shared ${at}`);
    const tokens = await Promise.all(prompts.map((prompt) => coordinator.put(prompt)));
    await Promise.all(tokens.map((token) => coordinator.result(token)));
    expect([one.requests.length, two.requests.length]).toEqual([4, 4]);
    worker.kill("SIGTERM");
    expect(await worker.done).toMatchObject({ code: 0 });
  });

  test("the examples of the help work as typed", async () => {
    await using server = await startServer();
    const help = await Promise.all(
      ["worker", "workers"].map((command) => datagenInTurn([command, "--help"], { cwd: space.path })),
    );
    const lines = help.flatMap(({ stdout }) => stdout.match(/(?<=^\s*\$ datagen ).*$/gm) ?? []);
    const ofEngine = lines.filter((line) => line.includes(`${name}://queue.example`));
    expect(ofEngine.length).toBeGreaterThan(0);
    for (const line of ofEngine) {
      const words = line.split(" ").map((word) => {
        if (word.startsWith("http://")) return server.openaiUrl;
        return word.includes("//queue.example") ? engine.url : word;
      });
      const signalAfter = { stderr: /^Taking jobs from /m, signal: "SIGTERM" } as const;
      const { code, stderr } = await datagen(words, { ...inSpace(), signalAfter });
      expect({ line, code }, stderr).toEqual({ line, code: 0 });
    }
  });

  test("a worker waits for an engine that starts later, and ends after a signal also while its engine is away", async () => {
    const own = await startEngine(name);
    await own.crash();
    await using worker = startDatagen(["worker", "--queue", own.url, "--provider", "offline"], inSpace());
    await worker.waitFor(/^Warning: the queue \S+ does not answer \(.*ECONNREFUSED.*\); trying again$/m);
    await own.restart();
    await worker.waitFor(/^Taking jobs from /m);
    await own[Symbol.asyncDispose]();
    await worker.waitFor(/does not answer; trying again/);
    worker.kill("SIGTERM");
    expect(await worker.done).toMatchObject({ code: 0 });
  });

  test("a password that is refused is not shown", async () => {
    const url = engine.url.replace(PASSWORD, "wrong-password-11");
    const { code, stderr } = await datagenInTurn(["worker", "--queue", url, "--provider", "offline"], {
      cwd: space.path,
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Error: the queue \S+ refuses the connection \(.+\)\nCheck the user, the password/);
    expect(stderr).toContain(engine.shown);
    expect(stderr).not.toContain("wrong-password-11");
  });

  test("a second coordinator of the same run is refused while the first one lives", async () => {
    const same = { databaseId: "fedcba9876543210", runId: `claim${name}` };
    await using first = await openCoordinator(engine.url, "llama", same);
    await expect(openCoordinator(engine.url, "llama", same)).rejects.toThrow(
      `run ${same.runId} is executed by another process through the queue ${engine.shown}`,
    );
    expect(first.queue.lost.aborted).toBe(false);
  });

  test("the end of a run is known until it goes on", async () => {
    const same = { databaseId: "fedcba9876543213", runId: `ended${name}` };
    await using stranger = await openStranger(engine.url);
    const first = await openCoordinator(engine.url, "llama", same);
    expect(await hasEnded(stranger, first.replyTo)).toBe(false);
    await first.queue.remove([]);
    await first[Symbol.asyncDispose]();
    expect(await hasEnded(stranger, first.replyTo)).toBe(true);
    await using second = await openCoordinator(engine.url, "llama", same);
    expect(await hasEnded(stranger, second.replyTo)).toBe(false);
  });

  test("a coordinator removes nothing of a run that another one has just taken over", async () => {
    const same = { databaseId: "fedcba9876543212", runId: `taken${name}` };
    const id = `r-${same.databaseId}-${same.runId}`;
    const destination = { provider: "openai", server: "llama" } as const;
    await using stranger = await openStranger(engine.url);
    const roster = new Roster(stranger);
    await using coordinator = await openCoordinator(engine.url, "llama", same);
    const kept = await coordinator.put("of the other one");
    await roster.write(id, `${"e".repeat(32)} 1`);
    await coordinator.queue.remove([destination]);
    expect(await coordinator.queue.stateOf(kept, destination)).toBe("waiting");
    await coordinator.queue.discard(kept, destination);
    await roster.remove(id);
    await roster.close();
  });

  test("a coordinator takes over from one that was killed, also where the engine has lost the last claims", async () => {
    const same = { databaseId: "fedcba9876543211", runId: `stale${name}` };
    const id = `r-${same.databaseId}-${same.runId}`;
    await using stranger = await openStranger(engine.url);
    const roster = new Roster(stranger);
    const dead = "d".repeat(32);
    await roster.write(id, `${dead} 9`);
    const opening = openCoordinator(engine.url, "llama", same);
    await sleep(1_500);
    await roster.write(id, `${dead} 8`);
    await using coordinator = await opening;
    await roster.write(id, `${dead} 7`);
    await vi.waitFor(async () => expect(await roster.read(id)).not.toContain(dead), { timeout: 20_000 });
    expect(coordinator.queue.lost.aborted).toBe(false);
    await roster.write(id, `${"e".repeat(32)} 1`);
    await vi.waitFor(() => expect(coordinator.queue.lost.aborted).toBe(true), { timeout: 20_000 });
    await roster.remove(id);
    await roster.close();
  });
});

test("a worker ends also where its engine goes away while it takes back a result", async () => {
  vi.useFakeTimers();
  try {
    const away = { getJobState: () => new Promise<never>(() => {}), close: () => Promise.resolve() };
    const done = () => Promise.resolve();
    const reader: Pick<Reader, "onGone" | "close"> = { onGone: done, close: done };
    const engine = { url: parseQueueUrl("redis://127.0.0.1", "the test"), queue: () => away, worker: () => reader };
    const queue = workerQueue(engine as unknown as Engine);
    queue.take({ provider: "offline", server: "offline" }, 1, () => Promise.resolve());
    const replyTo = "datagen-results-0123456789abcdef-gone";
    const data = JSON.stringify({ token: newToken(replyTo), replyTo });
    const goes = expect(reader.onGone({ data } as Job)).rejects.toThrow("does not answer");
    let hasDrained = false;
    void queue.drain().then(() => (hasDrained = true));
    await vi.advanceTimersByTimeAsync(70_000);
    expect(hasDrained).toBe(true);
    await goes;
  } finally {
    vi.useRealTimers();
  }
});

test("what Redis 6.2 says of a key with another type is understood, also from a script", () => {
  const said = "WRONGTYPE Operation against a key holding the wrong kind of value";
  for (const message of [said, `ERR Error running script (call to f_6b1bf486c8): @user_script:1: ${said}`]) {
    expect(isUnreadable(new Error(message)), message).toBe(true);
  }
});

describe("a worker does not start", () => {
  test.each([
    ["no queue is named", ["--provider", "offline"], "no queue is named"],
    ["--queue is not the URL of a queue", ["--queue", "http://user:hush@queue", "--provider", "offline"], "Expected"],
    ["names a database that Redis cannot have", ["--queue", "redis://q/jobs", "--provider", "offline"], "numbers"],
    ["has a % that begins no escaped character", ["--queue", "redis://:hush%zz@q", "--provider", "offline"], "%25"],
    ["the worker has no server", ["--queue", "redis://127.0.0.1:1"], "Add --base-url"],
    ["--base-url is not a base URL", ["--queue", "redis://127.0.0.1:1", "--base-url", "gpu1"], "Expected"],
    [
      "--server is not a name",
      ["--queue", "redis://127.0.0.1:1", "--base-url", "http://g/v1", "--server", "a b"],
      "1 to",
    ],
    ["OPENAI_API_KEY is not set", ["--queue", "redis://127.0.0.1:1", "--provider", "openai"], "Set OPENAI_API_KEY"],
    [
      "too many for one worker",
      ["--queue", "redis://127.0.0.1:1", "--provider", "offline", "--concurrency", "5000"],
      "4096",
    ],
  ])("where %s", async (message, flags, hint) => {
    const { code, stdout, stderr } = await datagenInTurn(["worker", ...flags], { cwd: space.path });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint);
    expect(stderr).not.toContain("hush");
  });

  test("where only .env names the queue, because that file may be somebody else's", async () => {
    await using own = await workspace();
    await own.write(".env", "DATAGEN_QUEUE=redis://127.0.0.1:1\n");
    const { code, stderr } = await datagenInTurn(["worker", "--provider", "offline"], { cwd: own.path });
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining("no queue is named") as string });
  });

  test.each(["redis://user:hush@127.0.0.1:1", "postgres://user:hush@127.0.0.1:1/queue"])(
    "before a signal while %s does not answer, which ends the list of workers",
    async (url) => {
      const options = { cwd: space.path, env: { DATAGEN_QUEUE: url } };
      const signalAfter = { stderr: /trying again/, signal: "SIGTERM" } as const;
      const worker = await datagen(["worker", "--provider", "offline"], { ...options, signalAfter });
      const list = await datagen(["workers"], options);
      expect([worker.code, list.code]).toEqual([0, 3]);
      for (const { stderr } of [worker, list]) {
        expect(stderr).toMatch(/: the queue \w+:\/\/127\.0\.0\.1:1\S* does not answer \(.*ECONNREFUSED.*\)/);
        expect(stderr).not.toContain("hush");
      }
    },
  );

  test.each(ENGINES.filter((name) => name === "redis"))("where %s may throw jobs away", async () => {
    await using redis = await startRedis(["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    const args = ["worker", "--queue", redis.url, "--provider", "offline"];
    const { code, stderr } = await datagenInTurn(args, { cwd: space.path });
    expect(code).toBe(2);
    expect(stderr).toBe(
      `Error: the queue ${redis.shown} has the maxmemory-policy allkeys-lru, with which it may throw jobs away\n` +
        "Set it to noeviction: `redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in redis.conf.\n",
    );
  });

  test("where redis has no database of this number", async () => {
    await using redis = await startRedis([]);
    const args = ["worker", "--queue", new URL("/99", redis.url).href, "--provider", "offline"];
    const { code, stderr } = await datagenInTurn(args, { cwd: space.path });
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/ refuses the connection \(.+\)\nCheck/),
    });
  });

  test.each([
    ["redis", "Redis", "bullmq and ioredis", "bullmq ioredis"],
    ["postgres", "PostgreSQL", "bullmq and pg", "bullmq pg"],
  ])("on %s without its packages", async (scheme, engine, names, install) => {
    const root = resolve(import.meta.dirname, "..");
    await using without = await workspace();
    for (const name of ["dist", "package.json"]) await cp(join(root, name), without.at(name), { recursive: true });
    for (const name of Object.keys(manifest.dependencies)) {
      const link = without.at(`node_modules/${name}`);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(root, "node_modules", name), link);
    }
    const run = startDatagen(["worker", "--queue", `${scheme}://127.0.0.1:1`, "--provider", "offline"], {
      cwd: space.path,
      bin: without.at("dist/main.js"),
    });
    expect(await run.done).toMatchObject({
      code: 2,
      stderr:
        `Error: a queue on ${engine} needs the packages ${names}, and they are not installed\n` +
        `Install them where datagen is installed: npm install ${install}\n`,
    });
  });
});
