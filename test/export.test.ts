import { createHash } from "node:crypto";
import { readdir, readFile, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { buffer } from "node:stream/consumers";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { renderers } from "../src/export/index.ts";
import type { AnswerRow } from "../src/store/answer-columns.ts";
import { exportRun, openStore, renderRun, type RunSummary } from "../src/index.ts";
import { ANSWER_COLUMN_MEANINGS, ANSWER_COLUMNS } from "../src/store/answer-columns.ts";
import {
  configFor,
  datagen,
  environmentFor,
  expectedDataset,
  openDatabase,
  promptOf,
  rows,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import type { Config, Expected, ExpectedTask, Perspective, Result, Row, Workspace } from "./support/harness.ts";
import { openLab } from "./support/lab.ts";
import { parseCsv } from "./support/readers.ts";
import { answerTo, startServer, usageFor } from "./support/server.ts";
import type { Asked, Fault, IncomingCall, LoopbackServer, Usage } from "./support/server.ts";

interface Dataset {
  task_type: string;
  agent_perspectives: Record<string, unknown>[];
  tasks: ExpectedTask[];
  metadata: Record<string, unknown> & { calls: Record<string, number>; run_id: string };
}

const BAD_REQUEST = { kind: "status", status: 400, message: "That will not do." } as const;
const [PLAIN, NOTED] = configFor().agent_perspectives as [Perspective, Perspective];

/** Runs a config over its inputs; without a server, on the offline provider. */
async function run(ws: Workspace, server: LoopbackServer | null, config: Config, data: Row[], args: string[] = []) {
  await ws.write("config.json", config);
  await ws.write("rows.json", data);
  const env = server ? environmentFor(server) : {};
  const whom = server ? [] : ["--provider", "offline"];
  return datagenInTurn(["run", "config.json", ...whom, ...args], { cwd: ws.path, env });
}

const exported = (ws: Workspace, ...args: string[]) => datagenInTurn(["export", "latest", ...args], { cwd: ws.path });
const datasetOf = (ws: Workspace, { stdout }: Result) => ws.json<Dataset>(stdout.trimEnd());
const datasets = (ws: Workspace) => readdir(ws.at("data/agents")).catch(() => []);
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as AnswerRow);
const isReading = (call: Asked, input: string) => call.prompt === promptOf(NOTED.reading ?? "", input);

/** Kills a run of 12 inputs when the server gets the request with this number. */
async function cutOff(ws: Workspace, server: LoopbackServer, at: number): Promise<void> {
  await ws.write("config.json", configFor({ concurrency: 6 }));
  await ws.write("rows.json", rows(12));
  const running = startDatagen(["run", "config.json"], { cwd: ws.path, env: environmentFor(server) });
  server.behave = ({ index }) => {
    if (index === at) running.kill();
    return undefined;
  };
  expect((await running.done).signal).toBe("SIGKILL");
}

/** The flat rows of a dataset in which nothing failed and nothing was cut off. */
function flatRows(id: string, config: Config, data: Row[], { tasks, calls }: Expected) {
  const references = config.add_references ? ["Reference"] : [];
  const conditions = [...references, ...config.agent_perspectives.map(({ condition }) => condition)];
  return tasks.flatMap(({ context, responses, preparations }, task) =>
    conditions.map((condition, perspective) => {
      const own = calls.filter((call) => call.task === task && call.perspective === perspective);
      const sum = (key: keyof Usage) => own.reduce((n, call) => n + usageFor(call.asked, call.answer ?? "")[key], 0);
      return {
        run_id: id,
        task,
        condition,
        replicate: 1,
        context,
        reference: data[task]!.reference ?? null,
        preparation: preparations[perspective] ?? null,
        response: responses[perspective] ?? null,
        failure: null,
        finish_reason: own.length > 0 ? "stop" : null,
        finish_reason_raw: own.length > 0 ? "stop" : null,
        prompt_tokens: sum("prompt"),
        completion_tokens: sum("completion"),
        cached_tokens: sum("cached"),
        reasoning_tokens: sum("reasoning"),
        run_name: null,
        model: "gpt-4o-mini",
        id: createHash("sha256").update(context).digest("hex").slice(0, 16),
        kind: conditions[perspective]!.split(":")[0]!,
        refusal: null,
        cost_usd: expect.any(Number) as number,
        latency_ms: own.length > 0 ? (expect.any(Number) as number) : null,
        origin_run: own.length > 0 ? id : null,
      };
    }),
  );
}

describe.concurrent("the documented JSON", () => {
  test("that a run writes is what an export writes", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const first = await run(ws, server, configFor({ add_references: true }), rows(3));
    const bytes = await ws.read(first.stdout.trimEnd());
    await exported(ws, "--output", "second.json");
    expect(await ws.read("second.json")).toBe(bytes);
  });

  test("is indented by two spaces, with the documented keys in their order", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ add_references: true });
    const result = await run(ws, server, config, rows(2), ["--name", "a name"]);
    const text = await ws.read(result.stdout.trimEnd());
    const dataset = JSON.parse(text) as Dataset;
    expect(text).toBe(`${JSON.stringify(dataset, null, 2)}\n`);
    expect(Object.keys(dataset)).toEqual([
      "task_type",
      "task_description",
      "add_references",
      "agent_perspectives",
      "tasks",
      "metadata",
    ]);
    expect(Object.keys(dataset.tasks[0]!)).toEqual(["context", "responses", "preparations"]);
    expect(Object.keys(dataset.agent_perspectives[0]!)).toEqual(["condition", "reading", "strategy"]);
    expect(Object.keys(dataset.metadata).slice(0, 8)).toEqual([
      "model_config",
      "api_provider",
      // Where it is not the provider's own.
      "base_url",
      "data_config",
      "generation_time",
      "token_usage",
      "api_calls",
      "estimated_tokens",
    ]);
    const { served } = server;
    const estimate = dataset.metadata["estimated_tokens"] as Record<string, number>;
    expect(dataset).toEqual({
      task_type: "translation",
      task_description: "German to English translation task",
      add_references: true,
      agent_perspectives: [{ condition: "Reference", reading: null, strategy: null }, ...config.agent_perspectives],
      tasks: expectedDataset(config, rows(2)).tasks,
      metadata: expect.objectContaining({
        model_config: config.model_config,
        api_provider: "openai",
        base_url: server.openaiUrl,
        data_config: config.data_config,
        generation_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/) as unknown,
        token_usage: {
          prompt_tokens: served.prompt,
          completion_tokens: served.completion,
          total_tokens: served.total,
          cached_tokens: served.cached,
          reasoning_tokens: served.reasoning,
          estimated: false,
        },
        api_calls: { total_calls: 12 },
        estimated_tokens: {
          estimated_prompt_tokens: expect.any(Number) as unknown,
          estimated_completion_tokens: expect.any(Number) as unknown,
          estimated_total_tokens: estimate["estimated_prompt_tokens"]! + estimate["estimated_completion_tokens"]!,
        },
        run_name: "a name",
      }) as unknown,
    });
  });

  test("holds every string as it was, in inputs, references, labels, instructions and answers", async () => {
    await using ws = await workspace();
    const odd = [
      "\ud800",
      "\ud801",
      "\udfff\ud83d end",
      "NUL \u0000 and more",
      "\u001b[2J\u001b]0;title\u0007 \u009b31m",
      "\ufeffBOM \ufffd \u2028\u2029 \u202e",
      '"quoted", \\ \r\n\ttabs ```fences``` $& $1 %s',
      "😀 e\u0301 \u00e9",
    ];
    const data = odd.map((text, i) => ({ input: text, reference: odd[(i + 1) % odd.length]! }));
    const agent_perspectives = [
      { condition: `Plain ${odd[3]}`, reading: null, strategy: `Translate ${odd[0]}${odd[4]}.` },
      { condition: `Notes ${odd[6]}`, reading: `Read ${odd[1]}.`, strategy: `Write ${odd[2]}.` },
    ];
    const config = configFor({ agent_perspectives, add_references: true });
    // Each input gets an answer of its own; the notes of some differ in a lone surrogate only.
    const answer = ({ prompt }: Asked) => {
      const at = odd.findIndex((text) => prompt.includes(`\`\`\`${text}\`\`\``));
      return `${odd[(at + 2 + odd.length) % odd.length]}${at}`;
    };
    await using server = await startServer({ behave: (call): Fault => ({ kind: "text", text: answer(call) }) });
    const result = await run(ws, server, config, data);
    const dataset = await datasetOf(ws, result);
    const expected = expectedDataset(config, data, answer);
    expect(result.code).toBe(0);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(dataset.agent_perspectives.slice(1)).toEqual(agent_perspectives);

    const lines = (await exported(ws, "--format", "jsonl", "--output", "-")).stdout.trimEnd().split("\n");
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      parsed.map(({ context, preparation, response, reference, condition }) => [
        context,
        preparation,
        response,
        reference,
        condition,
      ]),
    ).toEqual(
      expected.tasks.flatMap(({ context, preparations, responses }, task) =>
        ["Reference", agent_perspectives[0]!.condition, agent_perspectives[1]!.condition].map((condition, i) => [
          context,
          preparations[i],
          responses[i],
          data[task]!.reference,
          condition,
        ]),
      ),
    );
  });
});

describe.concurrent("a row for each task and perspective", () => {
  const data = [...rows(3), { input: 'Sie rief: "Halt, hier!"\r\nUnd schwieg.\n' }, { input: "Ohne \r allein" }];
  const config = configFor({
    add_references: true,
    agent_perspectives: [{ ...PLAIN, condition: 'Plain, "so to say"' }, NOTED],
  });

  test("stands in JSON Lines, with tokens and finish reason", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await run(ws, server, config, data, ["--no-export"]);
    const result = await exported(ws, "--format", "jsonl");
    expect(result.stdout).toMatch(/^data\/agents\/translation_gpt_4o_mini_\d{8}_\d{6}\.jsonl\n$/);
    const text = await ws.read(result.stdout.trimEnd());
    const [id] = runIds(ws);
    const lines = linesOf(text);
    expect(lines).toEqual(flatRows(id!, config, data, expectedDataset(config, data)));
    for (const line of lines) expect(Object.keys(line)).toEqual(ANSWER_COLUMNS);
    expect(text).toBe(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  });

  test("stands in CSV, with tokens and finish reason", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await run(ws, server, config, data, ["--no-export"]);
    const result = await exported(ws, "--format", "csv");
    expect(result.stdout).toMatch(/\.csv\n$/);
    const [header, ...lines] = parseCsv(await ws.read(result.stdout.trimEnd()));
    expect(header).toEqual(ANSWER_COLUMNS);
    const { stdout } = await exported(ws, "--format", "jsonl", "--output", "-");
    expect(lines).toEqual(linesOf(stdout).map((row) => Object.values(row).map((value) => value?.toString() ?? null)));
  });

  test("says why there is no response, and what was cut off", async () => {
    await using ws = await workspace();
    const [one, two, three] = rows(3).map(({ input }) => input) as [string, string, string];
    await using server = await startServer({
      behave(call) {
        if (isReading(call, one) || call.prompt === promptOf(PLAIN.strategy, two)) return BAD_REQUEST;
        if (isReading(call, two)) return { kind: "empty" };
        return call.prompt === promptOf(PLAIN.strategy, three) ? { kind: "length" } : undefined;
      },
    });
    const two_perspectives = configFor({ agent_perspectives: [PLAIN, NOTED] });
    await run(ws, server, two_perspectives, rows(3), ["--no-export"]);
    const result = await exported(ws, "--format", "jsonl", "--output", "-");
    const lines = result.stdout.trimEnd().split("\n");
    const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(told.map(({ failure, finish_reason, response }) => [failure, finish_reason, response === null])).toEqual([
      [null, "stop", false],
      ["reading: bad_request", null, true],
      ["bad_request", null, true],
      [null, "stop", false],
      [null, "length", false],
      [null, "stop", false],
    ]);
    expect(told[1]).toMatchObject({ preparation: null, prompt_tokens: 0, completion_tokens: 0 });
    expect(result.stderr).toMatch(/Warning: 4 calls failed/);
  });
});

describe.concurrent("a row of JSON Lines", () => {
  test("says what the run paid for it, how long that took, and which run the answer comes from", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await run(ws, server, configFor(), rows(3), ["--no-export", "--name", "first"]);
    const one = linesOf((await exported(ws, "--format", "jsonl", "--output", "-")).stdout);
    await run(ws, server, configFor(), rows(4), ["--no-export"]);
    const two = linesOf((await exported(ws, "--format", "jsonl", "--output", "-")).stdout);
    const [latest, first] = JSON.parse(
      (await datagenInTurn(["runs", "list", "--json"], { cwd: ws.path })).stdout,
    ) as RunSummary[];
    const paid = (lines: AnswerRow[]) => lines.reduce((sum, { cost_usd: cost }) => sum + Number(cost), 0);
    expect(paid(one)).toBeGreaterThan(0);
    expect(paid(one)).toBeCloseTo(first!.cost_usd!, 9);
    expect(paid(two)).toBeCloseTo(latest!.cost_usd!, 9);
    for (const row of one) expect(row).toMatchObject({ run_name: "first", origin_run: first!.id });
    for (const row of one) expect(row.latency_ms).toBeGreaterThan(0);
    for (const row of two) {
      expect(row).toMatchObject(
        row.task < 3
          ? { cost_usd: 0, latency_ms: null, origin_run: first!.id, run_name: null }
          : { cost_usd: expect.any(Number) as number, origin_run: latest!.id },
      );
    }
    await datagenInTurn(["runs", "delete", first!.id, "--yes"], { cwd: ws.path });
    const [row] = linesOf((await exported(ws, "--format", "jsonl", "--output", "-")).stdout);
    expect(row).toMatchObject({ origin_run: null, response: two[0]!.response });
  });

  test("has the words of a refusal, and no cost where the price is unknown", async () => {
    await using ws = await workspace();
    const [one] = rows(1) as [Row];
    await using server = await startServer({
      behave: (call) => (isReading(call, one.input) ? { kind: "refusal" } : undefined),
    });
    const config = configFor({ agent_perspectives: [PLAIN, NOTED], model_config: { model_name: "nobody-knows" } });
    await run(ws, server, config, [one], ["--no-export", "--provider", "openai"]);
    const lines = linesOf((await exported(ws, "--format", "jsonl", "--output", "-")).stdout);
    expect(lines).toMatchObject([
      { failure: null, refusal: null, cost_usd: null, model: "nobody-knows" },
      {
        failure: "reading: refusal",
        refusal: expect.stringMatching(/^(?!the model refused)./) as string,
        origin_run: null,
      },
    ]);
  });

  test("of an imported run has its origin, and no cost that nobody knows", async () => {
    await using ws = await workspace();
    await run(ws, null, configFor(), rows(2), ["--output", "set.json"]);
    await using other = await workspace();
    await other.write("set.json", await ws.read("set.json"));
    const { stdout } = await datagenInTurn(["import", "set.json"], { cwd: other.path });
    const lines = linesOf((await exported(other, "--format", "jsonl", "--output", "-")).stdout);
    for (const row of lines) expect(row).toMatchObject({ cost_usd: null, latency_ms: null, origin_run: stdout.trim() });
  });

  test("is explained in docs/datasets.md, name by name", async () => {
    const docs = await readFile(join(import.meta.dirname, "../docs/datasets.md"), "utf8");
    const section = docs.split(/^## /m).find((part) => part.startsWith("Rows of JSON Lines and CSV")) ?? "";
    const found = [...section.matchAll(/^\| `(\w+)` +\| (.*?) +\|$/gm)].map(([, name, says]) => [name, says]);
    expect(found).toEqual(Object.entries(ANSWER_COLUMN_MEANINGS));
  });
});

describe.concurrent("an export of several runs", () => {
  /** Two runs, the second with a failed call. */
  async function two() {
    const ws = await workspace();
    await run(ws, null, configFor({ add_references: true }), rows(3), ["--no-export"]);
    await run(ws, null, configFor({ replicates: 2 }), rows(2), ["--no-export", "--name", "second"]);
    const [first, second] = runIds(ws) as [string, string];
    const alone = async (id: string, format: string) =>
      (await datagenInTurn(["export", id, "--format", format, "--output", "-"], { cwd: ws.path })).stdout;
    const together = (...args: string[]) => datagenInTurn(["export", first, second, ...args], { cwd: ws.path });
    return { ws, first, second, alone, together, [Symbol.asyncDispose]: () => ws[Symbol.asyncDispose]() };
  }

  test("has their rows one after the other, in one file", async () => {
    await using lab = await two();
    const { ws, first, second, alone } = lab;
    const lines = await lab.together("--format", "jsonl", "--output", "-");
    expect(lines).toMatchObject({ code: 0, stderr: "" });
    expect(lines.stdout).toBe((await alone(first, "jsonl")) + (await alone(second, "jsonl")));
    const table = await lab.together("--output", "both.csv");
    expect(table).toMatchObject({ code: 0, stdout: "both.csv\n", stderr: "" });
    const withoutHeader = (await alone(second, "csv")).slice(`${ANSWER_COLUMNS.join(",")}\r\n`.length);
    expect(await ws.read("both.csv")).toBe((await alone(first, "csv")) + withoutHeader);
    const json = await lab.together("--format", "csv", "--json");
    const { runs, dataset } = JSON.parse(json.stdout) as { runs: RunSummary[]; dataset: string };
    expect(runs.map(({ id }) => id)).toEqual([first, second]);
    expect(dataset).toMatch(new RegExp(`^data/agents/translation_\\S+_${second}\\.csv$`));
    // A second time it replaces itself, and nothing else.
    expect((await lab.together("--format", "csv")).stdout.trim()).toBe(dataset);
    expect(await datasets(ws)).toEqual([basename(dataset)]);
  });

  test("is refused as json, with a run twice, and with one that is not done", async () => {
    await using lab = await two();
    const { ws, first, second } = lab;
    const refused = async (message: RegExp, ...args: string[]) => {
      const { code, stdout, stderr } = await datagenInTurn(["export", ...args], { cwd: ws.path });
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(message);
    };
    await refused(/a dataset in json has one run, and 2 are given\n.*--format jsonl or --format csv/, first, second);
    await refused(/run \w+ is given twice/, first, second, "latest", "--format", "csv");
    await refused(/there is no run "zzzz"/, first, "zzzz", "--format", "csv");
    const database = new Database(ws.at("data/datagen.db"));
    database.exec(`update calls set state = 'pending', answer_id = null where id = (select max(id) from calls);
      update runs set calls_succeeded = calls_succeeded - 1 where id = 2`);
    database.close();
    await refused(new RegExp(`1 of \\d+ calls of run ${second} are pending`), first, second, "--format", "csv");
    expect(await datasets(ws)).toEqual([]);
    const partial = await lab.together("--format", "csv", "--allow-partial", "--output", "-");
    expect(partial.code).toBe(0);
    expect(partial.stderr).toMatch(/^Warning: 1 call is pending/);
  });

  test("names the run in a warning about its cells", async () => {
    await using lab = await two();
    await run(lab.ws, null, configFor(), [{ input: "half \ud83d" }], ["--no-export"]);
    const { stderr } = await datagenInTurn(["export", lab.first, "latest", "--format", "csv", "--output", "-"], {
      cwd: lab.ws.path,
    });
    const [, , third] = runIds(lab.ws);
    expect(stderr).toMatch(new RegExp(`^Warning: run ${third}: \\d+ cells hold a lone surrogate`));
  });
});

describe.concurrent("export", () => {
  test("takes a reader that closes the pipe early as no error", async () => {
    await using ws = await workspace();
    await run(ws, null, configFor(), rows(400), ["--output", "set.json"]);
    await using running = startDatagen(["export", "latest", "-o", "-"], { cwd: ws.path });
    running.child.stdout!.once("data", () => running.child.stdout!.destroy());
    expect(await running.done).toMatchObject({ code: 0, stderr: "" });
    // Far less than all of it, so that it was really cut off.
    expect(running.stdout.length).toBeLessThan((await ws.read("set.json")).length / 2);
  });

  test("of a run with pending calls is refused, and allowed under --allow-partial", async () => {
    await using ws = await workspace();
    await using server = await startServer({ latency: ({ index }) => (index * 7) % 15 });
    await cutOff(ws, server, 40);
    const refused = await exported(ws);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/\d+ of 72 calls of run [0-9a-z]{8} are pending\n.*--allow-partial/);
    expect(await datasets(ws)).toEqual([]);
    expect(await exported(ws, "-o", "-")).toMatchObject({ code: 2, stdout: "" });

    const done = succeeded(ws);
    const expected = expectedDataset(configFor(), rows(12));
    const cells = new Map(
      expected.calls.map((call) => [call.asked.prompt, `${call.task}/${call.perspective}/${call.step}`]),
    );
    const there = (asked: Asked) => (done.has(cells.get(asked.prompt)!) ? answerTo(asked) : null);
    const allowed = await exported(ws, "--allow-partial");
    const dataset = await datasetOf(ws, allowed);
    expect(allowed.code).toBe(0);
    expect(dataset.tasks).toEqual(expectedDataset(configFor(), rows(12), there).tasks);
    expect(dataset.metadata.calls).toMatchObject({
      total: 72,
      succeeded: done.size,
      failed: 0,
      pending: 72 - done.size,
    });
    expect(done.size).toBeGreaterThan(0);
    expect(allowed.stderr).toMatch(new RegExp(`Warning: ${72 - done.size} calls are pending`));

    const lines = (await exported(ws, "--allow-partial", "--format", "jsonl", "-o", "-")).stdout.trimEnd().split("\n");
    const failures = lines.map((line) => JSON.parse(line) as { response: string | null; failure: string | null });
    expect(failures.map(({ response, failure }) => [response === null, failure])).toEqual(
      dataset.tasks.flatMap(({ responses }) =>
        responses.map((response) => (response === null ? [true, "pending"] : [false, null])),
      ),
    );
  });

  test("of a run that goes on is of one moment", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("config.json", configFor());
    await ws.write("rows.json", rows(400));
    const env = environmentFor(server);
    await using running = startDatagen(["run", "config.json", "--no-export"], { cwd: ws.path, env });
    await vi.waitFor(() => expect(server.served.answers).toBeGreaterThan(20), { timeout: 30_000, interval: 5 });
    for (let i = 0; i < 3; i++) {
      const result = await exported(ws, "--allow-partial", "--output", "-");
      const { tasks, metadata } = JSON.parse(result.stdout) as Dataset;
      const texts = tasks.flatMap(({ responses, preparations }) => [...responses, ...preparations]);
      expect(texts.filter((text) => text !== null).length).toBe(metadata.calls["succeeded"]);
    }
    running.kill();
  });

  test("finds a run by the beginning of its id", async () => {
    await using ws = await workspace();
    await run(ws, null, configFor(), rows(1), ["--output", "one.json"]);
    await run(ws, null, configFor(), rows(2), ["--output", "two.json"]);
    const [one] = runIds(ws);
    const result = await datagenInTurn(["export", one!.slice(0, 6), "-o", "-"], { cwd: ws.path });
    expect(result.stdout).toBe(await ws.read("one.json"));
  });

  test("leaves a dataset that exists as it is when it is refused, and no part of a file behind", async () => {
    await using ws = await workspace();
    await using server = await startServer({ latency: 5 });
    const old = `{"agent_perspectives": [], "tasks": []}`;
    await ws.write("out/set.json", old);
    await cutOff(ws, server, 10);
    expect((await exported(ws, "--output", "out/set.json")).code).toBe(2);
    expect(await ws.read("out/set.json")).toBe(old);
    expect((await exported(ws, "--output", "out/set.json", "--allow-partial")).code).toBe(0);
    expect((await ws.json<Dataset>("out/set.json")).tasks.length).toBe(12);
    expect(await readdir(ws.at("out"))).toEqual(["set.json"]);
  });
});

describe.concurrent("a dataset's name", () => {
  test("is that of the run and never taken twice, also by runs of one second", async () => {
    await using ws = await workspace();
    await ws.write("config.json", configFor());
    await ws.write("rows.json", rows(1));
    const results = await Promise.all(
      Array.from({ length: 4 }, () => datagen(["run", "config.json", "--provider", "offline"], { cwd: ws.path })),
    );
    const ids = await Promise.all(results.map(async (result) => (await datasetOf(ws, result)).metadata.run_id));
    expect(new Set(ids).size).toBe(4);
    expect(await readdir(ws.at("data/agents"))).toEqual(
      results.map(({ stdout }) => stdout.trimEnd().slice(12)).toSorted(),
    );
    expect(new Set(results.map(({ stdout }) => stdout)).size).toBe(4);
  });

  test("has the run's id where a file has that name", async () => {
    await using ws = await workspace();
    const now = Date.now();
    const names = Array.from({ length: 30 }, (_, second) => {
      const stamp = new Date(now + second * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "_");
      return `translation_gpt_4o_mini_${stamp}`;
    });
    await Promise.all(names.map((name) => ws.write(`data/agents/${name}.json`, "kept")));
    const result = await run(ws, null, configFor(), rows(1));
    const [id] = runIds(ws);
    const [, stem] = /^data\/agents\/(.*)_[0-9a-z]{8}\.json\n$/.exec(result.stdout)!;
    expect(names).toContain(stem);
    expect(result.stdout).toContain(`${stem}_${id}.json`);
    expect(await Promise.all(names.map((name) => ws.read(`data/agents/${name}.json`)))).toEqual(
      names.map(() => "kept"),
    );
  });

  test.for([
    { what: "steps out of it", task_type: "../../x", model_name: "../../../y" },
    { what: "slashes", task_type: "a/b", model_name: "c/d-e" },
    { what: "leading dots", task_type: ".hidden", model_name: "..model" },
    { what: "dots alone", task_type: "..", model_name: "." },
    { what: "absolute paths", task_type: "/etc/passwd", model_name: "C:\\con" },
    { what: "300 letters", task_type: "t".repeat(300), model_name: "m".repeat(300) },
    { what: "300 letters of three bytes", task_type: "文".repeat(300), model_name: "字".repeat(300) },
    { what: "300 letters of two code units", task_type: "😀".repeat(300), model_name: "x𝒜".repeat(300) },
    { what: "control characters", task_type: "line\nbreak\u0000", model_name: "\u001b[31m\ud800" },
  ])("stays inside the folder for names with $what", async ({ task_type, model_name }) => {
    await using ws = await workspace();
    await ws.write("a/b/c/config.json", configFor({ task_type, model_config: { model_name } }));
    await ws.write("a/b/c/rows.json", rows(1));
    const result = await datagenInTurn(["run", "config.json", "--provider", "offline"], { cwd: ws.at("a/b/c") });
    expect(result.code).toBe(0);
    const [name, ...others] = await readdir(ws.at("a/b/c/data/agents"));
    expect(others).toEqual([]);
    expect(name).toMatch(/^[^.][^/]*_\d{8}_\d{6}\.json$/);
    expect(name).not.toContain("\ufffd");
    expect(result.stdout).toBe(`data/agents/${name}\n`);
    const dataset = await ws.json<Dataset>(`a/b/c/data/agents/${name}`);
    expect(dataset.task_type).toBe(task_type);
    expect(dataset.metadata["model_config"]).toMatchObject({ model_name });
    expect((await readdir(ws.path, { recursive: true })).filter((path) => /json/.test(path)).toSorted()).toEqual([
      "a/b/c/config.json",
      `a/b/c/data/agents/${name}`,
      "a/b/c/rows.json",
    ]);
  });
});

describe.concurrent("an output that cannot be written", () => {
  test("is refused with exit code 2 and its name", async () => {
    await using ws = await workspace();
    await run(ws, null, configFor(), rows(1), ["--no-export"]);
    await ws.write("file", "kept");
    await symlink("loop", ws.at("loop"));
    for (const output of ["file/set.json", "", "n".repeat(300), "loop/set.json"]) {
      const result = await exported(ws, "--output", output);
      expect({ output, code: result.code, stdout: result.stdout }).toEqual({ output, code: 2, stdout: "" });
      expect(result.stderr).toMatch(/^Error: [^\n]+\n[^\n]+\n$/);
      expect(result.stderr).toContain(output);
    }
    expect(await ws.read("file")).toBe("kept");
    expect((await readdir(ws.path)).toSorted()).toEqual(["config.json", "data", "file", "loop", "rows.json"]);
  });

  test("is refused if the default folder is not a folder", async () => {
    await using ws = await workspace();
    await run(ws, null, configFor(), rows(1), ["--no-export"]);
    await ws.write("data/agents", "a file");
    const result = await exported(ws);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(/^Error: the folder data\/agents cannot be written/);
  });

  test("leaves the answers in the database, and can be mended by another export", async () => {
    await using ws = await workspace();
    await using server = await startServer({ latency: 20 });
    await ws.write("config.json", configFor());
    await ws.write("rows.json", rows(2));
    const running = startDatagen(["run", "config.json"], { cwd: ws.path, env: environmentFor(server) });
    await running.waitFor(/Estimate/);
    await vi.waitFor(() => expect(server.requests.length).toBeGreaterThan(0), { timeout: 30_000, interval: 5 });
    await rm(ws.at("data/agents"), { recursive: true, force: true });
    await ws.write("data/agents", "a file, by now");
    const result = await running.done;
    expect(result).toMatchObject({ code: 2, stdout: "" });
    const mended = await exported(ws, "--output", "set.json");
    expect((await datasetOf(ws, mended)).tasks).toEqual(expectedDataset(configFor(), rows(2)).tasks);
  });
});

/** The ids of all runs, the oldest first. */
function runIds(ws: Workspace): string[] {
  const db = openDatabase(ws.at("data/datagen.db"));
  try {
    return db.prepare<[], string>("select public_id from runs order by id").pluck().all();
  } finally {
    db.close();
  }
}

/** The calls that have an answer, as `task/perspective/step`. */
function succeeded(ws: Workspace): Set<string> {
  const db = openDatabase(ws.at("data/datagen.db"));
  try {
    const cells = db.prepare<[], string>(
      `select t.position || '/' || p.position || '/' || c.step from calls c
         join tasks t on t.id = c.task_id join perspectives p on p.id = c.perspective_id where c.state = 'succeeded'`,
    );
    return new Set(cells.pluck().all());
  } finally {
    db.close();
  }
}

describe("for other programs, an export", () => {
  const warningsIn = ({ stderr }: Result) => stderr.split("\n").filter((line) => line.startsWith("Warning: "));
  const read = async <T = Dataset>(result: Result) => JSON.parse(result.stdout) as T;
  const toStdout = (ws: Workspace, ...args: string[]) => exported(ws, "--output", "-", ...args);

  test("with --complete-only leaves out inputs that lack a response, the reference too, and says how many", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const [a, b, c, d] = rows(4) as [Row, Row, Row, Row];
    const { reference: _, ...bare } = c;
    server.behave = ({ prompt }) => (prompt.includes(b.input) ? BAD_REQUEST : undefined);
    const config = configFor({ agent_perspectives: [PLAIN], add_references: true });
    await run(ws, server, config, [a, b, bare, d]);
    const result = await toStdout(ws, "--complete-only");
    const { tasks } = await read(result);
    expect(tasks.map(({ context }) => context)).toEqual([a.input, d.input]);
    expect(warningsIn(result)).toEqual(["Warning: 2 of 4 inputs are left out, because a response is missing"]);
    const lines = (await toStdout(ws, "--complete-only", "--format", "jsonl")).stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect((await read(await toStdout(ws))).tasks).toHaveLength(4);
  });

  test("with --replicate has one sample of each perspective, as if the run had no others", async () => {
    await using ws = await workspace();
    await run(ws, null, configFor({ replicates: 3 }), rows(2));
    const whole = await read(await toStdout(ws));
    for (const [index, number] of ["1", "2", "3"].entries()) {
      const one = await read(await toStdout(ws, "--replicate", number));
      expect(one.agent_perspectives).toEqual(configFor().agent_perspectives);
      const every = (list: (string | null)[]) => list.filter((_, at) => at % 3 === index);
      expect(one.tasks).toEqual(
        whole.tasks.map(({ context, responses, preparations }) => ({
          context,
          responses: every(responses),
          preparations: every(preparations),
        })),
      );
      expect(one.metadata["replicate"]).toBe(index + 1);
    }
    const refused = await toStdout(ws, "--replicate", "4");
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/has no replicate 4; it has the replicates 1 to 3/);
  });

  test("with --ascii has escapes for all else, and the same content", async () => {
    await using ws = await workspace();
    const data = [{ input: "Grüße, 日本 😀 \u007f \u2028" }, ...rows(2)];
    await run(ws, null, configFor(), data);
    for (const format of ["json", "jsonl"]) {
      const [plain, escaped] = [
        await toStdout(ws, "--format", format),
        await toStdout(ws, "--format", format, "--ascii"),
      ];
      // oxlint-disable-next-line no-control-regex -- all of ASCII
      expect(escaped.stdout).toMatch(/^[\u0000-\u007f]*$/);
      expect(escaped.stdout).toContain(String.raw`Gr\u00fc\u00dfe, \u65e5\u672c \ud83d\ude00`);
      const parsed = ({ stdout }: Result) =>
        format === "json"
          ? JSON.parse(stdout)
          : stdout
              .trimEnd()
              .split("\n")
              .map((line) => JSON.parse(line) as unknown);
      expect(parsed(escaped)).toEqual(parsed(plain));
    }
    const refused = await exported(ws, "--ascii", "--output", "x.csv");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("--ascii is for JSON and JSON Lines");
  });

  test("with --csv-safe has no formulas, no NUL, a byte order mark, and names cells that are too long", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const formulas = [
      '=HYPERLINK("http://x","y")',
      "+1",
      "-1",
      "@SUM(A1)",
      "\tx",
      "\rx",
      "a=1",
      "'=1",
      "nul\u0000nul",
      "＝1",
    ];
    const data = formulas.map((input) => ({ input, reference: "r".repeat(input === "+1" ? 32_768 : 32_767) }));
    await run(ws, server, configFor({ agent_perspectives: [PLAIN] }), data);
    const plain = await toStdout(ws, "--format", "csv");
    expect(plain.stdout.startsWith("run_id,")).toBe(true);
    expect(
      parseCsv(plain.stdout)
        .slice(1)
        .map((line) => line[4]),
    ).toEqual(formulas);
    expect(warningsIn(plain)).toEqual([
      expect.stringMatching(/^Warning: 1 cell holds a NUL, .* the context of task 8$/),
    ]);
    const safe = await toStdout(ws, "--format", "csv", "--csv-safe");
    expect(safe.stdout.startsWith("\ufeffrun_id,")).toBe(true);
    const guarded = [
      '\'=HYPERLINK("http://x","y")',
      "'+1",
      "'-1",
      "'@SUM(A1)",
      "'\tx",
      "'\rx",
      "a=1",
      "'=1",
      "nul\ufffdnul",
      "'＝1",
    ];
    expect(
      parseCsv(safe.stdout.slice(1))
        .slice(1)
        .map((line) => line[4]),
    ).toEqual(guarded);
    expect(warningsIn(safe)).toEqual([
      "Warning: 1 cell holds a NUL, written as U+FFFD: the context of task 8",
      "Warning: 1 cell holds more than 32,767 characters, of which a spreadsheet shows only the first: the reference of task 1",
    ]);
    const refused = await toStdout(ws, "--csv-safe");
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain("--csv-safe is for CSV, and the dataset is json");
  });
});

test("a format may write bytes that are no text, in their place among pieces of text", async () => {
  await using ws = await workspace();
  await run(ws, null, configFor(), rows(2));
  const { json } = renderers;
  onTestFinished(() => void (renderers.json = json));
  const bytes = Buffer.from([0x00, 0xff, 0x80]);
  renderers.json = { ...json, load: () => Promise.resolve(() => ["head", bytes, bytes, "tail"]) };
  using store = openStore(ws.at("data/datagen.db"));
  const whole = Buffer.concat([Buffer.from("head"), bytes, bytes, Buffer.from("tail")]);
  expect(await buffer(renderRun(store, "latest"))).toEqual(whole);
  expect(await readFile(await exportRun(store, "latest", { output: ws.at("out.json") }))).toEqual(whole);
});

/** Longer than a message of a failure, and with more than one line. */
const REFUSAL = `I'm sorry.\n\n"No", said I: ${"because of this and that, ".repeat(80)}so I cannot help.`;

describe("the words of a refusal", () => {
  const refuse = (part: string) => (call: IncomingCall) =>
    call.prompt.includes(part) ? ({ kind: "refusal", text: REFUSAL } as const) : undefined;

  test.for(["strategy", "reading"] as const)(
    "of a %s are in jsonl and csv, whole, beside the failure",
    async (step) => {
      const perspectives = [
        { condition: "Noted", reading: "Take notes of this.", strategy: "Translate the notes." },
        { condition: "Plain", reading: null, strategy: "Translate the text." },
      ];
      const behave = refuse(step === "reading" ? "Take notes of this." : "Translate the text.");
      await using lab = await openLab({
        config: { agent_perspectives: perspectives },
        data: rows(1),
        server: { behave },
      });
      const done = await lab.datagen("run", "config.json", "--no-export");
      expect(done.code, done.stderr).toBe(1);
      const refused = step === "reading" ? "Noted" : "Plain";
      const { stdout } = await lab.datagen("export", "latest", "--format", "jsonl", "--output", "-");
      const found = stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as AnswerRow);
      for (const row of found) {
        const isRefused = row["condition"] === refused;
        const failure = step === "reading" ? "reading: refusal" : "refusal";
        expect(row).toMatchObject({ failure: isRefused ? failure : null, refusal: isRefused ? REFUSAL : null });
      }
      const csv = await lab.datagen("export", "latest", "--format", "csv", "--output", "-");
      expect(csv.stdout).toContain(`,"${REFUSAL.replaceAll('"', '""')}",`);
    },
  );
});
