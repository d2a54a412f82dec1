import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cp } from "node:fs/promises";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { money } from "../src/cli/render/text.ts";
import {
  type Config,
  configFor,
  environmentFor,
  expectedDataset,
  type ExpectedTask,
  type Perspective,
  rows,
  workspace,
  type Workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const INPUTS = 100;

/** Five perspectives, two of them with a reading: 700 calls for 100 inputs. */
const PERSPECTIVES: Perspective[] = [
  { condition: "Plain", reading: null, strategy: "Say it in English." },
  { condition: "Formal", reading: null, strategy: "Say it in English, as to a judge." },
  { condition: "Hasty", reading: null, strategy: "Say roughly what it is about, in English." },
  { condition: "Noted", reading: "Note every statement.", strategy: "Write these notes out in English." },
  { condition: "Rosy", reading: "Note what may not please.", strategy: "Write it out so that it pleases." },
];

const BASE = configFor({
  agent_perspectives: PERSPECTIVES,
  data_config: { sample_size: INPUTS },
  model_config: { max_tokens: 100 },
});

interface Told {
  run: { calls: { total: number; reused: number; failed: number } };
  dataset: string;
}

describe("run, on a database that has a run of 100 inputs and 5 perspectives", () => {
  let first: Workspace;
  let server: LoopbackServer;

  beforeAll(async () => {
    server = await startServer();
    first = await workspace();
    await first.write("rows.json", rows(150));
    await first.write("config.json", BASE);
    const result = await datagenInTurn(["run", "config.json"], { cwd: first.path, env: environmentFor(server) });
    expect(result.code, result.stderr).toBe(0);
    expect(server.requests).toHaveLength(700);
  });

  afterAll(async () => {
    await first[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** Runs a config on a copy of the database. @returns how many requests reached the server, and what was told */
  async function rerun(
    config: Config | string,
    { args = [], inputs = rows(150) }: { args?: string[]; inputs?: object[] } = {},
  ): Promise<Told & { requests: number; tasks: ExpectedTask[]; prompts: Set<string> }> {
    await using space = await workspace();
    await cp(first.at("data"), space.at("data"), { recursive: true });
    await space.write("rows.json", inputs);
    await space.write("config.json", config);
    const before = server.requests.length;
    const result = await datagenInTurn(["run", "config.json", "--json", ...args], {
      cwd: space.path,
      env: environmentFor(server),
    });
    expect(result.code, result.stderr).toBe(0);
    const told = JSON.parse(result.stdout) as Told;
    const { tasks } = await space.json<{ tasks: ExpectedTask[] }>(told.dataset);
    const sent = server.requests.slice(before);
    expect(told.run.calls.total - told.run.calls.reused).toBe(sent.length);
    expect((await datagenInTurn(["db", "check"], { cwd: space.path })).stdout).toMatch(/ 0 broken/);
    return { ...told, tasks, requests: sent.length, prompts: new Set(sent.map(({ promptHash }) => promptHash)) };
  }

  const withPerspectives = (agent_perspectives: Perspective[]): Config => ({ ...BASE, agent_perspectives });

  test("a config that is reordered and formatted otherwise sends nothing", async () => {
    const { model_config, agent_perspectives, ...rest } = BASE;
    const text = `// the same\n${JSON.stringify({
      ...rest,
      agent_perspectives: agent_perspectives
        .toReversed()
        .map(({ condition, reading, strategy }) => ({ strategy, reading, condition })),
      concurrency: 7,
      model_config: Object.fromEntries(Object.entries(model_config).toReversed()),
    })}`;
    const { requests, tasks } = await rerun(text);
    expect(requests).toBe(0);
    const expected = expectedDataset(withPerspectives(PERSPECTIVES.toReversed()), rows(150));
    expect(tasks).toEqual(expected.tasks);
  });

  test("a sixth perspective without a reading sends 100 calls", async () => {
    const sixth = { condition: "Sixth", reading: null, strategy: "Say it in English, in verse." };
    const config = withPerspectives([...PERSPECTIVES, sixth]);
    const { requests, tasks } = await rerun(config);
    expect(requests).toBe(100);
    expect(tasks).toEqual(expectedDataset(config, rows(150)).tasks);
  });

  test("a sample size of 150 instead of 100 sends 350 calls", async () => {
    const config = { ...BASE, data_config: { ...BASE.data_config, sample_size: 150 } };
    const { requests, tasks } = await rerun(config);
    expect(requests).toBe(350);
    expect(tasks).toEqual(expectedDataset(config, rows(150)).tasks);
  });

  test("an edited strategy of a perspective with a reading sends 100 calls, and no reading", async () => {
    const edited = PERSPECTIVES.map((perspective, at) =>
      at === 3 ? { ...perspective, strategy: "Write these notes out in English, in short." } : perspective,
    );
    const { requests, tasks } = await rerun(withPerspectives(edited));
    expect(requests).toBe(100);
    expect(tasks).toEqual(expectedDataset(withPerspectives(edited), rows(150)).tasks);
  });

  test("an edited reading sends 100 readings, and then 100 strategies", async () => {
    const edited = PERSPECTIVES.map((perspective, at) =>
      at === 3 ? { ...perspective, reading: "Note every statement and every name." } : perspective,
    );
    const { requests, tasks } = await rerun(withPerspectives(edited));
    expect(requests).toBe(200);
    expect(tasks).toEqual(expectedDataset(withPerspectives(edited), rows(150)).tasks);
  });

  test("another temperature sends all calls", async () => {
    const { requests } = await rerun({ ...BASE, model_config: { ...BASE.model_config, temperature: 0.1 } });
    expect(requests).toBe(700);
  });

  test("a higher token limit sends all calls; with --reuse-unless-truncated only those that were cut off", async () => {
    const config = { ...BASE, model_config: { ...BASE.model_config, max_tokens: 110 } };
    expect((await rerun(config)).requests).toBe(700);
    const kept = await rerun(config, { args: ["--reuse-unless-truncated"] });
    expect(kept.requests).toBe(0);
  });

  test("an edited input sends its own calls", async () => {
    const inputs = rows(150).map((row, at) => (at === 17 ? { ...row, input: "Der Bäcker bringt 3 Körbe." } : row));
    const { requests, tasks } = await rerun(BASE, { inputs });
    expect(requests).toBe(7);
    expect(tasks).toEqual(expectedDataset(BASE, inputs).tasks);
  });

  test("an edited reference sends nothing", async () => {
    const inputs = rows(150).map((row) => ({ ...row, reference: `${row.reference} (checked)` }));
    const { requests, tasks } = await rerun({ ...BASE, add_references: true }, { inputs });
    expect(requests).toBe(0);
    expect(tasks[17]?.responses[0]).toMatch(/ \(checked\)$/);
  });

  test("--fresh sends all calls", async () => {
    expect((await rerun(BASE, { args: ["--fresh"] })).requests).toBe(700);
  });

  test("--fresh and --reuse-unless-truncated cannot be used together", async () => {
    const args = ["run", "config.json", "--fresh", "--reuse-unless-truncated"];
    const result = await datagenInTurn(args, { cwd: first.path, env: environmentFor(server) });
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(/cannot be used together/);
  });
});

describe("--reuse-unless-truncated", () => {
  test("asks again for what was cut off, keeps the rest, and the dataset says so", async () => {
    await using server = await startServer({
      behave: ({ nth, index }) => (nth === 1 && index % 4 === 0 ? { kind: "length" } : undefined),
    });
    await using space = await workspace();
    await space.write("rows.json", rows(8));
    const config = configFor({ agent_perspectives: PERSPECTIVES.slice(0, 1), concurrency: 1 });
    await space.write("config.json", config);
    const options = { cwd: space.path, env: environmentFor(server) };
    await datagenInTurn(["run", "config.json"], options);
    server.behave = undefined;
    await space.write("config.json", { ...config, model_config: { ...config.model_config, max_tokens: 300 } });
    const result = await datagenInTurn(["run", "config.json", "--reuse-unless-truncated"], options);
    expect(server.requests.slice(8).map(({ parameters }) => parameters["max_tokens"])).toEqual([300, 300]);
    const { metadata } = await space.json<{ metadata: object }>(result.stdout.trim());
    expect(metadata).toMatchObject({
      calls: { reused: 6, truncated: 0 },
      asked_with_other_parameters: [{ parameters: { max_tokens: 200 }, answers: 6 }],
    });
    expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);
  });
});

describe("replicates", () => {
  test("are samples of their own, notes included, in a row for each perspective of the dataset", async () => {
    await using server = await startServer({ behave: ({ index }) => ({ kind: "text", text: `text ${index}` }) });
    await using space = await workspace();
    await space.write("rows.json", rows(2));
    const config = { agent_perspectives: [PERSPECTIVES[0]!, PERSPECTIVES[3]!], add_references: true, concurrency: 1 };
    await space.write("config.json", configFor({ ...config, replicates: 3 }));
    const options = { cwd: space.path, env: environmentFor(server) };
    const result = await datagenInTurn(["run", "config.json"], options);
    expect(result.code, result.stderr).toBe(0);
    expect(server.requests).toHaveLength(2 * (3 + 6));
    const dataset = await space.json<{ agent_perspectives: object[]; tasks: ExpectedTask[] }>(result.stdout.trim());
    expect(dataset.agent_perspectives).toMatchObject([
      { condition: "Reference" },
      ...[1, 2, 3].map((replicate) => ({ condition: "Plain", replicate })),
      ...[1, 2, 3].map((replicate) => ({ condition: "Noted", replicate })),
    ]);
    for (const { responses, preparations } of dataset.tasks) {
      expect(responses).toHaveLength(7);
      expect(new Set([...responses, ...preparations]).size).toBe(7 + 3 + 1);
      expect(preparations.map((notes) => notes === null)).toEqual([true, true, true, true, false, false, false]);
    }
    const lines = await datagenInTurn(["export", "latest", "--format", "jsonl", "-o", "-"], options);
    const flat = lines.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { condition: string; replicate: number });
    expect(flat.slice(0, 7).map(({ condition, replicate }) => `${condition} ${replicate}`)).toEqual([
      "Reference 1",
      "Plain 1",
      "Plain 2",
      "Plain 3",
      "Noted 1",
      "Noted 2",
      "Noted 3",
    ]);
    expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);

    // One sample more of each is all that is new.
    await space.write("config.json", configFor({ ...config, replicates: 4 }));
    await datagenInTurn(["run", "config.json"], options);
    expect(server.requests).toHaveLength(2 * (3 + 6) + 2 * (1 + 2));
  });

  test("of 1 are the documented format", async () => {
    await using server = await startServer();
    await using space = await workspace();
    await space.write("rows.json", rows(2));
    await space.write("config.json", configFor({ replicates: 1 }));
    const result = await datagenInTurn(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
    const dataset = await space.json<{ agent_perspectives: object[] }>(result.stdout.trim());
    for (const perspective of dataset.agent_perspectives) {
      expect(Object.keys(perspective)).toEqual(["condition", "reading", "strategy"]);
    }
  });
});

test("runs delete keeps the answers that other runs have, and says what is lost", async () => {
  await using server = await startServer();
  await using space = await workspace();
  await space.write("rows.json", rows(4));
  await space.write("config.json", configFor({ data_config: { sample_size: 3 } }));
  const options = { cwd: space.path, env: environmentFor(server) };
  await datagenInTurn(["run", "config.json", "--name", "small"], options);
  await datagenInTurn(["run", "config.json", "--sample-size", "4"], options);
  const runs = JSON.parse((await datagenInTurn(["runs", "list", "--json"], options)).stdout) as RunSummary[];
  const spent = runs.reduce((sum, run) => sum + (run.cost_usd ?? Number.NaN), 0);
  const result = await datagenInTurn(["runs", "delete", "latest", "--yes", "--json"], options);
  expect(JSON.parse(result.stdout)).toMatchObject({ answers_lost: 6, answers_kept: 18, batches_open: 0 });
  expect(result.stderr).not.toContain("batch");
  const list = await datagenInTurn(["runs", "list"], options);
  expect(list.stdout.trimEnd().split("\n").at(-1)).toMatch(/^1 run \+ 1 deleted /);
  expect(list.stdout).toContain(money(spent));
  const again = await datagenInTurn(["run", "config.json", "--json"], options);
  expect((JSON.parse(again.stdout) as Told).run.calls).toMatchObject({ total: 18, reused: 18 });
  expect((await datagenInTurn(["db", "check"], options)).stdout).toMatch(/ 0 broken/);
});
