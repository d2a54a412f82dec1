import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { appendFile, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { piecesOf } from "../src/dataset/pieces.ts";
import {
  importDataset,
  openStore,
  parseConfig,
  renderRun,
  showRun,
  type RunSummary,
  UsageError,
} from "../src/index.ts";
import { callKeys, settingsOf } from "../src/plan/settings.ts";
import {
  configFor,
  environmentFor,
  expectedDataset,
  type ExpectedTask,
  openDatabase,
  type Perspective,
  promptOf,
  type Result,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { rounds } from "./support/rounds.ts";
import { type IncomingCall, startServer } from "./support/server.ts";

// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

const REFERENCE = { condition: "Reference", reading: null, strategy: null };
const PLAIN: Perspective = { condition: "Plain", reading: null, strategy: "Translate the text." };
const NOTED: Perspective = { condition: "Noted", reading: "Take notes.", strategy: "Translate the notes." };

interface Dataset {
  [key: string]: unknown;
  agent_perspectives: object[];
  tasks: ExpectedTask[];
  metadata: Record<string, unknown>;
}

/** A dataset as the reference pipeline writes it: by default two tasks from two perspectives, one with a reading. */
function reference(overrides: Partial<Dataset> = {}): Dataset {
  return {
    task_type: "translation",
    task_description: "German to English translation task",
    add_references: false,
    agent_perspectives: [PLAIN, NOTED],
    tasks: [
      { context: "Guten Tag.", responses: ["Good day.", "A greeting."], preparations: [null, "It greets."] },
      { context: "Gute Nacht.", responses: ["Good night.", "A farewell."], preparations: [null, "It parts."] },
    ],
    metadata: {
      model_config: { model_name: "gpt-4o-mini", max_tokens: 500, temperature: 0.7 },
      api_provider: "openai",
      data_config: { input_data_path: "data/somewhere.json", sample_size: 500 },
      generation_time: "2024-12-20T15:30:00.123456",
      token_usage: { prompt_tokens: 1_000, completion_tokens: 200, total_tokens: 1_200 },
      api_calls: { total_calls: 6 },
      estimated_tokens: {
        estimated_prompt_tokens: 900,
        estimated_completion_tokens: 3_000,
        estimated_total_tokens: 3_900,
      },
    },
    ...overrides,
  };
}

/** A dataset of one task from perspectives of these responses and preparations. */
function oneTask(
  perspectives: object[],
  responses: (string | null)[],
  preparations = responses.map(() => null as string | null),
) {
  return reference({ agent_perspectives: perspectives, tasks: [{ context: "Guten Tag.", responses, preparations }] });
}

interface Imported extends Result {
  run: RunSummary;
}

/** Imports a file and expects that it fits. */
async function imported(ws: Workspace, args: string[] = [], env: Record<string, string> = {}): Promise<Imported> {
  const result = await datagenInTurn(["import", "old.json", "--json", ...args], { cwd: ws.path, env });
  expect(result.code, result.stderr).toBe(0);
  return { ...result, run: (JSON.parse(result.stdout) as { run: RunSummary }).run };
}

async function exported(ws: Workspace, run: string, args: string[] = []): Promise<Dataset> {
  const { code, stdout, stderr } = await datagenInTurn(["export", run, "--output", "-", ...args], { cwd: ws.path });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Dataset;
}

function all<Row>(ws: Workspace, sql: string, path = "data/datagen.db"): Row[] {
  const database = openDatabase(ws.at(path));
  try {
    return database.prepare<[], Row>(sql).all();
  } finally {
    database.close();
  }
}

/** The calls of a database in the order of the file. */
function callsOf(ws: Workspace, path?: string) {
  return all<{ cell: string; state: string; failure: string | null; key: string | null; text: string | null }>(
    ws,
    `select t.position || ' ' || p.condition || ' ' || c.step as cell, c.state, c.failure, a.key, a.text
       from calls c join tasks t on t.id = c.task_id join perspectives p on p.id = c.perspective_id
       left join answers a on a.id = c.answer_id order by t.position, p.position, c.step`,
    path,
  );
}

/** Each call with its answer, or with the reason why it has none. */
function outcomesOf(ws: Workspace): Record<string, string | null> {
  return Object.fromEntries(callsOf(ws).map(({ cell, text, failure }) => [cell, text ?? `(${failure})`]));
}

async function expectSound(ws: Workspace): Promise<void> {
  const { code, stdout } = await datagenInTurn(["db", "check"], { cwd: ws.path });
  expect(stdout).toContain(" 0 broken");
  expect(code).toBe(0);
}

const warningsIn = ({ stderr }: Result) => stderr.split("\n").filter((line) => line.startsWith("Warning: "));

describe.concurrent("a dataset that datagen exported", () => {
  test("becomes a run with the same tasks, perspectives, usage and keys in another database", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ add_references: true });
    const data = rows(4).map((row, index) => (index === 2 ? { input: row.input } : row));
    await ws.write("rows.json", data);
    await ws.write("config.json", config);
    const env = environmentFor(server);
    await datagenInTurn(["run", "config.json", "--output", "old.json", "--db", "first.db"], { cwd: ws.path, env });
    const old = await ws.json<Dataset>("old.json");

    const { run, stderr } = await imported(ws, ["--name", "taken in"]);
    expect(stderr).toMatch(/^Imported as run \w+: 4 inputs × 4 perspectives; 24 of 24 succeeded; the file reports /);
    expect(run).toMatchObject({
      name: "taken in",
      status: "completed",
      model: "gpt-4o-mini",
      provider: "openai",
      calls: { total: 24, succeeded: 24, failed: 0, pending: 0, reused: 0 },
      tokens: { prompt: server.served.prompt, completion: server.served.completion, cached: server.served.cached },
      cost_usd: null,
      created_at: `${old.metadata["generation_time"] as string}.000Z`,
      imported: true,
    });
    expect(callsOf(ws)).toEqual(callsOf(ws, "first.db"));
    expect(all(ws, "select distinct origin, finish_reason, prompt_tokens from answers")).toEqual([
      { origin: "imported", finish_reason: null, prompt_tokens: 0 },
    ]);
    expect(all(ws, "select * from attempts")).toEqual([]);

    const again = await exported(ws, run.id);
    const { metadata, ...rest } = again;
    expect({ ...rest, metadata: {} }).toEqual({ ...old, metadata: {} });
    for (const name of [
      "api_provider",
      "base_url",
      "generation_time",
      "token_usage",
      "api_calls",
      "estimated_tokens",
    ]) {
      expect(metadata[name]).toEqual(old.metadata[name]);
    }
    expect(metadata).toMatchObject({
      input_sha256: old.metadata["input_sha256"],
      imported_from: { file: "old.json", sha256: sha256(await ws.read("old.json")) },
    });
    await expectSound(ws);
  });

  test("has null where a call failed: those alone are asked for by resume --retry-failed", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor();
    await ws.write("rows.json", rows(4));
    await ws.write("config.json", config);
    const [plain, noted, , rosy] = config.agent_perspectives as [Perspective, Perspective, Perspective, Perspective];
    const input = (at: number) => rows(4)[at]!.input;
    const refused = new Set([promptOf(plain.strategy, input(0)), promptOf(noted.reading!, input(1))]);
    const emptied = promptOf(rosy.reading!, input(2));
    server.behave = ({ prompt }: IncomingCall) =>
      refused.has(prompt) ? { kind: "status", status: 400 } : prompt === emptied ? { kind: "empty" } : undefined;
    const env = environmentFor(server);
    await datagenInTurn(["run", "config.json", "--output", "old.json", "--db", "first.db"], { cwd: ws.path, env });
    const old = await ws.json<Dataset>("old.json");
    expect(old.tasks[0]!.responses[0]).toBeNull();

    const { run, stderr } = await imported(ws);
    expect(run).toMatchObject({ status: "failed", calls: { total: 24, succeeded: 20, failed: 4 } });
    expect(stderr).toContain("2 calls without an answer in the file: failed");
    expect(stderr).toContain(`\`datagen resume ${run.id} --retry-failed\``);
    expect(callsOf(ws).filter(({ state }) => state === "failed")).toMatchObject([
      { cell: "0 Plain strategy", failure: "imported_missing" },
      { cell: "1 From notes reading", failure: "imported_missing" },
      { cell: "1 From notes strategy", failure: "reading_failed" },
      { cell: "2 Rosy reading", failure: "empty" },
    ]);
    const answered = (path?: string) => callsOf(ws, path).filter(({ state }) => state === "succeeded");
    expect(answered()).toEqual(answered("first.db"));
    expect((await exported(ws, run.id)).tasks).toEqual(old.tasks);
    const shown = await datagenInTurn(["runs", "show", run.id], { cwd: ws.path });
    expect(shown.stdout).toMatch(/^empty +0 +1$/m);
    expect(shown.stdout).toMatch(/^imported_missing +0 +2$/m);
    expect(shown.stdout).not.toContain("reading_failed");

    server.behave = undefined;
    const [sent, tokens] = [server.requests.length, server.served.total];
    const resumed = await datagenInTurn(["resume", run.id, "--retry-failed", "--no-export"], {
      cwd: ws.path,
      // The base URL is in a file, which may be somebody else's: the key of OpenAI does not go there.
      env: { DATAGEN_API_KEY: "own-server-key" },
    });
    expect(resumed.code, resumed.stderr).toBe(0);
    // The notes that were empty are there now, and so the strategy that did without is asked once more.
    expect(server.requests.length - sent).toBe(5);
    expect(server.requests.at(-1)!.authorization).toBe("Bearer own-server-key");
    const whole = await exported(ws, run.id);
    expect(whole.tasks).toEqual(expectedDataset(config, rows(4)).tasks);
    const before = old.metadata["token_usage"] as { total_tokens: number };
    expect(whole.metadata["token_usage"]).toMatchObject({
      total_tokens: before.total_tokens + server.served.total - tokens,
    });
    const requests = (old.metadata["api_calls"] as { total_calls: number }).total_calls;
    expect(whole.metadata["api_calls"]).toEqual({ total_calls: requests + 5 });
    await expectSound(ws);
  });

  test("may have several samples of each perspective, which stay samples of it", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("rows.json", rows(2));
    await ws.write("config.json", configFor({ add_references: true, replicates: 3 }));
    server.behave = ({ index }) => ({ kind: "text", text: `answer ${index}` });
    const env = environmentFor(server);
    await datagenInTurn(["run", "config.json", "--output", "old.json", "--db", "first.db"], { cwd: ws.path, env });
    const { run } = await imported(ws);
    expect(run).toMatchObject({ perspectives: 4, calls: { total: 36, succeeded: 36 } });
    const samples = "select replicate, key, text from calls c join answers a on a.id = c.answer_id order by c.id";
    expect(all(ws, samples)).toEqual(all(ws, samples, "first.db"));
    const { metadata: _, ...old } = await ws.json<Dataset>("old.json");
    expect(await exported(ws, run.id)).toMatchObject(old);

    const alike = { ...old, agent_perspectives: old.agent_perspectives.map(asPlain), metadata: reference().metadata };
    await ws.write("old.json", alike);
    const at = (position: number, number: number) =>
      `agent_perspectives[${position}] has the same condition "Plain" as an earlier one; it is renamed to "Plain #${number}"`;
    expect(warningsIn(await imported(ws))).toEqual([at(4, 2), at(7, 3), at(10, 4)].map((text) => `Warning: ${text}`));
    await expectSound(ws);
  });

  function asPlain(perspective: object): object {
    return "replicate" in perspective ? { ...perspective, condition: "Plain" } : perspective;
  }

  test("may be partial: what was pending is failed, and asked for later", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    const config = configFor({ concurrency: 1 });
    await ws.write("rows.json", rows(3));
    await ws.write("config.json", config);
    server.behave = ({ index }) => (index === 9 ? { kind: "status", status: 401 } : undefined);
    const env = environmentFor(server);
    await datagenInTurn(["run", "config.json", "--db", "first.db"], { cwd: ws.path, env });
    await datagenInTurn(["export", "latest", "--allow-partial", "--output", "old.json", "--db", "first.db"], {
      cwd: ws.path,
    });

    const { run } = await imported(ws);
    expect(run).toMatchObject({ status: "failed", calls: { total: 18, succeeded: 9, failed: 9, pending: 0 } });
    expect((await exported(ws, run.id)).tasks).toEqual((await ws.json<Dataset>("old.json")).tasks);
    server.behave = undefined;
    await datagenInTurn(["resume", run.id, "--retry-failed", "--no-export"], { cwd: ws.path });
    expect((await exported(ws, run.id)).tasks).toEqual(expectedDataset(config, rows(3)).tasks);
    await expectSound(ws);
  });

  test("is not copied where the database has its answers: the run shares them", async () => {
    await using ws = await workspace();
    // Two equal inputs give two samples of one prompt, which stay two.
    await ws.write("rows.json", [...rows(2), rows(1)[0]]);
    await ws.write("config.json", configFor());
    await datagenInTurn(["run", "config.json", "--provider", "offline", "--output", "old.json"], { cwd: ws.path });
    const answers = all(ws, "select * from answers order by id");
    expect(answers).toHaveLength(18);

    const first = await imported(ws);
    expect(warningsIn(first)).toEqual([]);
    const second = await imported(ws);
    expect(warningsIn(second)).toEqual([
      `Warning: this file was imported before, as run ${first.run.id}; it is imported again as a new run`,
    ]);
    expect(all(ws, "select * from answers order by id")).toEqual(answers);
    const used = all<{ n: number }>(ws, "select count(distinct answer_id) n from calls group by run_id");
    expect(used).toEqual([{ n: 18 }, { n: 18 }, { n: 18 }]);
    const old = await ws.json<Dataset>("old.json");
    await datagenInTurn(["runs", "delete", first.run.id, "--yes"], { cwd: ws.path });
    expect((await exported(ws, second.run.id)).tasks).toEqual(old.tasks);
    const names = all<{ dataset_name: string }>(ws, "select dataset_name from runs");
    expect(new Set(names.map((row) => row.dataset_name)).size).toBe(2);
    const listed = await datagenInTurn(["runs", "list"], { cwd: ws.path });
    expect(listed.stdout).toMatch(new RegExp(`^${second.run.id} +imported +completed .* unknown `, "m"));
    await expectSound(ws);
  });

  test("that another was asked with in part is imported with a warning", async () => {
    await using ws = await workspace();
    const { metadata } = reference();
    const mixed = {
      ...metadata,
      datagen_version: "0.1.0",
      asked_with_other_parameters: [{ parameters: {}, answers: 3 }],
    };
    await ws.write("old.json", reference({ metadata: mixed }));
    expect(warningsIn(await imported(ws))).toEqual([
      expect.stringContaining("3 answers were asked with other parameters"),
    ]);
  });
});

describe.concurrent("a dataset of the reference pipeline", () => {
  test("gives every answer the key of the call that a run of the same config makes", async () => {
    await using ws = await workspace();
    await ws.write("old.json", reference());
    const { run } = await imported(ws);
    const config = parseConfig({ ...configFor(), model_config: reference().metadata["model_config"] });
    const keyOf = callKeys(settingsOf(config, { provider: "openai", baseUrl: null, endpoint: "chat" }));
    const call = (cell: string, instruction: string, on: string, text: string) => ({
      cell,
      state: "succeeded",
      failure: null,
      key: keyOf({ messages: [{ role: "user", content: promptOf(instruction, on) }] }),
      text,
    });
    expect(callsOf(ws)).toEqual([
      call("0 Plain strategy", "Translate the text.", "Guten Tag.", "Good day."),
      call("0 Noted reading", "Take notes.", "Guten Tag.", "It greets."),
      call("0 Noted strategy", "Translate the notes.", "It greets.", "A greeting."),
      call("1 Plain strategy", "Translate the text.", "Gute Nacht.", "Good night."),
      call("1 Noted reading", "Take notes.", "Gute Nacht.", "It parts."),
      call("1 Noted strategy", "Translate the notes.", "It parts.", "A farewell."),
    ]);
    expect(all<{ text: string }>(ws, "select text from answers order by id").map(({ text }) => text)).toEqual(
      callsOf(ws).map(({ text }) => text),
    );
    expect(run).toMatchObject({
      tasks: 2,
      perspectives: 2,
      tokens: { prompt: 1_000, completion: 200, total: 1_200, estimated: false },
      created_at: "2024-12-20T15:30:00.000Z",
      finished_at: "2024-12-20T15:30:00.000Z",
    });
    const again = await exported(ws, run.id);
    const { tasks, agent_perspectives } = reference();
    expect(again).toMatchObject({ tasks, agent_perspectives });
    expect(again.metadata).toMatchObject({
      ...reference().metadata,
      input_sha256: null,
    });
    const shown = await datagenInTurn(["runs", "show", run.id], { cwd: ws.path });
    expect(shown.stdout).toMatch(/^requests +0, and 6 according to the dataset$/m);
    expect(shown.stdout).toMatch(/^input +data\/somewhere\.json \(SHA-256 unknown\)$/m);
    expect(shown.stdout).toMatch(/^imported +old\.json \(SHA-256 [0-9a-f]{64}\)$/m);
    await expectSound(ws);
  });

  test.each([
    ["as it is written", (text: string) => text],
    ["on one line", (text: string) => JSON.stringify(JSON.parse(text))],
    ["behind a byte order mark", (text: string) => `\ufeff${text}\n\n`],
    [
      "with its members in another order",
      (text: string) => {
        const { tasks, metadata, ...rest } = JSON.parse(text) as Dataset;
        return JSON.stringify({ unknown: [{}, "]"], tasks, ...rest, metadata });
      },
    ],
    ["with every character as an escape", (text: string) => text.replaceAll(/[a-z]/g, escaped)],
  ])("may stand %s", async (_, form) => {
    await using ws = await workspace();
    const path = await ws.write("old.json", form(JSON.stringify(reference(), null, 2)));
    using store = openStore(ws.at("data/datagen.db"));
    const id = await importDataset(store, path, { environment: {} });
    const { tasks, agent_perspectives } = reference();
    const text = (await renderRun(store, id).toArray()).join("");
    expect(JSON.parse(text)).toMatchObject({ tasks, agent_perspectives });
  });

  test("may lack what only says how it was made", async () => {
    await using ws = await workspace();
    const { add_references: _, ...dataset } = reference();
    await ws.write("old.json", { ...dataset, metadata: { model_config: { model_name: "mistralai/Mixtral-8x7B" } } });
    const { run } = await imported(ws);
    expect(run).toMatchObject({ provider: "together", tokens: { total: 0 }, status: "completed" });
    const { metadata } = await exported(ws, run.id);
    expect(metadata).toMatchObject({
      data_config: { input_data_path: "old.json", sample_size: 2 },
      input_sha256: null,
    });
  });

  test.each([
    ["says add_references", true, true, REFERENCE],
    ["does not say so", undefined, true, REFERENCE],
    ["says the opposite", false, false, REFERENCE],
    ["writes it in lower case", true, true, { ...REFERENCE, condition: "reference" }],
    ["writes it in lower case without saying so", false, false, { ...REFERENCE, condition: "reference" }],
  ])("may have references as a first perspective, and %s", async (_, add_references, says, first) => {
    await using ws = await workspace();
    const dataset = oneTask([first, PLAIN], ["Error: Error code: 500 is what it says.", "Good day."]);
    dataset.tasks.push({ context: "Hallo.", responses: [null, "Hello."], preparations: [null, null] });
    await ws.write("old.json", { ...dataset, add_references });
    const { run, ...result } = await imported(ws);
    expect(warningsIn({ ...result })).toEqual([]);
    expect(run).toMatchObject({ perspectives: 1, calls: { total: 2, succeeded: 2 } });
    expect(outcomesOf(ws)).toEqual({ "0 Plain strategy": "Good day.", "1 Plain strategy": "Hello." });
    const { tasks, agent_perspectives } = dataset;
    expect(await exported(ws, run.id)).toMatchObject({ add_references: says, tasks, agent_perspectives });
    const config = await datagenInTurn(["runs", "config", run.id], { cwd: ws.path });
    expect(JSON.parse(config.stdout)).toMatchObject({ add_references: says, agent_perspectives: [PLAIN] });
    const flat = await datagenInTurn(["export", run.id, "--format", "jsonl", "--output", "-"], { cwd: ws.path });
    expect(JSON.parse(flat.stdout.split("\n")[0] ?? "")).toMatchObject({
      condition: first.condition,
      response: "Error: Error code: 500 is what it says.",
    });
  });

  describe("that the reference pipeline published", () => {
    /** As it lies on the Hub: without a type, with more metadata, microseconds, and a reference that it does not tell. */
    function published(description: string): Record<string, unknown> {
      const {
        task_type: _,
        metadata,
        ...dataset
      } = oneTask(
        [{ ...REFERENCE, condition: "reference" }, PLAIN, NOTED],
        ["A good day. – “Grüße”", "Good day.", null],
      );
      return {
        ...dataset,
        task_description: description,
        add_references: false,
        metadata: {
          ...metadata,
          model_config: { ...(metadata["model_config"] as object), compression_ratio: 0.3 },
          data_config: { ...(metadata["data_config"] as object), split: "test" },
          token_usage: { ...(metadata["token_usage"] as object), total_cost: 1.5 },
          adversarial_transform: { kind: "case_flip", seeds: [1, { deep: null }] },
          references_added: "2025-01-02T03:04:05.678901",
        },
        notes: ["kept", 1],
      };
    }

    test("comes out as it went in", async () => {
      await using ws = await workspace();
      const whole = published("German to English translation task");
      await ws.write("old.json", whole);
      const { run } = await imported(ws);
      expect(run.task_type).toBe("translation");
      const again = await exported(ws, run.id);
      expect(again).toMatchObject(whole);
      expect(again).toMatchObject({ metadata: { generation_time: "2024-12-20T15:30:00.123456" } });
      // Nor does the next import lose any of it.
      await ws.write("again.json", again);
      const second = await datagenInTurn(["import", "again.json"], { cwd: ws.path });
      expect(await exported(ws, second.stdout.trim())).toMatchObject(whole);
    });

    test.each([
      ["German to English translation task", "x.json", "translation"],
      ["Summarize news articles", "x.json", "summarization"],
      ["Summarisation of articles", "x.json", "summarization"],
      ["Peer review of papers in translation studies", "x.json", "peer_review"],
      ["Some task", "peer_review_gpt_4o_mini_20241220_153000.json", "peer_review"],
      ["Some task", "dialogue_act_gpt_4o_mini_20241220_153000.json", "dialogue_act"],
      ["Some task", "summarization_other_model_20241220_153000.json", "summarization"],
    ])("has the type of its description %j or its name %s: %s", async (description, name, type) => {
      await using ws = await workspace();
      const path = await ws.write(name, published(description));
      using store = openStore(ws.at("data/datagen.db"));
      const id = await importDataset(store, path, { environment: {} });
      expect(showRun(store, id).run.task_type).toBe(type);
    });

    test("needs --task-type where neither says it, which has the last word", async () => {
      await using ws = await workspace();
      await ws.write("old.json", published("Some task"));
      const refused = await datagenInTurn(["import", "old.json"], { cwd: ws.path });
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain(
        "task_type: missing, and neither task_description nor the name of the file tells",
      );
      expect(refused.stderr).toContain("--task-type");
      const given = await imported(ws, ["--task-type", "summarization"]);
      expect(given.run.task_type).toBe("summarization");
      await ws.write("old.json", reference());
      const other = await imported(ws, ["--task-type", "dialogue"]);
      expect(other.run.task_type).toBe("dialogue");
      expect(warningsIn(other)).toContainEqual(expect.stringContaining('the file says "translation"; --task-type'));
    });

    test.each([
      ["an unknown member", `{"deep":${"[".repeat(20_000)}${"]".repeat(20_000)}}`],
      ["extra_body", `{"model_config":{"extra_body":${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}}}`],
    ])("is refused where %s is nested without end", async (_, metadata) => {
      await using ws = await workspace();
      await ws.write(
        "old.json",
        JSON.stringify(reference({ metadata: {} })).replace('"metadata":{}', `"metadata":${metadata}`),
      );
      const refused = await datagenInTurn(["import", "old.json"], { cwd: ws.path });
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain("metadata: objects and arrays are nested more than 100 deep");
    });
  });

  test("has error texts and placeholders instead of answers: their calls are failed", async () => {
    await using ws = await workspace();
    const labelled = (letters: string, like: Perspective) => [...letters].map((condition) => ({ ...like, condition }));
    const responses = [
      "No response generated",
      "Error: Error code: 500 - {'error': {'message': 'boom'}}",
      "Error: Request timed out.",
      "Error: Connection error.",
      " \n",
      null,
      "Error: file not found",
      "No response generated by the engine, says the report.",
      // With a reading:
      "A review of an error.",
      "A review of a placeholder.",
      "A review of the input.",
      "Another review of the input.",
      "No response generated",
      null,
      "No response generated",
    ];
    const preparations = [
      ...Array.from({ length: 8 }, () => null),
      "Error: Error code: 429 - {'error': {}}",
      "No response generated",
      "",
      null,
      "Good notes.",
      null,
      "Error: Error code: 503 - down",
    ];
    const perspectives = [...labelled("abcdefgh", PLAIN), ...labelled("rstuvwx", NOTED)];
    await ws.write("old.json", oneTask(perspectives, responses, preparations));
    const result = await imported(ws);
    expect(outcomesOf(ws)).toEqual({
      "0 a strategy": "(imported_error)",
      "0 b strategy": "(imported_error)",
      "0 c strategy": "(imported_error)",
      "0 d strategy": "(imported_error)",
      "0 e strategy": "(empty)",
      "0 f strategy": "(imported_missing)",
      "0 g strategy": "Error: file not found",
      "0 h strategy": "No response generated by the engine, says the report.",
      "0 r reading": "(imported_error)",
      "0 r strategy": "(reading_failed)",
      "0 s reading": "(imported_error)",
      "0 s strategy": "(reading_failed)",
      "0 t reading": "(empty)",
      "0 t strategy": "A review of the input.",
      "0 u reading": "(empty)",
      "0 u strategy": "Another review of the input.",
      "0 v reading": "Good notes.",
      "0 v strategy": "(imported_error)",
      "0 w reading": "(imported_missing)",
      "0 w strategy": "(reading_failed)",
      "0 x reading": "(imported_error)",
      "0 x strategy": "(reading_failed)",
    });
    // A strategy without notes has worked on the input.
    const keys = all<{ n: number }>(
      ws,
      "select count(distinct key) n from answers where text like '%review of the input.'",
    );
    expect(keys).toEqual([{ n: 1 }]);
    const found = warningsIn(result).join("\n");
    expect(found).toMatch(/9 error texts .*first: "No response generated" in tasks\[0\]\.responses\[0\]\)$/m);
    expect(found).toMatch(
      /2 responses to an error text .*: "A review of an error\." in tasks\[0\]\.responses\[8\]\)$/m,
    );
    expect(found).toMatch(/2 calls without an answer in the file: failed$/m);
    expect(found).toMatch(
      /1 text beginning with "Error: ": kept, .* "Error: file not found" in tasks\[0\]\.responses\[6\]\)$/m,
    );
    const [task] = (await exported(ws, result.run.id)).tasks;
    const kept = responses.map((text, at) => ([6, 7, 10, 11].includes(at) ? text : null));
    expect(task).toEqual({ context: "Guten Tag.", responses: kept, preparations: preparations.map(keptNotes) });
    await expectSound(ws);
  });

  function keptNotes(notes: string | null): string | null {
    return notes === "Good notes." ? notes : null;
  }

  test("may repeat a condition, which gets a number, with a warning", async () => {
    await using ws = await workspace();
    const named = (condition: string, strategy: string) => ({ condition, reading: null, strategy });
    const perspectives = [
      REFERENCE,
      named("A", "1"),
      named("A", "2"),
      named("A #3", "3"),
      named("A", "4"),
      named("Reference", "5"),
      named("A", "1"),
    ];
    const responses = ["ref", "one", "two", "three", "four", "five", "one"];
    await ws.write("old.json", oneTask(perspectives, responses));
    const result = await imported(ws);
    expect(warningsIn(result)).toEqual(
      [
        [2, "A", "A #2"],
        [4, "A", "A #4"],
        [5, "Reference", "Reference #2"],
        [6, "A", "A #5"],
      ].map(
        ([at, from, to]) =>
          `Warning: agent_perspectives[${at}] has the same condition "${from}" as an earlier one; it is renamed to "${to}"`,
      ),
    );
    const again = await exported(ws, result.run.id);
    const conditions = ["Reference", "A", "A #2", "A #3", "A #4", "Reference #2", "A #5"];
    expect(again.agent_perspectives).toEqual(perspectives.map((p, at) => ({ ...p, condition: conditions[at] })));
    expect(again.tasks[0]!.responses).toEqual(responses);
    // The same prompt twice: two samples, though they are alike.
    expect(all(ws, "select count(*) n from answers where text = 'one'")).toEqual([{ n: 2 }]);
    await expectSound(ws);
  });
});

test("a run of an imported dataset with two more perspectives and 20 more inputs sends only what is new", async () => {
  await using ws = await workspace();
  await using server = await startServer();
  const named = (condition: string): Perspective => ({
    condition,
    reading: null,
    strategy: `Translate, ${condition}.`,
  });
  const perspectives = Array.from({ length: 30 }, (_, at) => named(`C${at}`));
  const config = configFor({ agent_perspectives: perspectives, add_references: true });
  const data = rows(220).map((row, at) => ({ ...row, input: `${at}: ${row.input}` }));
  await ws.write("rows.json", data);
  const { tasks } = expectedDataset(config, data.slice(0, 200));
  const metadata = { model_config: config.model_config };
  await ws.write("old.json", reference({ agent_perspectives: [REFERENCE, ...perspectives], tasks, metadata }));
  const env = environmentFor(server);
  await imported(ws, [], { OPENAI_BASE_URL: server.openaiUrl });

  const grown = { ...config, agent_perspectives: [...perspectives, named("D0"), named("D1")] };
  await ws.write("config.json", grown);
  const { code, stdout, stderr } = await datagenInTurn(["run", "config.json", "--json"], { cwd: ws.path, env });
  expect(code, stderr).toBe(0);
  expect(server.requests.length).toBe(200 * 2 + 20 * 32);
  const { run, dataset } = JSON.parse(stdout) as { run: RunSummary; dataset: string };
  expect(run.calls).toMatchObject({ total: 220 * 32, succeeded: 220 * 32, reused: 200 * 30 });
  const expected = expectedDataset(grown, data).tasks;
  expect(JSON.stringify((await ws.json<Dataset>(dataset)).tasks) === JSON.stringify(expected)).toBe(true);
  await expectSound(ws);
});

describe.concurrent("where the answers came from", () => {
  const settings = (ws: Workspace) =>
    all<{ value: string }>(ws, "select value from settings").map(({ value }) => JSON.parse(value) as object)[0];
  const sources = (ws: Workspace) => all(ws, "select base_url, base_url_source from runs");

  test("is what the file says, and a base URL of a file never gets the provider's key", async () => {
    await using ws = await workspace();
    const metadata = { ...reference().metadata, base_url: "http://127.0.0.1:9/v1/" };
    await ws.write("old.json", reference({ metadata }));
    const env = { OPENAI_BASE_URL: "http://127.0.0.1:7/v1" };
    expect(warningsIn(await imported(ws, [], env))).toEqual([]);
    expect(sources(ws)).toEqual([{ base_url: "http://127.0.0.1:9/v1", base_url_source: "config" }]);
    expect(settings(ws)).toEqual({
      provider: "openai",
      base_url: "http://127.0.0.1:9/v1",
      endpoint: "chat",
      model: "gpt-4o-mini",
      parameters: { max_tokens: 500, temperature: 0.7 },
    });
  });

  test("is what flags say where the file does not", async () => {
    await using ws = await workspace();
    await ws.write("old.json", reference({ metadata: { model_config: { temperature: 0.2 } } }));
    const flags = ["--model", "llama3.2", "--provider", "together", "--base-url", "http://localhost:11434/v1"];
    expect(warningsIn(await imported(ws, flags))).toEqual([]);
    expect(sources(ws)).toEqual([{ base_url: "http://localhost:11434/v1", base_url_source: "flag" }]);
    expect(settings(ws)).toMatchObject({ provider: "together", model: "llama3.2", parameters: { temperature: 0.2 } });
  });

  test("is what flags say also where the file says something else, with a warning", async () => {
    await using ws = await workspace();
    await ws.write("old.json", reference());
    const result = await imported(ws, ["--model", "gpt-4o", "--provider", "openai"]);
    expect(warningsIn(result)).toEqual(['Warning: the file says "gpt-4o-mini"; --model says "gpt-4o", which is used']);
    expect(result.run.model).toBe("gpt-4o");
  });

  test("is the environment's base URL for a file that names none, with a warning, unless datagen wrote it", async () => {
    await using ws = await workspace();
    const env = { OPENAI_BASE_URL: "http://127.0.0.1:7/v1" };
    await ws.write("old.json", reference());
    expect(warningsIn(await imported(ws, [], env))).toEqual([expect.stringContaining("http://127.0.0.1:7/v1")]);
    expect(sources(ws)).toEqual([{ base_url: "http://127.0.0.1:7/v1", base_url_source: "environment" }]);
    const metadata = { ...reference().metadata, datagen_version: "0.1.0" };
    await ws.write("old.json", reference({ metadata }));
    expect(warningsIn(await imported(ws, ["--db", "second.db"], env))).toEqual([]);
    expect(all(ws, "select base_url_source from runs", "second.db")).toEqual([{ base_url_source: "default" }]);
  });
});

describe.concurrent("a file that does not fit is refused with the place and the reason:", () => {
  const text = JSON.stringify(reference(), null, 2);
  const without = (name: string) => {
    const { [name]: _, ...dataset } = reference();
    return dataset;
  };
  const withTask = (task: object) => reference({ tasks: [...reference().tasks, task as ExpectedTask] });
  const withMetadata = (metadata: object) => reference({ metadata: { ...reference().metadata, ...metadata } });
  const [first] = reference().tasks as [ExpectedTask];

  test.each<[string, unknown, ...RegExp[]]>([
    ["nothing", "", /old\.json is empty/],
    ["blanks", " \n", /old\.json is empty/],
    ["an array", [first], /begins with "\["/],
    ["a text", "no JSON", /begins with "n"/],
    ["JSON Lines", '{"run_id": 1}\n{"run_id": 2}', /line 2: expected the end of the file/],
    ["bytes that are no text", Buffer.from([0x7b, 0xff]), /not UTF-8 text: the byte at 1/],
    [
      "half of a file",
      text.slice(0, text.indexOf("Gute Nacht") + 3),
      /ends in the middle .* tasks\[1\] that begins on line 29/,
    ],
    ["a file without its end", text.slice(0, -3), /ends in the middle .* the member that begins on line \d+/],
    [
      "a comma too many",
      text.replace('"tasks": [', '"tasks": [,'),
      /tasks\[0\] \(line \d+\) is not valid JSON: there is no value/,
    ],
    [
      "a comma too few",
      text.replace('],\n  "metadata"', ']\n  "metadata"'),
      /line 41: expected a comma after the array "tasks"/,
    ],
    [
      "a trailing comma",
      text.replace(/\}$/, ",}"),
      /not valid JSON, in the member that begins on line \d+: there is no value/,
    ],
    [
      "a broken member",
      text.replace('"translation"', "translation"),
      /the member that begins on line 2: Unexpected token/,
    ],
    ["a broken task", text.replace('"Guten Tag."', '"Guten Tag.'), /tasks\[\d\]|ends in the middle/],
    ["a key that occurs twice", text.replace("{", '{"task_type": "x",'), /line 2: the key "task_type" occurs twice/],
    ["tasks that occur twice", text.replace("{", '{"tasks": [],'), /the key "tasks" occurs twice/],
    ["no tasks", without("tasks"), /tasks: missing or empty/],
    ["empty tasks", reference({ tasks: [] }), /tasks: missing or empty/],
    [
      "tasks that are not an array",
      { ...reference(), tasks: { "0": first } },
      /tasks: expected an array of tasks, found \{/,
    ],
    ["a task that is not an object", withTask(["a"]), /tasks\[2\] \(line \d+\): expected an object .* found an array/],
    [
      "a task without a context",
      withTask({ responses: [], preparations: [] }),
      /tasks\[2\] .* has no "context"; it has "responses"/,
    ],
    [
      "a task without preparations",
      withTask({ context: "a", responses: [null, null] }),
      /tasks\[2\] .* has no "preparations"/,
    ],
    ["a task with more", withTask({ ...first, extra: 7 }), /tasks\[2\] .*: unknown key "extra"/],
    [
      "a number as an id that is not whole",
      withTask({ ...first, id: 1.5 }),
      /tasks\[2\]\.id .*: expected .* or a whole number, found the number 1.5/,
    ],
    [
      "a context that is not a text",
      withTask({ ...first, context: 7 }),
      /tasks\[2\]\.context .*: expected a string, found the number 7/,
    ],
    [
      "responses that are not an array",
      withTask({ ...first, responses: "a" }),
      /tasks\[2\]\.responses .*: expected an array, found the string "a"/,
    ],
    [
      "too few responses",
      withTask({ ...first, responses: ["a"] }),
      /tasks\[2\]\.responses .*: expected 2, one for each of agent_perspectives, found 1/,
    ],
    [
      "too many preparations",
      withTask({ ...first, preparations: [null, null, "a"] }),
      /tasks\[2\]\.preparations .*: expected 2, .* found 3/,
    ],
    [
      "a response that is not a text",
      withTask({ ...first, responses: ["a", { text: "b" }] }),
      /tasks\[2\]\.responses\[1\] .*: expected a string or null, found an object/,
    ],
    [
      "notes that are not a text",
      withTask({ ...first, preparations: [null, false] }),
      /tasks\[2\]\.preparations\[1\] .*found the boolean false/,
    ],
    [
      "notes without a reading",
      withTask({ ...first, preparations: ["a", "b"] }),
      /tasks\[2\]\.preparations\[0\] .*: expected null, because agent_perspectives\[0\] has no reading/,
    ],
    ["no perspectives", without("agent_perspectives"), /has 1 error:\n {2}agent_perspectives: missing/],
    [
      "perspectives that are not an array",
      reference({ agent_perspectives: ["Plain"] as never }),
      /agent_perspectives\[0\]: expected an object/,
    ],
    [
      "references and nothing else",
      oneTask([REFERENCE], ["a"]),
      /agent_perspectives: expected at least one perspective/,
    ],
    [
      "references that are not there",
      reference({ add_references: true }),
      /agent_perspectives\[0\]: expected \{"condition": "Reference"/,
    ],
    [
      "references that are not first",
      oneTask([PLAIN, REFERENCE], ["a", "b"]),
      /agent_perspectives\[1\]\.strategy: expected the main instruction/,
    ],
    [
      "a perspective behind the references without a strategy",
      oneTask([REFERENCE, { condition: "A", reading: null }], ["a", "b"]),
      /agent_perspectives\[1\]\.strategy: missing/,
    ],
    [
      "samples that are not in a row",
      oneTask(
        [1, 2, 2, 1].map((replicate, at) => ({ ...PLAIN, condition: at < 2 ? "A" : "B", replicate })),
        ["a", "b", "c", "d"],
      ),
      /agent_perspectives\[2\]: expected replicate 1 of the perspective, as each has 2/,
    ],
    [
      "fewer samples of one perspective",
      oneTask([REFERENCE, ...[1, 2, 1].map((replicate) => ({ ...PLAIN, replicate }))], ["a", "b", "c", "d"]),
      /agent_perspectives\[4\]: expected replicate 2/,
    ],
    [
      "samples of other instructions",
      oneTask(
        [PLAIN, { ...PLAIN, strategy: "Other." }].map((p, at) => ({ ...p, replicate: at + 1 })),
        ["a", "b"],
      ),
      /agent_perspectives\[1\]: expected replicate 2/,
    ],
    [
      "a perspective with more",
      oneTask([{ ...PLAIN, colour: "red" }], ["a"]),
      /agent_perspectives\[0\]\.colour: unknown key/,
    ],
    [
      "several errors at once",
      {
        ...without("task_type"),
        task_description: 7,
        metadata: { model_config: {}, token_usage: { prompt_tokens: -1 } },
      },
      /has 4 errors/,
      /task_type: missing/,
      /task_description: expected a description of the task, a non-empty string, found 7/,
      /metadata\.model_config\.model_name: missing/,
      /metadata\.token_usage\.prompt_tokens: expected a whole number of at least 0, found -1/,
    ],
    ["no metadata", without("metadata"), /metadata\.model_config\.model_name: missing; .*\n.*--model/s],
    ["metadata that are none", reference({ metadata: [] as never }), /metadata: expected an object, found \[\]/],
    [
      "an unknown parameter",
      withMetadata({ model_config: { model_name: "a", top_k: 3 } }),
      /metadata\.model_config\.top_k: unknown key/,
    ],
    [
      "another provider",
      withMetadata({ api_provider: "azure" }),
      /metadata\.api_provider: expected one of "openai", .* found "azure"/,
    ],
    [
      "a base URL that is not a URL",
      withMetadata({ base_url: "localhost" }),
      /metadata\.base_url: expected an http or https URL/,
    ],
    [
      "a sample size that is not a number",
      withMetadata({ data_config: { sample_size: "all" } }),
      /metadata\.data_config\.sample_size: expected/,
    ],
    ["a usage that is none", withMetadata({ token_usage: 12 }), /metadata\.token_usage: expected an object, found 12/],
    [
      "calls that are no number",
      withMetadata({ api_calls: { total_calls: "6" } }),
      /metadata\.api_calls\.total_calls: expected/,
    ],
  ])("%s", async (_, content, ...reasons) => {
    await using ws = await workspace();
    const error = await refusalOf(ws, content);
    expect(error).toBeInstanceOf(UsageError);
    const { message, hint } = error as UsageError;
    for (const reason of reasons) expect(`${message}\n${hint}`.replaceAll(ws.path, "")).toMatch(reason);
    for (const table of ["runs", "tasks", "texts", "answers", "settings"]) {
      expect(all(ws, `select * from ${table}`)).toEqual([]);
    }
  });

  async function refusalOf(ws: Workspace, content: unknown): Promise<unknown> {
    const path = await ws.write("old.json", content);
    using store = openStore(ws.at("data/datagen.db"));
    return await importDataset(store, path, { environment: {} }).catch((error: unknown) => error);
  }

  test("with exit code 2, and nothing on stdout", async () => {
    await using ws = await workspace();
    await ws.write("old.json", withTask({ ...first, responses: [7, "a"] }));
    const { code, stdout, stderr } = await datagenInTurn(["import", "old.json", "--json"], { cwd: ws.path });
    expect(stderr).toBe(
      "Error: old.json has 1 bad task:\n" +
        "  tasks[2].responses[0] (line 40): expected a string or null, found the number 7\n" +
        "Nothing was imported. docs/datasets.md shows what a dataset holds.\n",
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect((await datagenInTurn(["runs", "list", "--json"], { cwd: ws.path })).stdout).toBe("[]\n");
  });

  test("one that is not there, or a folder", async () => {
    await using ws = await workspace();
    expect((await datagenInTurn(["import", "old.json"], { cwd: ws.path })).stderr).toMatch(
      /^Error: there is no dataset old\.json\n/,
    );
    await ws.write("old.json/file", "");
    expect((await datagenInTurn(["import", "old.json"], { cwd: ws.path })).stderr).toMatch(
      /^Error: the dataset old\.json is not a/,
    );
  });

  test("up to 20 bad tasks of it at once", async () => {
    await using ws = await workspace();
    const bad = Array.from({ length: 30 }, () => ({ ...first, context: null }));
    await ws.write("old.json", reference({ tasks: [first, ...bad] as never }));
    const { stderr } = await datagenInTurn(["import", "old.json"], { cwd: ws.path });
    expect(stderr).toContain("has 20 bad tasks:");
    expect(stderr).toContain("tasks[20].context");
    expect(stderr).not.toContain("tasks[21]");
  });
});

test("what a file says is shown on a terminal, and not obeyed", async () => {
  await using ws = await workspace();
  const evil = "\u001b[2J\u202e\u0007";
  const evils = [PLAIN, PLAIN].map((perspective) => ({ ...perspective, condition: evil }));
  const dataset = oneTask(evils, [`Error: ${evil}`, `Error: Error code: 500 ${evil}`]);
  await ws.write("old.json", { ...dataset, task_type: evil, metadata: { model_config: { model_name: evil } } });
  const good = await imported(ws);
  expect(warningsIn(good).length).toBeGreaterThanOrEqual(3);
  await ws.write("old.json", {
    ...dataset,
    [evil]: 1,
    tasks: [{ [evil]: evil }],
    metadata: { model_config: { [evil]: evil } },
  });
  const bad = await datagenInTurn(["import", "old.json"], { cwd: ws.path });
  expect(bad.code).toBe(2);
  for (const output of [good.stderr, bad.stderr, (await datagenInTurn(["runs", "list"], { cwd: ws.path })).stdout]) {
    expect(output).not.toMatch(OBEYED);
  }
});

describe("a dataset much larger than the memory", () => {
  /** Writes a dataset of this many tasks, 1 MB each. */
  async function large(ws: Workspace, tasks: number): Promise<void> {
    const { tasks: _, ...head } = reference();
    const path = ws.at("old.json");
    await writeFile(path, '{"tasks": [');
    for (let task = 0; task < tasks; task += 1) {
      const response = `${task} ${'says "so" and\nso; '.repeat(25_000)}`;
      const written = {
        context: `Eingabe ${task}`,
        responses: [response, response],
        preparations: [null, `notes ${task}`],
      };
      await appendFile(path, `${task > 0 ? "," : ""}\n${JSON.stringify(written)}`);
    }
    await appendFile(path, `],${JSON.stringify(head).slice(1)}`);
  }

  test("is imported in a heap of 48 MB, and one that is cut off by a kill leaves nothing", async () => {
    await using ws = await workspace();
    await large(ws, 64);
    const env = { NODE_OPTIONS: "--max-old-space-size=48" };
    await using killed = startDatagen(["import", "old.json"], { cwd: ws.path, env });
    const rowsThere = () => existsSync(ws.at("data/datagen.db")) && tasksIn(ws) > 0;
    await expect.poll(rowsThere, { timeout: 30_000, interval: 10 }).toBe(true);
    killed.kill();
    await killed.done;
    expect((await datagenInTurn(["runs", "list", "--json"], { cwd: ws.path })).stdout).toBe("[]\n");

    const { run } = await imported(ws, [], env);
    expect(run).toMatchObject({ tasks: 64, calls: { total: 192, succeeded: 192 } });
    expect(all(ws, "select public_id from runs")).toEqual([{ public_id: run.id }]);
    expect(all(ws, "select count(*) n from answers")).toEqual([{ n: 192 }]);
    await expectSound(ws);
  });

  function tasksIn(ws: Workspace): number {
    try {
      return all<{ n: number }>(ws, "select count(*) n from tasks")[0]?.n ?? 0;
    } catch {
      // Its tables are not there yet.
      return 0;
    }
  }
});

test("the library imports into an open store, and tells warnings as events", async () => {
  await using ws = await workspace();
  const path = await ws.write("old.json", oneTask([PLAIN, PLAIN], ["a", null]));
  using store = openStore(ws.at("library.db"));
  const events: unknown[] = [];
  const id = await importDataset(store, path, {
    name: "mine",
    environment: {},
    onEvent: (event) => events.push(event),
  });
  expect(showRun(store, id)).toMatchObject({
    run: { name: "mine", status: "failed" },
    imported: { file: path, api_calls: 6 },
  });
  expect(events).toMatchObject([
    { type: "warning", message: expect.stringContaining('"Plain #2"') as unknown },
    { type: "warning", message: expect.stringContaining("1 call without an answer") as unknown },
  ]);
  const text = (await renderRun(store, id).toArray()).join("");
  expect((JSON.parse(text) as Dataset).tasks[0]!.responses).toEqual(["a", null]);
  await expect(importDataset(store, ws.at("none.json"))).rejects.toThrow(UsageError);
  await expect(importDataset(store, path, { baseUrl: "localhost" })).rejects.toThrow(/--base-url/);
});

describe("cutting an object into pieces", () => {
  async function cut(text: string, sizes: number[]): Promise<{ members: unknown; elements: unknown[] }> {
    async function* chunks() {
      let at = 0;
      for (let turn = 0; at < text.length; turn += 1) {
        const size = sizes[turn % sizes.length] ?? 1;
        yield text.slice(at, at + size);
        at += size;
      }
    }
    const members: string[] = [];
    const elements: unknown[] = [];
    for await (const piece of piecesOf(chunks(), "FILE", "tasks")) {
      expect(text.split("\n")[piece.line - 1]).toContain(piece.text.split("\n")[0]);
      if (piece.index === null) members.push(piece.text);
      else expect(elements.push(JSON.parse(piece.text))).toBe(piece.index + 1);
    }
    return { members: JSON.parse(`{${members.join(",")}}`), elements };
  }

  test("gives what JSON.parse gives, wherever the chunks end", async () => {
    const strings = fc.oneof(
      fc.string({ unit: fc.constantFrom('"', "\\", "[", "]", "{", "}", ",", ":", "\n", "ä") }),
      fc.string(),
    );
    const names = fc
      .oneof(fc.constantFrom("tasks ", "task", '"tasks', "x"), strings)
      .filter((name) => name !== "tasks");
    const values = fc.oneof(strings, fc.jsonValue({ maxDepth: 2 }));
    const cases = fc.record({
      before: fc.dictionary(names, values, { maxKeys: 3 }),
      tasks: fc.option(fc.array(values, { maxLength: 4 })),
      after: fc.dictionary(names, values, { maxKeys: 3 }),
      indent: fc.constantFrom(0, 2, "\t"),
      sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ before, tasks, after, indent, sizes }) => {
        const others = { ...before, ...after };
        const object = tasks === null ? others : { ...before, tasks, ...after };
        const pieces = await cut(JSON.stringify(object, null, indent), sizes);
        expect(pieces).toEqual(JSON.parse(JSON.stringify({ members: others, elements: tasks ?? [] })));
      }),
      { numRuns: rounds(500, 20_000) },
    );
  });
});

function escaped(character: string, offset: number, text: string): string {
  // Words of JSON itself are no strings.
  const isInString = (text.slice(0, offset).match(/"/g)?.length ?? 0) % 2 === 1;
  return isInString ? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}` : character;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

test.each([
  ["a member that is never closed", `{"metadata": "${"x".repeat(17_000_000)}`, /the member .* is longer than 16000000/],
  ["a task that is never closed", `{"tasks": ["${"x".repeat(49_000_000)}`, /tasks\[0\] .* is longer than 48000000/],
])("%s is refused before it is whole in memory", async (_, text, says) => {
  async function* chunks() {
    for (let at = 0; at < text.length; at += 1 << 18) yield text.slice(at, at + (1 << 18));
  }
  const pieces = piecesOf(chunks(), "FILE", "tasks");
  await expect(pieces.next()).rejects.toThrow(says);
});
