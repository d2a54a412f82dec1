import { readdir } from "node:fs/promises";
import { basename } from "node:path";
import { describe, expect, test, vi } from "vitest";
import {
  configFor,
  environmentFor,
  expectedDataset,
  openDatabase,
  promptOf,
  rows,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import type { Config, ExpectedTask, Perspective, Result, Row, Workspace } from "./support/harness.ts";
import { answerTo, promptHashOf, startServer } from "./support/server.ts";
import type { Asked, IncomingCall, LoopbackServer } from "./support/server.ts";

interface Dataset {
  agent_perspectives: Record<string, unknown>[];
  tasks: ExpectedTask[];
  metadata: {
    model_config: Record<string, unknown>;
    api_provider: string;
    data_config: Record<string, unknown>;
    token_usage: Record<string, unknown>;
    api_calls: { total_calls: number };
    calls: Record<string, number>;
    run_name: string | null;
  };
}

const LLAMA = "meta-llama/Llama-3.3-70B-Instruct-Turbo";
const [PLAIN, NOTED, HASTY, ROSY] = configFor().agent_perspectives as [
  Perspective,
  Perspective,
  Perspective,
  Perspective,
];
const BAD_REQUEST = { kind: "status", status: 400, message: "That will not do." } as const;

/** Runs `config.json` over `rows.json`. */
async function run(
  ws: Workspace,
  server: LoopbackServer,
  config: Config,
  data: Row[],
  args: string[] = [],
): Promise<Result> {
  await write(ws, config, data);
  return datagenInTurn(["run", "config.json", ...args], { cwd: ws.path, env: environmentFor(server) });
}

async function write(ws: Workspace, config: Config, data: Row[]): Promise<void> {
  await ws.write("config.json", config);
  await ws.write("rows.json", data);
}

const datasets = (ws: Workspace) => readdir(ws.at("data/agents")).catch(() => []);
const datasetOf = (ws: Workspace, { stdout }: Result) => ws.json<Dataset>(stdout.trimEnd());
const command = (ws: Workspace, ...args: string[]) => datagenInTurn(args, { cwd: ws.path });

async function jsonOf<T>(ws: Workspace, ...args: string[]): Promise<T> {
  return JSON.parse((await command(ws, ...args, "--json")).stdout) as T;
}

const soon = (claim: () => void) => vi.waitFor(claim, { timeout: 30_000, interval: 5 });

/** Whether a call is the one that works on a text by an instruction. */
const isFor = (instruction: string | null, text: string) => {
  const prompt = promptOf(instruction ?? "", text);
  return (call: Asked) => call.prompt === prompt;
};

const tokensOf = ({ served }: LoopbackServer) => ({
  prompt_tokens: served.prompt,
  completion_tokens: served.completion,
  total_tokens: served.total,
  cached_tokens: served.cached,
  reasoning_tokens: served.reasoning,
});

/** Answers come in another order than that of their requests. */
const shuffled = ({ index }: IncomingCall) => (index * 37) % 60;

describe.concurrent("a dataset", () => {
  test.for([
    { provider: "openai", model_name: "gpt-4o-mini" },
    { provider: "together", model_name: LLAMA },
  ])("from $provider has every response and preparation in its own place", async ({ provider, model_name }) => {
    await using ws = await workspace();
    await using server = await startServer({ latency: shuffled });
    const config = configFor({ model_config: { model_name } });
    // Inputs may repeat: each occurrence is a task of its own.
    const data = [...rows(50), ...rows(5)];
    const result = await run(ws, server, config, data);
    const expected = expectedDataset(config, data);
    const dataset = await datasetOf(ws, result);

    expect(result.code).toBe(0);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(server.requests.map(({ promptHash }) => promptHash).toSorted()).toEqual(
      expected.calls.map(({ asked }) => promptHashOf(asked.prompt)).toSorted(),
    );
    expect(new Set(server.requests.map((request) => request.provider))).toEqual(new Set([provider]));
    expect(dataset.metadata.api_provider).toBe(provider);
    expect(dataset.metadata.api_calls.total_calls).toBe(server.requests.length);
    expect(dataset.metadata.token_usage).toEqual({ ...tokensOf(server), estimated: false });
    expect(server.served).toMatchObject(expected.usage);
  });

  test("of a model that only knows completions comes from that endpoint", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ model_config: { model_name: "davinci-002" } });
    const dataset = await datasetOf(ws, await run(ws, server, config, rows(3)));
    expect(dataset.tasks).toEqual(expectedDataset(config, rows(3)).tasks);
    expect(new Set(server.requests.map(({ path }) => path))).toEqual(new Set(["/openai/v1/completions"]));
  });

  test("has the references first where they are asked for, and asks nothing for them", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ add_references: true });
    const data = [...rows(3), { input: "Ohne Vorbild." }];
    const result = await run(ws, server, config, data);
    const dataset = await datasetOf(ws, result);
    expect(dataset.agent_perspectives).toEqual([
      { condition: "Reference", reading: null, strategy: null },
      ...config.agent_perspectives,
    ]);
    expect(dataset.tasks).toEqual(expectedDataset(config, data).tasks);
    expect(dataset.tasks.map(({ responses }) => responses[0])).toEqual(data.map((row) => row.reference ?? null));
    expect(server.requests.length).toBe(4 * 6);
    expect(result.stderr).toMatch(/Warning: 1 of 4 inputs have no reference/);
  });

  test("under --test has the first 10 inputs and 4 perspectives, the reference not counted", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ add_references: true });
    const more = [HASTY, PLAIN].map((perspective, i) => ({ ...perspective, condition: `Extra ${i}` }));
    const whole = { ...config, agent_perspectives: [...config.agent_perspectives, ...more] };
    const dataset = await datasetOf(ws, await run(ws, server, whole, rows(12), ["--test"]));
    const expected = expectedDataset(config, rows(10));
    expect(dataset.agent_perspectives.map(({ condition }) => condition)).toEqual([
      "Reference",
      ...config.agent_perspectives.map(({ condition }) => condition),
    ]);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(server.requests.length).toBe(expected.calls.length);
    expect(dataset.metadata.data_config["sample_size"]).toBe(10);
  });

  test("under --test is no larger than its sample size", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const dataset = await datasetOf(ws, await run(ws, server, configFor(), rows(12), ["--test", "--sample-size", "2"]));
    expect(dataset.tasks).toEqual(expectedDataset(configFor(), rows(2)).tasks);
  });

  test("has the first sample_size inputs in the order of the file", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ data_config: { sample_size: 3 } });
    const dataset = await datasetOf(ws, await run(ws, server, config, rows(8)));
    expect(dataset.tasks).toEqual(expectedDataset(config, rows(3)).tasks);
    expect(server.requests.length).toBe(3 * 6);
  });

  test("has 100 inputs where no sample_size is given", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const agent_perspectives = [PLAIN];
    const { data_config, ...config } = configFor({ agent_perspectives });
    await write(ws, { ...config, data_config: { input_data_path: data_config.input_data_path } }, rows(103));
    const env = environmentFor(server);
    const dataset = await datasetOf(ws, await datagenInTurn(["run", "config.json"], { cwd: ws.path, env }));
    expect(dataset.tasks).toEqual(expectedDataset(configFor({ agent_perspectives }), rows(100)).tasks);
  });

  test("has all inputs where sample_size is larger than the file, which is said", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const result = await run(ws, server, configFor(), rows(3));
    expect((await datasetOf(ws, result)).tasks.length).toBe(3);
    expect(result.stderr).toMatch(/Warning: rows\.json has 3 inputs; sample_size is 500/);
    expect(result.code).toBe(0);
  });

  test("keeps an answer that the limit cut off, and counts it", async () => {
    await using ws = await workspace();
    await using server = await startServer({
      behave: (call) => (isFor(PLAIN.strategy, rows(2)[1]!.input)(call) ? { kind: "length" } : undefined),
    });
    const dataset = await datasetOf(ws, await run(ws, server, configFor(), rows(2)));
    const whole = expectedDataset(configFor(), rows(2)).tasks[1]!.responses[0]!;
    const cut = dataset.tasks[1]!.responses[0]!;
    expect(whole.startsWith(cut) && cut.length < whole.length).toBe(true);
    expect(dataset.metadata.calls).toMatchObject({ total: 12, succeeded: 12, failed: 0, truncated: 1 });
  });

  test("marks tokens as estimated where the provider reported none", async () => {
    await using ws = await workspace();
    await using server = await startServer({ behave: ({ nth }) => (nth === 1 ? { kind: "noUsage" } : undefined) });
    const { tasks, metadata } = await datasetOf(ws, await run(ws, server, configFor(), rows(2)));
    expect(tasks).toEqual(expectedDataset(configFor(), rows(2)).tasks);
    const { estimated, prompt_tokens, completion_tokens } = metadata.token_usage;
    expect(estimated).toBe(true);
    expect(prompt_tokens).toBeGreaterThan(0);
    expect(completion_tokens).toBeGreaterThan(0);
  });
});

describe.concurrent("a prompt", () => {
  test("is one user message in the words of the reference pipeline, with the parameters of the config", async () => {
    await using ws = await workspace();
    await using server = await startServer({ keepBodies: true });
    const text = "Er sagt: „$& kostet $1“ ``` und `geht`.\n\n  ";
    await run(ws, server, configFor(), [{ input: text }], ["--concurrency", "1"]);
    const body = (content: string) => ({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content }],
      max_tokens: 200,
      temperature: 0.7,
    });
    const notes = (reading: string) => answerTo({ ...body(""), prompt: reading });
    const noted = `${NOTED.reading}\n\n\`\`\`${text}\`\`\`${NOTED.reading}\n\n`;
    const rosy = `${ROSY.reading}\n\n\`\`\`${text}\`\`\`${ROSY.reading}\n\n`;
    const bodies = server.requests.map((request) => ({ ...request.body }));
    // The default of the API; it may be left out.
    for (const sent of bodies) delete sent["stream"];
    expect(bodies).toEqual([
      body(`${PLAIN.strategy}\n\n\`\`\`${text}\`\`\`${PLAIN.strategy}\n\n`),
      body(noted),
      body(`${NOTED.strategy}\n\n\`\`\`${notes(noted)}\`\`\`${NOTED.strategy}\n\n`),
      body(`${HASTY.strategy}\n\n\`\`\`${text}\`\`\`${HASTY.strategy}\n\n`),
      body(rosy),
      body(`${ROSY.strategy}\n\n\`\`\`${notes(rosy)}\`\`\`${ROSY.strategy}\n\n`),
    ]);
  });

  test("of a strategy has the notes of its own task, even if two tasks have the same input", async () => {
    await using ws = await workspace();
    const input = rows(1)[0]!.input;
    await using server = await startServer({
      latency: shuffled,
      behave: (call) =>
        isFor(NOTED.reading, input)(call) ? { kind: "text", text: `The notes number ${call.nth}.` } : undefined,
    });
    const config = configFor({ agent_perspectives: [NOTED] });
    const data = Array.from({ length: 12 }, () => ({ input }));
    const { tasks } = await datasetOf(ws, await run(ws, server, config, data));
    const asked = { ...config.model_config, model: "gpt-4o-mini" };
    expect(new Set(tasks.map(({ preparations }) => preparations[0])).size).toBe(12);
    for (const { preparations, responses } of tasks) {
      expect(responses[0]).toBe(answerTo({ ...asked, prompt: promptOf(NOTED.strategy, preparations[0]!) }));
    }
  });
});

describe.concurrent("requests", () => {
  test("wait for no other: behind one slow reading all the rest is finished, and its strategy comes last", async () => {
    await using ws = await workspace();
    const data = rows(20);
    const isSlow = isFor(NOTED.reading, data[2]!.input);
    await using server = await startServer({ latency: (call) => (isSlow(call) ? 3_000 : 1) });
    const dataset = await datasetOf(ws, await run(ws, server, configFor(), data, ["--concurrency", "2"]));
    const expected = expectedDataset(configFor(), data);
    expect(dataset.tasks).toEqual(expected.tasks);

    const slowHash = promptHashOf(promptOf(NOTED.reading!, data[2]!.input));
    const slow = server.requests.find(({ promptHash }) => promptHash === slowHash)!;
    const behind = server.requests.filter(({ at }) => at >= slow.ended!);
    expect(behind.map(({ promptHash }) => promptHash)).toEqual([
      promptHashOf(promptOf(NOTED.strategy, dataset.tasks[2]!.preparations[1]!)),
    ]);
    expect(server.requests.at(-1)).toBe(behind[0]);
    expect(server.requests.filter(({ ended }) => ended! < slow.ended!).length).toBe(expected.calls.length - 2);
  });

  test("in flight are at most as many as --concurrency says, and as many where there is work", async () => {
    await using ws = await workspace();
    await using server = await startServer({ latency: 20 });
    const result = await run(ws, server, configFor({ concurrency: 9 }), rows(8), ["--concurrency", "3"]);
    expect(result.code).toBe(0);
    expect(server.maxInFlight).toBe(3);
  });

  test("in flight are at most 5 before the first answer, and then as many as the config says", async () => {
    await using ws = await workspace();
    let before = 0;
    await using server = await startServer({
      latency: 40,
      behave({ index }) {
        if (server.served.answers === 0) before = Math.max(before, server.inFlight);
        return index < 8 ? { kind: "status", status: 503 } : undefined;
      },
    });
    const dataset = await datasetOf(ws, await run(ws, server, configFor({ concurrency: 12 }), rows(10)));
    expect(dataset.tasks).toEqual(expectedDataset(configFor(), rows(10)).tasks);
    expect(before).toBe(5);
    expect(server.maxInFlight).toBe(12);
    expect(dataset.metadata.api_calls.total_calls).toBe(60 + 8);
  });
});

describe.concurrent("a failed call", () => {
  test("is null, counted and warned about, and the run goes on to exit code 1", async () => {
    await using ws = await workspace();
    const data = rows(6);
    const fails = (call: Asked) => [1, 4].some((task) => isFor(HASTY.strategy, data[task]!.input)(call));
    await using server = await startServer({ behave: (call) => (fails(call) ? BAD_REQUEST : undefined) });
    const result = await run(ws, server, configFor(), data);
    const dataset = await datasetOf(ws, result);
    const expected = expectedDataset(configFor(), data, (asked) => (fails(asked) ? null : answerTo(asked)));

    expect(result.code).toBe(1);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(dataset.tasks.map(({ responses }) => responses[2] === null)).toEqual([0, 1, 0, 0, 1, 0].map(Boolean));
    expect(dataset.metadata.calls).toMatchObject({ total: 36, succeeded: 34, failed: 2, pending: 0 });
    expect(dataset.metadata.api_calls.total_calls).toBe(36);
    expect(dataset.metadata.token_usage).toMatchObject(tokensOf(server));
    expect(result.stderr).toMatch(
      /Warning: 2 calls failed for bad_request \(.*\); .* null .*datagen resume [0-9a-z]{8} --retry-failed/,
    );
    expect((await command(ws, "runs", "show", "latest")).stdout).toMatch(/bad_request .*That will not do\./);
  });

  test("that is a reading fails its strategy too, which is not sent", async () => {
    await using ws = await workspace();
    const data = rows(3);
    const fails = isFor(NOTED.reading, data[1]!.input);
    await using server = await startServer({ behave: (call) => (fails(call) ? BAD_REQUEST : undefined) });
    const result = await run(ws, server, configFor(), data);
    const dataset = await datasetOf(ws, result);
    const expected = expectedDataset(configFor(), data, (asked) => (fails(asked) ? null : answerTo(asked)));

    expect(result.code).toBe(1);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(server.requests.map(({ promptHash }) => promptHash).toSorted()).toEqual(
      expected.calls.map(({ asked }) => promptHashOf(asked.prompt)).toSorted(),
    );
    expect(server.requests.length).toBe(17);
    expect(dataset.metadata.calls).toMatchObject({ total: 18, succeeded: 16, failed: 2 });
    using db = closing(ws);
    expect(db.all("select step, failure from calls where state = 'failed' order by step")).toEqual([
      { step: "reading", failure: "bad_request" },
      { step: "strategy", failure: "reading_failed" },
    ]);
  });

  test("that is a reading without any notes lets its strategy work on the input", async () => {
    await using ws = await workspace();
    const data = rows(3);
    const isEmpty = isFor(NOTED.reading, data[1]!.input);
    await using server = await startServer({ behave: (call) => (isEmpty(call) ? { kind: "empty" } : undefined) });
    const result = await run(ws, server, configFor(), data);
    const dataset = await datasetOf(ws, result);
    const expected = expectedDataset(configFor(), data, (asked) => (isEmpty(asked) ? "" : answerTo(asked)));
    // It failed, and so it has no text, not even an empty one.
    expected.tasks[1]!.preparations[1] = null;

    expect(result.code).toBe(1);
    expect(dataset.tasks).toEqual(expected.tasks);
    expect(dataset.tasks[1]!.responses[1]).toBe(
      answerTo({
        model: "gpt-4o-mini",
        max_tokens: 200,
        temperature: 0.7,
        prompt: promptOf(NOTED.strategy, data[1]!.input),
      }),
    );
    expect(dataset.metadata.calls).toMatchObject({ total: 18, succeeded: 17, failed: 1, pending: 0 });
    // The provider charged for the empty answers too.
    expect(dataset.metadata.token_usage).toMatchObject(tokensOf(server));
    expect(dataset.metadata.api_calls.total_calls).toBe(server.requests.length);
  });
});

describe.concurrent("the command line", () => {
  test("writes the dataset's path to stdout and all else to stderr, without a code for terminals", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const { stdout, stderr, code } = await run(ws, server, configFor(), rows(4));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^data\/agents\/translation_gpt_4o_mini_\d{8}_\d{6}\.json\n$/);
    expect(stderr).toMatch(/^Run ([0-9a-z]{8}): [^]*\nEstimate: 24 calls [^]*\nRun \1 completed: 24 of 24 succeeded/m);
    // oxlint-disable-next-line no-control-regex -- control characters are what this is about
    expect(stderr).not.toMatch(/[\r\u001b]/);
  });

  test("says the run's id before any answer has come", async () => {
    await using ws = await workspace();
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await write(ws, configFor(), rows(4));
    await using running = startDatagen(["run", "config.json"], { cwd: ws.path, env: environmentFor(server) });
    const [, id] = await running.waitFor(/^Run ([0-9a-z]{8}): gpt-4o-mini at http/m);
    await soon(() => expect(server.requests.length).toBe(5));
    expect(server.served.answers).toBe(0);
    running.kill();
    await running.done;
    expect(await jsonOf<{ id: string }[]>(ws, "runs", "list")).toMatchObject([{ id }]);
  });

  test("stores the values of flags with the run instead of the config's", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ concurrency: 9 });
    const flags = ["--provider", "together", "--model", LLAMA, "--sample-size", "2", "--concurrency", "4"];
    const result = await run(ws, server, config, rows(5), [...flags, "--name", "Größe 2"]);
    const { metadata, tasks } = await datasetOf(ws, result);
    const meant = configFor({ model_config: { model_name: LLAMA }, api_provider: "together", concurrency: 4 });
    meant.data_config.sample_size = 2;

    expect(tasks).toEqual(expectedDataset(meant, rows(5)).tasks);
    expect(server.requests[0]).toMatchObject({ provider: "together", model: LLAMA });
    expect(metadata).toMatchObject({
      model_config: meant.model_config,
      api_provider: "together",
      data_config: meant.data_config,
      run_name: "Größe 2",
    });
    expect(basename(result.stdout)).toMatch(
      /^translation_meta_llama_Llama_3\.3_70B_Instruct_Turbo_\d{8}_\d{6}\.json\n$/,
    );
    expect(await jsonOf(ws, "runs", "show", "latest")).toMatchObject({
      run: { name: "Größe 2", model: LLAMA, provider: "together", tasks: 2 },
      config: meant,
      base_url: server.togetherUrl,
    });
  });

  test("asks the server of --base-url", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await write(ws, configFor(), rows(1));
    const args = ["run", "config.json", "--base-url", server.openaiUrl, "--model", "llama3.2"];
    const dataset = await datasetOf(ws, await datagenInTurn(args, { cwd: ws.path }));
    expect(dataset.tasks).toEqual(
      expectedDataset(configFor({ model_config: { model_name: "llama3.2" }, api_provider: "openai" }), rows(1)).tasks,
    );
    expect(await jsonOf(ws, "runs", "show", "latest")).toMatchObject({
      base_url: server.openaiUrl,
      config: { model_config: { base_url: server.openaiUrl } },
    });
  });

  test("puts the dataset into the file or the folder of --output, and nowhere else", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("folder/here", "");
    const config = configFor({ data_config: { sample_size: 1 } });
    const toFile = await run(ws, server, config, rows(1), ["--output", "new/one.json"]);
    const toFolder = await run(ws, server, config, rows(1), ["--output", "folder"]);
    const whole = expectedDataset(config, rows(1)).tasks;
    expect(toFile.stdout).toBe("new/one.json\n");
    expect((await datasetOf(ws, toFile)).tasks).toEqual(whole);
    expect(toFolder.stdout).toMatch(/^folder\/translation_gpt_4o_mini_\d{8}_\d{6}(_[0-9a-z]{8})?\.json\n$/);
    expect((await datasetOf(ws, toFolder)).tasks).toEqual(whole);
    expect(await datasets(ws)).toEqual([]);
  });

  test("refuses an --output that cannot be written before anything is sent", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const result = await run(ws, server, configFor(), rows(1), ["--output", "rows.json/set.json"]);
    expect(result.code).toBe(2);
    expect(result.stdout).toBe("");
    expect(server.requests).toEqual([]);
  });

  test("writes no dataset under --no-export, until it is asked to", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const result = await run(ws, server, configFor(), rows(1), ["--no-export"]);
    expect(result).toMatchObject({ code: 0, stdout: "" });
    expect(await datasets(ws)).toEqual([]);
    const exported = await command(ws, "export", "latest");
    expect((await datasetOf(ws, exported)).tasks).toEqual(expectedDataset(configFor(), rows(1)).tasks);
  });

  test("goes on to the dataset when nobody reads stderr any more", async () => {
    await using ws = await workspace();
    await using server = await startServer({ latency: 100 });
    await write(ws, configFor(), rows(6));
    await using running = startDatagen(["run", "config.json"], { cwd: ws.path, env: environmentFor(server) });
    await running.waitFor(/Estimate/);
    running.child.stderr!.destroy();
    const result = await running.done;
    expect(result.code).toBe(0);
    expect((await datasetOf(ws, result)).tasks).toEqual(expectedDataset(configFor(), rows(6)).tasks);
  });
});

describe.concurrent("--json", () => {
  const isoTime: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const anId: unknown = expect.stringMatching(/^[0-9a-z]{8}$/);

  const costOf = ({ prompt, cached, completion }: LoopbackServer["served"]) =>
    ((prompt - cached) * 0.15 + cached * 0.075 + completion * 0.6) / 1e6;

  const summary = (server: LoopbackServer) => ({
    id: anId,
    name: "first",
    status: "completed",
    task_type: "translation",
    model: "gpt-4o-mini",
    provider: "openai",
    tasks: 2,
    perspectives: 4,
    calls: { total: 12, succeeded: 12, failed: 0, pending: 0, reused: 0, truncated: 0 },
    tokens: {
      prompt: server.served.prompt,
      completion: server.served.completion,
      total: server.served.total,
      cached: server.served.cached,
      reasoning: server.served.reasoning,
      estimated: false,
    },
    cost_usd: expect.closeTo(costOf(server.served), 8) as number,
    created_at: isoTime,
    finished_at: isoTime,
    experiment: null,
  });

  test("of run, export, resume, runs list and runs show tells the same run in one value each", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const result = await run(ws, server, configFor(), rows(2), ["--json", "--name", "first"]);
    const { run: told, dataset } = JSON.parse(result.stdout) as { run: object; dataset: string };
    expect(told).toEqual(summary(server));
    // In the documented order.
    expect(Object.keys(told)).toEqual(Object.keys(summary(server)));
    expect(dataset).toMatch(/^data\/agents\/.+\.json$/);
    expect((await ws.json<Dataset>(dataset)).tasks).toEqual(expectedDataset(configFor(), rows(2)).tasks);

    expect(await jsonOf(ws, "export", "latest")).toEqual({ run: told, dataset });
    expect(await jsonOf(ws, "resume", "latest")).toEqual({ run: told, dataset });
    expect(await jsonOf(ws, "resume", "latest", "--no-export")).toEqual({ run: told, dataset: null });
    expect(await jsonOf(ws, "runs", "list")).toEqual([told]);
    expect(await jsonOf(ws, "runs", "show", "latest")).toMatchObject({
      run: told,
      attempts: 12,
      config: configFor(),
      failures: [],
      steps: [
        { condition: "Plain", step: "strategy", total: 2, succeeded: 2, failed: 0 },
        { condition: "From notes", step: "reading", total: 2, succeeded: 2, failed: 0 },
        { condition: "From notes", step: "strategy", total: 2, succeeded: 2, failed: 0 },
        { condition: "Hasty", step: "strategy", total: 2, succeeded: 2, failed: 0 },
        { condition: "Rosy", step: "reading", total: 2, succeeded: 2, failed: 0 },
        { condition: "Rosy", step: "strategy", total: 2, succeeded: 2, failed: 0 },
      ],
    });
    expect(server.requests.length).toBe(12);
  });

  test("of runs list shows each status, the newest run first", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await run(ws, server, configFor(), rows(2), ["--name", "good", "--no-export"]);
    server.behave = (call) => (isFor(PLAIN.strategy, rows(1)[0]!.input)(call) ? BAD_REQUEST : undefined);
    await run(ws, server, configFor(), rows(2), ["--name", "bad", "--no-export", "--fresh"]);
    server.behave = () => ({ kind: "hang" });
    const sent = server.requests.length;
    await using running = startDatagen(["run", "config.json", "--provider", "together", "--fresh"], {
      cwd: ws.path,
      env: environmentFor(server),
    });
    await soon(() => expect(server.requests.length).toBe(sent + 5));

    const live = await jsonOf<object[]>(ws, "runs", "list");
    expect(live).toMatchObject([
      { name: null, status: "running", provider: "together", finished_at: null, calls: { pending: 12 } },
      { name: "bad", status: "failed", calls: { total: 12, succeeded: 11, failed: 1, pending: 0 } },
      { name: "good", status: "completed", calls: { total: 12, succeeded: 12, failed: 0, pending: 0 } },
    ]);
    running.kill();
    await running.done;
    expect(await jsonOf(ws, "runs", "list")).toEqual([{ ...live[0], status: "interrupted" }, ...live.slice(1)]);
  });

  test("of a database without runs is an empty list", async () => {
    await using ws = await workspace();
    expect(await jsonOf(ws, "runs", "list")).toEqual([]);
  });
});

test("a run of the offline provider costs nothing and sends nothing", async () => {
  await using ws = await workspace();
  await using server = await startServer();
  const result = await run(ws, server, configFor(), rows(2), ["--provider", "offline", "--json"]);
  const told = JSON.parse(result.stdout) as { run: object; dataset: string };
  expect(told.run).toMatchObject({ provider: "offline", cost_usd: 0, calls: { succeeded: 12 } });
  const { tasks, metadata } = await ws.json<Dataset>(told.dataset);
  expect(metadata.api_provider).toBe("offline");
  expect(tasks.flatMap(({ responses }) => responses).every((text) => text?.startsWith("[offline"))).toBe(true);
  expect(server.requests).toEqual([]);
});

/** The database of a workspace, closed at the end of the block. */
function closing(ws: Workspace) {
  const db = openDatabase(ws.at("data/datagen.db"));
  return {
    all: (sql: string) => db.prepare(sql).all(),
    [Symbol.dispose]: () => void db.close(),
  };
}
