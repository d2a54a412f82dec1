import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { windowOf } from "../src/execute/queue/window.ts";
import { MOST_JOBS_OF_WORKER, newToken, newWorkerId } from "../src/queue/messages.ts";
import { answerTo } from "./support/answers.ts";
import { batchLab, type BatchLab, expectChargedOnce, PLAIN, PRICES } from "./support/batch-lab.ts";
import { ENGINES, PASSWORD, startEngine, type TestEngine } from "./support/engines.ts";
import { type ConfigOverrides } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { DATABASE } from "./support/lab.ts";
import { openCoordinator, openStranger, putAnything, startWorker } from "./support/queue-lab.ts";
import { completionOf, strangeWorker } from "./support/strange-worker.ts";
import type { ServerOptions } from "./support/server.ts";

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine(ENGINES[0]!);
}, 60_000);
afterAll(() => engine[Symbol.asyncDispose]());

async function queueLab(overrides: ConfigOverrides = {}, inputs = 2, options: ServerOptions = {}) {
  const lab = await batchLab({ agent_perspectives: [PLAIN], executor: "queue", ...overrides }, inputs, options);
  lab.spawned.env["DATAGEN_QUEUE"] = engine.url;
  return lab;
}

const workerOf = (lab: BatchLab, ...flags: string[]) =>
  startWorker(["--base-url", lab.server.openaiUrl, ...flags], lab.spawned);

const attemptsOf = (lab: BatchLab) =>
  lab.query<{
    outcome: string;
    decision: string;
    cost: number | null;
    reserved: number | null;
    job_token: string | null;
  }>(
    "select outcome, decision, cost_nano_usd cost, reserved_prompt_tokens reserved, job_token from attempts order by id",
  );

async function expectDone(lab: BatchLab): Promise<void> {
  expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
  expect(lab.query("select 1 from attempts where job_token is not null")).toEqual([]);
  lab.expectSound();
}

/** What one of the lab's calls costs at most, in US dollars: its prompt has at most 400 bytes. */
const DEAREST = (400 * PRICES.input + 200 * PRICES.output) / 1e6;

describe.concurrent("a queue", () => {
  test("without a worker is waited for, and the run says how to start one, which needs no more than that", async () => {
    await using lab = await queueLab({ give_up_after_s: 1 });
    const key = lab.spawned.env["OPENAI_API_KEY"];
    lab.spawned.env["OPENAI_API_KEY"] = undefined;
    const stopped = await lab.run("run", "config.json", "--queue", engine.url);
    expect(stopped.code, stopped.stderr).toBe(3);
    expect(stopped.stderr).toContain("no worker has taken the calls of");
    expect(stopped.stderr).toMatch(/Go on with: datagen resume \w+ --queue URL/);
    expect(stopped.stderr + stopped.stdout).not.toContain(PASSWORD);
    for (const file of lab.filesIn("data")) {
      expect((await readFile(lab.space.at(`data/${file}`))).includes(PASSWORD)).toBe(false);
    }
    expect(attemptsOf(lab)).toEqual([]);
    const [, command] = /start one with `datagen (.*?)`/.exec(stopped.stderr) ?? [];
    const words = command!.replace(engine.shown, engine.url).split(" ").slice(1);
    await using _ = await startWorker(words, { ...lab.spawned, env: { ...lab.spawned.env, OPENAI_API_KEY: key } });
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    await expectDone(lab);
  });

  test("is named by the command line or the environment, and never with batches", async () => {
    await using lab = await queueLab();
    const both = await lab.run("run", "config.json", "--queue", engine.url, "--batch");
    expect(both).toMatchObject({ code: 2, stderr: expect.stringContaining("--batch and --queue") });
    const wrong = await lab.run("run", "config.json", "--queue", "http://user:hidden-1@queue");
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("--queue is not the URL of a queue") });
    expect(wrong.stderr).not.toContain("hidden-1");
    lab.spawned.env["DATAGEN_QUEUE"] = undefined;
    const none = await lab.run("run", "config.json");
    expect(none).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Name it with --queue URL or DATAGEN_QUEUE"),
    });
    expect(lab.filesIn(".")).not.toContain("data");
  });

  test("takes the calls of several models, by the name of their servers", async () => {
    await using lab = await queueLab();
    const { executor: _, prices: __, ...config } = lab.config;
    await lab.space.write("config.json", config);
    await using worker = await workerOf(lab, "--server", "gpus");
    expect(worker.stderr).toContain("Taking jobs");
    const models = ["--model", "gpt-4o-mini", "--model", "gpt-4.1-mini"];
    const result = await lab.run("run", "config.json", "--server", "gpus", ...models);
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout.trim().split("\n")).toHaveLength(2);
    expect(lab.query("select distinct executor, calls_succeeded from runs")).toEqual([
      { executor: "queue", calls_succeeded: 2 },
    ]);
    expect(lab.query("select distinct model from runs")).toHaveLength(2);
    lab.expectSound();
  });

  test("that does not answer is waited for, and the run says so", async () => {
    await using own = await startEngine(ENGINES[0]!);
    await using lab = await queueLab({}, 2, { latency: 1_000 });
    lab.spawned.env["DATAGEN_QUEUE"] = own.url;
    await using worker = await workerOf(lab);
    await using run = lab.start("run", "config.json");
    while (lab.server.requests.length === 0) await sleep(20);
    await own.crash();
    await run.waitFor(/Warning: .*the queue \S+ does not answer; trying again/);
    // The worker looks less often than the run: an outage between two looks is none that it tells.
    await worker.waitFor(/does not answer; trying again/);
    expect(run.stderr).not.toContain(PASSWORD);
    await own.restartEmpty();
    const { code, stderr } = await run.done;
    expect(code, stderr).toBe(0);
    await worker.waitFor(/answers again/);
    await expectDone(lab);
  });

  test("gives back what no worker has begun when the run is interrupted, and resumes with nothing paid twice", async () => {
    await using lab = await queueLab({}, 4, { latency: 4_000 });
    await using _ = await workerOf(lab, "--concurrency", "2");
    await using run = lab.start("run", "config.json");
    while (lab.server.requests.length < 2 || attemptsOf(lab).length < 4) await sleep(20);
    run.kill("SIGINT");
    const { code, stderr } = await run.done;
    expect(code, stderr).toBe(130);
    const back = { outcome: "not_processed", decision: "retry", cost: 0, reserved: null, job_token: null };
    expect(attemptsOf(lab).filter(({ outcome }) => outcome !== "succeeded")).toEqual([back, back]);
    lab.expectSound();
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    expectChargedOnce(lab);
    await expectDone(lab);
  });

  test("keeps the results that come while the run's process is gone, and those that its workers still have", async () => {
    await using lab = await queueLab({}, 6, { latency: ({ index }) => (index < 3 ? 300 : 6_000) });
    await using _ = await workerOf(lab, "--concurrency", "6");
    await using run = lab.start("run", "config.json");
    while (lab.server.requests.length < 6) await sleep(20);
    run.kill();
    await run.done;
    while (lab.server.served.answers < 3) await sleep(20);
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.server.requests).toHaveLength(6);
    await expectDone(lab);
  });

  test("is left with --live, which says what becomes of the calls that are in it", async () => {
    await using lab = await queueLab({}, 2, { latency: ({ index }) => (index <= 2 ? 15_000 : 0) });
    await using _ = await workerOf(lab);
    await using run = lab.start("run", "config.json");
    while (lab.server.requests.length < 2) await sleep(20);
    run.kill();
    await run.done;
    lab.spawned.env["DATAGEN_QUEUE"] = undefined;
    const refused = await lab.run("resume", "latest");
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("sends its calls through a queue") });
    const resumed = await lab.run("resume", "latest", "--live");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain("2 of the calls of run");
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expect(lab.show().possibly_billed.requests).toBe(2);
    lab.expectSound();
  });

  test("refuses a second process that executes the run from a copy of its database", async () => {
    await using lab = await queueLab({}, 1, { latency: 12_000 });
    await using _ = await workerOf(lab);
    await using run = lab.start("run", "config.json");
    while (lab.server.requests.length < 1) await sleep(20);
    const source = new Database(lab.space.at(DATABASE));
    await source.backup(lab.space.at("copy.db"));
    source.close();
    // The copy is on another machine, where nobody knows the process.
    const copy = new Database(lab.space.at("copy.db"));
    copy.exec("delete from leases");
    copy.close();
    const second = await lab.run("resume", "latest", "--db", "copy.db");
    expect(second.code, second.stderr).toBe(2);
    expect(second.stderr).toContain("is executed by another process through the queue");
    expect((await run.done).code).toBe(0);
    expect(lab.server.requests).toHaveLength(1);
    await expectDone(lab);
  });
});

describe.concurrent("a worker that is lost", () => {
  test("leaves its attempts possibly billed; what it reports later is kept with its cost, and answers no call twice", async () => {
    const secret = "Nothing of this stays in the queue.";
    const agent_perspectives = [{ ...PLAIN, strategy: secret }];
    await using lab = await queueLab({ max_cost_usd: 5 * DEAREST, agent_perspectives }, 2);
    const { openaiUrl } = lab.server;
    await using lost = await strangeWorker(engine.url, openaiUrl);
    await using run = lab.start("run", "config.json");
    await lost.hasTaken(2);
    // It is heard once, so that it is known who has them.
    await sleep(2_500);
    await lost.vanish();
    await run.waitFor(/the run waits for a worker/);
    while (attemptsOf(lab).filter(({ outcome }) => outcome === "unanswered").length < 2) await sleep(50);
    const lostAttempts = () => lab.query("select outcome, message from attempts where message like '%was lost%'");
    while (lostAttempts().length < 2) await sleep(50);
    expect(lab.show().possibly_billed.requests).toBe(2);
    lab.expectSound();
    // One comes before its call is sent again: it is the answer. The other comes too late.
    const [first, second] = lost.jobs;
    const texts = lab.expected().tasks.map(({ responses }) => responses[0]!);
    const textOf = (job: typeof first) =>
      texts[lab.data.findIndex(({ input }) => JSON.stringify(job!.question).includes(input))]!;
    await lost.answer(first!, textOf(first));
    while (lab.show().run.calls.succeeded < 1) await sleep(50);
    lab.server.latency = 4_000;
    await using _ = await workerOf(lab);
    while (lab.server.requests.length < 1) await sleep(50);
    await lost.answer(second!, "too late");
    while (!attemptsOf(lab).some(({ outcome }) => outcome === "late")) await sleep(50);
    const { code, stderr } = await run.done;
    expect(code, stderr).toBe(0);
    expect(lab.server.requests).toHaveLength(1);
    expect(attemptsOf(lab)).toMatchObject([
      { outcome: "succeeded", reserved: null },
      { outcome: "late", decision: "retry", cost: 10 * 150 + 5 * 600, reserved: null },
      { outcome: "succeeded", reserved: null },
    ]);
    await expectDone(lab);
    const dump = await engine.dump();
    for (const text of [secret, "too late", ...texts]) expect(dump).not.toContain(text);
  });

  test("takes back what it reports after the end of the run", async () => {
    await using lab = await queueLab({}, 1, { latency: 3_000 });
    const { openaiUrl } = lab.server;
    const prompt = "the prompt of a run that has ended";
    await using coordinator = await openCoordinator(engine.url, openaiUrl);
    await using worker = await workerOf(lab);
    await coordinator.put(prompt);
    while (lab.server.requests.length < 1) await sleep(20);
    await coordinator.queue.remove([{ provider: "openai", server: openaiUrl }]);
    await coordinator.queue.close();
    expect(await engine.dump()).not.toContain(prompt);
    const [answer] = answerTo({ model: "gpt-4o-mini", prompt }).split("\n");
    while (lab.server.served.answers < 1) await sleep(20);
    worker.kill("SIGTERM");
    expect(await worker.done).toMatchObject({ code: 0, stdout: expect.stringContaining('"answered": 1') as string });
    expect(await engine.dump()).not.toContain(answer);
  });

  test("takes nothing back while the run can be resumed", async () => {
    await using lab = await queueLab({}, 1, { latency: 3_000 });
    const { openaiUrl } = lab.server;
    const same = { databaseId: "0123456789abcdef", runId: "stopped" };
    const first = await openCoordinator(engine.url, openaiUrl, same);
    await using worker = await workerOf(lab);
    const prompt = "the prompt of a run that was stopped";
    const token = await first.put(prompt);
    while (lab.server.requests.length < 1) await sleep(20);
    await first.queue.discard(token, { provider: "openai", server: openaiUrl });
    await first[Symbol.asyncDispose]();
    while (lab.server.served.answers < 1) await sleep(20);
    worker.kill("SIGTERM");
    expect(await worker.done).toMatchObject({ code: 0, stdout: expect.stringContaining('"answered": 1') as string });
    const [beginning] = answerTo({ model: "gpt-4o-mini", prompt }).split(" ");
    expect(await engine.dump()).toContain(beginning);
    await using second = await openCoordinator(engine.url, openaiUrl, same);
    expect(await second.result(token)).toMatchObject({ token });
  });

  test("three times is enough for a call", async () => {
    await using lab = await queueLab({}, 1);
    await using run = lab.start("run", "config.json");
    for (let times = 0; times < 3; times += 1) {
      await using worker = await strangeWorker(engine.url, lab.server.openaiUrl);
      await worker.hasTaken(1);
      await sleep(2_500);
    }
    const { code, stderr } = await run.done;
    expect(code, stderr).toBe(1);
    expect(lab.query("select state, failure from calls")).toEqual([{ state: "failed", failure: "worker_lost" }]);
    expect(attemptsOf(lab).map(({ outcome }) => outcome)).toEqual(["unanswered", "unanswered", "unanswered"]);
    expect(lab.show()).toMatchObject({ possibly_billed: { requests: 3 }, run: { calls: { failed: 1 } } });
    lab.expectSound();
  });
});

test("a worker that is somebody's cannot have anything stored that answers no job of the run", async () => {
  await using lab = await queueLab({ max_answer_mb: 1, max_attempts: 1 }, 3);
  await using hostile = await strangeWorker(engine.url, lab.server.openaiUrl);
  await using stranger = await openStranger(engine.url);
  await using run = lab.start("run", "config.json");
  await hostile.hasTaken(3);
  const [one, two, three] = hostile.jobs;
  const { replyTo } = one!;
  const results = stranger.queue(replyTo);
  const from = { worker: hostile.id, durationMs: 1 };
  const unknown = { ...from, token: newToken(replyTo), completion: completionOf("for nobody") };
  await hostile.report({ replyTo }, unknown);
  const fits = { v: 1, ...from, token: one!.token, completion: completionOf("stolen") };
  const wrong: [string, unknown][] = [
    [newToken(replyTo), { ...fits }],
    [newToken(replyTo), JSON.stringify(fits)],
    [one!.token, JSON.stringify({ ...fits, completion: { ...fits.completion, text: 7 } })],
    ["x".repeat(50), "\u001b[31mred"],
  ];
  for (const [jobId, data] of wrong) await results.add("result", data, { jobId });
  for (let at = 0; at < 50; at += 1) await results.add("result", "{}", { jobId: newToken(replyTo) });
  await run.waitFor(/Warning/);
  // An answer above the limit, a refusal with control characters, and an answer twice.
  await hostile.answer(two!, "long ".repeat(300_000));
  const details = { httpStatus: 400, requestId: "\u001b[2J", code: null, retryAfterMs: null, usage: null };
  await hostile.report(three!, {
    ...from,
    token: three!.token,
    error: {
      reason: "bad_request",
      message: `\u001b[31m${"no ".repeat(2_000)}`,
      details: { ...details, rateLimits: null, hasLeft: true, refusal: null },
    },
  });
  await hostile.answer(one!, "an answer");
  await hostile.answer(one!, "another answer");
  const { code, stderr } = await run.done;
  expect(code, stderr).toBe(1);
  expect(lab.query("select state, failure from calls order by id")).toHaveLength(3);
  expect(lab.query<{ text: string }>("select text from answers").every(({ text }) => text.endsWith("answer"))).toBe(
    true,
  );
  expect(lab.query("select 1 from answers")).toHaveLength(1);
  expect(stderr).not.toContain("\u001b");
  expect(stderr.match(/^Warning/gm)!.length).toBeLessThan(12);
  const messages = lab.query<{ message: string | null }>("select message from attempts where message is not null");
  expect(messages.every(({ message }) => !/\p{Cc}/u.test(message!) && message!.length < 3_000)).toBe(true);
  lab.expectSound();
  // As if the process had been killed before it emptied the queue.
  await putAnything(stranger, lab.server.openaiUrl, [{ id: newToken(replyTo), data: "left in the queue" }]);
  await results.add("result", "left in the queue", { jobId: newToken(replyTo) });
  expect((await lab.run("resume", "latest")).code).toBe(1);
  expect(await engine.dump()).not.toContain("left in the queue");
  await results.close();
});

test("a server has at most 16,384 jobs in flight, whatever anybody announces", () => {
  const gpus = { provider: "openai", server: "gpus" } as const;
  const told = {
    provider: gpus.provider,
    beat: 1,
    host: "gpu1",
    version: "0",
    inFlight: [],
    answered: 0,
    startedAt: 0,
  };
  const sightingOf = (concurrency: number, ...servers: string[]) => ({
    ...told,
    id: newWorkerId(),
    concurrency,
    servers,
  });
  const workers = [sightingOf(64, "gpus"), sightingOf(32, "gpus", "others"), sightingOf(1_000, "others")];
  expect(windowOf(workers, gpus)).toBe(2 * 96);
  expect(windowOf(workers, { ...gpus, provider: "together" })).toBe(0);
  const crowd = Array.from({ length: 2_000 }, () => sightingOf(MOST_JOBS_OF_WORKER, "gpus"));
  expect(windowOf(crowd, gpus)).toBe(16_384);
});

test("the lines of --help that name a queue work as typed", async () => {
  await using lab = await queueLab();
  await lab.space.write("my_study.json", lab.config);
  await using _ = await startWorker(["--base-url", lab.server.openaiUrl, "--server", "gpus"], lab.spawned);
  for (const command of ["run", "resume"]) {
    const help = await datagenInTurn([command, "--help"], { cwd: lab.space.path });
    const [, line] = /\$ datagen (.*--queue.*)/.exec(help.stdout) ?? [];
    const result = await lab.run(...line!.replace("redis://queue.example:6379", engine.url).trim().split(" "));
    expect(result.code, result.stderr).toBe(0);
  }
});
