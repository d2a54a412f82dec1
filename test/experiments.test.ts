import { existsSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createExperiment } from "../src/app/run/create-run.ts";
import { executeExperiment } from "../src/app/run/execute-runs.ts";
import type { RunDetails } from "../src/app/runs/show-run.ts";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { parseConfigs } from "../src/config/parse.ts";
import { openStore } from "../src/store/file/open.ts";
import {
  type Config,
  configFor,
  environmentFor,
  expectedDataset,
  type ExpectedTask,
  queryRows,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { rounds } from "./support/rounds.ts";
import { type LoopbackServer, promptHashOf, startServer } from "./support/server.ts";

const DB = "data/datagen.db";
const PRICES: Record<string, { input: number; output: number }> = {
  "gpt-4o-mini": { input: 1, output: 4 },
  "gpt-4.1": { input: 2, output: 8 },
  "meta-llama/Llama-3.3-70B-Instruct-Turbo": { input: 3, output: 3 },
  "gpt-4.1-nano": { input: 1, output: 1 },
};
const MODELS = Object.keys(PRICES).slice(0, 3);

interface Told {
  experiment: string;
  runs: { run: RunSummary; dataset: string | null }[];
}

/** A config of several models. A key that is missing in an entry comes from the other models. */
function experimentOf(models: readonly string[], overrides: Record<string, unknown> = {}) {
  const { model_config: model, ...config } = configFor({ concurrency: 6, ...overrides });
  const entries = models.map((name) => ({ ...model, model_name: name, prices: PRICES[name] }));
  return { ...config, model_config: entries };
}

/** The config of one of its models. */
function singleOf(model: string, overrides: Record<string, unknown> = {}): Config {
  return configFor({ concurrency: 6, ...overrides, model_config: { model_name: model } });
}

async function write(space: Workspace, config: unknown, inputs: number): Promise<void> {
  await space.write("rows.json", rows(inputs));
  await space.write("config.json", config);
}

const told = (stdout: string) => JSON.parse(stdout) as Told;

async function tasksOf(space: Workspace, path: string | null): Promise<ExpectedTask[]> {
  const { tasks } = await space.json<{ tasks: ExpectedTask[] }>(path ?? "missing");
  return tasks.map(({ context, responses, preparations }) => ({ context, responses, preparations }));
}

/** What a server has charged, in US dollars. */
function chargedBy({ requests }: LoopbackServer): number {
  return requests.reduce((sum, { model, usage }) => {
    const { input, output } = PRICES[model]!;
    return sum + ((usage?.prompt ?? 0) * input + (usage?.completion ?? 0) * output) / 1e6;
  }, 0);
}

/** The answered calls of a database: the model and the hash of the prompt. */
function finishedIn(space: Workspace, inputs: number): Set<string> {
  const done = queryRows<{ model: string; task: number; perspective: number; step: string }>(
    space.at(DB),
    `select r.model, t.position task, p.position perspective, c.step from calls c join runs r on r.id = c.run_id
      join tasks t on t.id = c.task_id join perspectives p on p.id = c.perspective_id where c.state = 'succeeded'`,
  );
  const cells = new Set(done.map(({ model, task, perspective, step }) => [model, task, perspective, step].join("/")));
  return new Set(
    MODELS.flatMap((model) =>
      expectedDataset(singleOf(model), rows(inputs))
        .calls.filter(({ task, perspective, step }) => cells.has([model, task, perspective, step].join("/")))
        .map(({ asked }) => `${model} ${promptHashOf(asked.prompt)}`),
    ),
  );
}

/** Some of the requests to one model fail. The same request fails only at its first arrivals. */
const faults: NonNullable<LoopbackServer["behave"]> = ({ model, promptHash, nth }) =>
  model === MODELS[2] && parseInt(promptHash.slice(0, 6), 16) % 5 === 0 && nth <= 2
    ? { kind: "status", status: nth === 1 ? 500 : 503 }
    : undefined;

describe("an experiment", () => {
  test(
    "that is killed four times gives the datasets of its models alone, and sends no finished call again",
    async () => {
      const inputs = rounds(10, 100);
      await using space = await workspace();
      await using server = await startServer({ latency: ({ index }) => 5 + ((index * 7) % 15) });
      await write(space, experimentOf(MODELS, { max_cost_usd: 5 }), inputs);
      const options = { cwd: space.path, env: environmentFor(server) };
      const finished: [at: number, Set<string>][] = [];
      for (let kill = 0; kill < 4; kill += 1) {
        const args = kill === 0 ? ["run", "config.json", "--name", "models-1"] : ["resume", "models-1"];
        await using running = startDatagen(args, options);
        const until = server.requests.length + 3 * inputs;
        server.behave = (call) => {
          if (call.index === until) running.kill();
          return faults(call);
        };
        expect((await running.done).signal).toBe("SIGKILL");
        while (server.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 10));
        finished.push([server.requests.length, finishedIn(space, inputs)]);
      }
      const result = await datagenInTurn(["resume", "models-1", "--json"], options);
      expect(result.code, result.stderr).toBe(0);
      const { experiment, runs } = told(result.stdout);
      expect([experiment, runs.map(({ run }) => run.model)]).toEqual(["models-1", MODELS]);
      for (const { run, dataset } of runs) {
        const expected = expectedDataset(singleOf(run.model), rows(inputs));
        expect(await tasksOf(space, dataset), run.model).toEqual(expected.tasks);
      }
      for (const [at, calls] of finished) {
        const later = server.requests.slice(at).map(({ model, promptHash }) => `${model} ${promptHash}`);
        expect(later.filter((call) => calls.has(call))).toEqual([]);
      }
      expect(finished.at(-1)![1].size).toBeGreaterThan(5 * inputs);
      expect(chargedBy(server)).toBeLessThanOrEqual(5);
      expect((await datagenInTurn(["db", "check"], options)).code).toBe(0);

      // A fourth model is asked alone.
      const before = server.requests.length;
      await space.write("config.json", experimentOf(Object.keys(PRICES)));
      const more = await datagenInTurn(["run", "config.json", "--json"], options);
      expect(more.code, more.stderr).toBe(0);
      const later = server.requests.slice(before);
      expect(new Set(later.map(({ model }) => model))).toEqual(new Set(["gpt-4.1-nano"]));
      expect(later).toHaveLength(inputs * 6);
      expect(told(more.stdout).runs.map(({ run }) => run.calls.reused)).toEqual([
        6 * inputs,
        6 * inputs,
        6 * inputs,
        0,
      ]);
    },
    rounds(180_000, 1_200_000),
  );

  test("keeps one cap for all its runs, also when one of them is resumed alone", async () => {
    const inputs = 20;
    await using space = await workspace();
    await using server = await startServer({ latency: 5 });
    await write(space, experimentOf(MODELS), inputs);
    const options = { cwd: space.path, env: environmentFor(server) };
    const cap = 0.02;
    const stopped = await datagenInTurn(["run", "config.json", "--max-cost", String(cap), "--json"], options);
    expect(stopped.code, stopped.stderr).toBe(3);
    const { experiment, runs } = told(stopped.stdout);
    expect(runs.map(({ dataset }) => dataset)).toEqual([null, null, null]);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);
    // Requests of each model are still in flight when the first has no room left, and give something back.
    expect(chargedBy(server)).toBeGreaterThan(cap * 0.5);
    expect(new Set(server.requests.map(({ model }) => model))).toEqual(new Set(MODELS));
    expect(stopped.stderr).toMatch(/Go on with: datagen resume translation-\d{4}-\d\d-\d\d --max-cost 0\.04/);

    for (const { run } of runs) {
      const alone = await datagenInTurn(["resume", run.id], options);
      expect(alone.code, alone.stderr).toBe(3);
    }
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);
    const show = await datagenInTurn(["runs", "show", runs[0]!.run.id, "--json"], options);
    expect(JSON.parse(show.stdout)).toMatchObject({ run: { experiment }, max_cost_usd: cap });

    // What a deleted run has cost is spent.
    const costs = runs.map(({ run }) => run.cost_usd ?? 0);
    expect((await datagenInTurn(["runs", "delete", runs[0]!.run.id, "--yes"], options)).code).toBe(0);
    const without = await datagenInTurn(["resume", runs[1]!.run.id], options);
    expect(without.code, without.stderr).toBe(3);
    expect(costs[0]).toBeGreaterThan(0);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);

    // A higher cap of one run is that of all.
    const raised = await datagenInTurn(["resume", runs[1]!.run.id, "--max-cost", "5"], options);
    expect(raised.code, raised.stderr).toBe(0);
    const rest = await datagenInTurn(["resume", experiment, "--json"], options);
    expect(rest.code, rest.stderr).toBe(0);
    expect(told(rest.stdout).runs.map(({ run }) => run.status)).toEqual(["completed", "completed"]);
  });

  test("waits at its cap for what is set aside for another run", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 300 });
    // There is room for one request at a time: each may cost about 0.0011 dollars, and costs a third of that.
    const one = [{ condition: "Plain", reading: null, strategy: "Say it in English." }];
    const models = experimentOf(MODELS.slice(0, 2), { agent_perspectives: one, max_cost_usd: 0.0018 });
    const priced = models.model_config.map((model) => ({ ...model, prices: { input: 1, output: 4 } }));
    await write(space, { ...models, model_config: priced }, 1);
    const result = await datagenInTurn(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
    expect(result.code, result.stderr).toBe(0);
    expect(server.maxInFlight).toBe(1);
  });

  test("waits at its cap for the batches of another run, too", async () => {
    await using space = await workspace();
    await using server = await startServer({ behaveBatch: () => ({ ms: 1_000 }) });
    const inputs = 4;
    // There is room for fewer requests than one run has: each costs a third of what it may cost.
    const one = [{ condition: "Plain", reading: null, strategy: "Say it in English." }];
    const models = experimentOf(MODELS.slice(0, 2), {
      agent_perspectives: one,
      max_cost_usd: 0.0017,
      executor: "batch",
    });
    const prices = { input: 1, output: 4, batch_factor: 0.5 };
    await write(space, { ...models, model_config: models.model_config.map((model) => ({ ...model, prices })) }, inputs);
    const result = await datagenInTurn(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
    expect(result.code, result.stderr).toBe(0);
    const lines = server.batches.map((batch) => batch.lines.length);
    expect(lines.reduce((sum, count) => sum + count, 0)).toBe(2 * inputs);
    expect(lines[0]).toBeLessThan(inputs);
  });

  test("with a cap is executed by one process at a time", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 5 });
    await write(space, experimentOf(MODELS, { max_cost_usd: 5 }), 4);
    const options = { cwd: space.path, env: environmentFor(server) };
    server.behave = ({ model }) => (model === MODELS[0] ? { kind: "hang" } : undefined);
    await using running = startDatagen(["run", "config.json", "--name", "one-at-a-time"], options);
    const found = await running.waitFor(/Experiment one-at-a-time: the runs (\w+), (\w+), (\w+)/);
    const second = found[2]!;
    const isDone = () =>
      queryRows<{ id: number }>(space.at(DB), "select id from runs where finished_at is not null").length === 2;
    while (!isDone()) await new Promise((resolve) => setTimeout(resolve, 20));
    const other = await datagenInTurn(["resume", second, "--retry-failed"], options);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/run \w+ of the same experiment is executed by process \d+ on /);
    running.kill();
    await running.done;
    server.behave = undefined;
    expect((await datagenInTurn(["resume", "one-at-a-time"], options)).code).toBe(0);
  });

  test("with a cap is taken over as a whole from a process that is stuck", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 5, behave: () => ({ kind: "hang" }) });
    await write(space, experimentOf(MODELS, { max_cost_usd: 5 }), 4);
    const options = { cwd: space.path, env: environmentFor(server) };
    await using stuck = startDatagen(["run", "config.json", "--name", "stuck-1"], options);
    while (new Set(server.requests.map(({ model }) => model)).size < 3) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    stuck.kill("SIGSTOP");
    server.behave = undefined;
    const taken = await datagenInTurn(["resume", "stuck-1", "--take-over"], options);
    expect(taken.code, taken.stderr).toBe(0);
    expect(taken.stderr.match(/taking run/g)).toHaveLength(3);
  });

  test("whose plan was killed has left nothing, and its name is free", async () => {
    await using space = await workspace();
    const inputs = 3_000;
    await write(space, experimentOf(MODELS, { api_provider: "offline" }), inputs);
    await using planning = startDatagen(["run", "config.json", "--name", "killed-1", "--sample-size", String(inputs)], {
      cwd: space.path,
    });
    const isBegun = () =>
      existsSync(space.at(DB)) &&
      queryRows(space.at(DB), "select 1 from sqlite_schema where name = 'tasks'").length > 0 &&
      queryRows(space.at(DB), "select 1 from tasks limit 1").length > 0;
    while (!isBegun()) await new Promise((resolve) => setTimeout(resolve, 5));
    planning.kill();
    await planning.done;
    expect(queryRows(space.at(DB), "select id from runs where planned_at is not null")).toEqual([]);
    const again = await offline(space)(["run", "config.json", "--name", "killed-1", "--sample-size", "2"]);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout.trim().split("\n")).toHaveLength(3);
  });

  test("has the datasets of its other runs when one cannot be written, and says which", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 100 });
    await write(space, experimentOf(MODELS), 2);
    const options = { cwd: space.path, env: environmentFor(server) };
    await using running = startDatagen(
      ["run", "config.json", "--name", "full-1", "--output", "out", "--json"],
      options,
    );
    await running.waitFor(/Experiment full-1/);
    const [, second] = queryRows<{ name: string }>(space.at(DB), "select dataset_name name from runs order by id");
    await mkdir(space.at("out"));
    await symlink("/dev/full", space.at(`out/${second!.name}.json`));
    const result = await running.done;
    expect(result.code, result.stderr).toBe(3);
    const { runs } = told(result.stdout);
    expect(runs.map(({ run, dataset }) => [run.status, dataset !== null])).toEqual([
      ["completed", true],
      ["completed", false],
      ["completed", true],
    ]);
    expect(result.stderr).toMatch(/^gpt-4\.1: Error: the disk of out\/\S+ is full$/m);
  });

  test("goes on with its other runs when one stops, and says what each has", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 5 });
    await write(space, experimentOf(MODELS), 6);
    const options = { cwd: space.path, env: environmentFor(server) };
    const refuse: NonNullable<LoopbackServer["behave"]> = ({ model, promptHash }) => {
      if (model === MODELS[2]) return { kind: "status", status: 401 };
      return model === MODELS[1] && promptHash.startsWith("a") ? { kind: "contentFilter" } : undefined;
    };
    server.behave = refuse;
    const result = await datagenInTurn(["run", "config.json", "--json", "--output", "out"], options);
    expect(result.code, result.stderr).toBe(3);
    const { experiment, runs } = told(result.stdout);
    expect(runs.map(({ run }) => run.status)).toEqual([
      "completed",
      runs[1]!.run.calls.failed > 0 ? "failed" : "completed",
      "interrupted",
    ]);
    expect(runs.map(({ dataset }) => dataset?.startsWith("out/translation_"))).toEqual([true, true, undefined]);
    expect(result.stderr).toMatch(/Llama-3\.3-70B\S*: Error: .*refused the API key/);
    expect(result.stderr).toContain(`Go on with: datagen resume ${experiment} --output out/`);
    const partly = await datagenInTurn(["export", experiment, "--output", "partly"], options);
    expect([partly.code, partly.stderr]).toEqual([2, expect.stringMatching(/calls of run \w+ are pending/)]);
    expect(existsSync(space.at("partly"))).toBe(false);
    server.behave = ({ model, promptHash, ...call }) =>
      refuse({ ...call, promptHash, model: model === MODELS[2] ? "" : model });
    const again = await datagenInTurn(["resume", experiment], options);
    expect(again.code, again.stderr).toBe(runs[1]!.run.calls.failed > 0 ? 1 : 0);
    expect(again.stdout.trim().split("\n")).toHaveLength(3);
  });

  test("stops as a whole at Ctrl-C", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 40 });
    await write(space, experimentOf(MODELS), 40);
    const options = { cwd: space.path, env: environmentFor(server) };
    await using running = startDatagen(["run", "config.json", "--name", "to-stop"], options);
    while (server.requests.length < 40) await new Promise((resolve) => setTimeout(resolve, 10));
    running.kill("SIGINT");
    const stopped = await running.done;
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stdout).toBe("");
    expect(stopped.stderr).toContain("Go on with: datagen resume to-stop");
    const open = queryRows<{ n: number }>(space.at(DB), "select count(*) n from attempts where outcome = 'unanswered'");
    expect(open).toEqual([{ n: 0 }]);
    expect((await datagenInTurn(["resume", "to-stop"], options)).code).toBe(0);
  });

  test("names itself in a command that can be typed, also where its name has a blank", async () => {
    await using space = await workspace();
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await write(space, experimentOf(MODELS), 2);
    const options = { cwd: space.path, env: environmentFor(server) };
    await using running = startDatagen(["run", "config.json", "--name", "it's two"], options);
    while (server.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    running.kill("SIGINT");
    await running.waitFor(/Press Ctrl-C again/);
    running.kill("SIGINT");
    const ended = await running.done;
    expect([ended.code, ended.stderr]).toEqual([
      130,
      expect.stringContaining(String.raw`Go on with: datagen resume 'it'\''s two'`),
    ]);
  });

  test.runIf(process.platform === "linux")(
    "holds back some space of the disk once, and more for each run",
    async () => {
      await using space = await workspace();
      await using server = await startServer({ behave: () => ({ kind: "hang" }) });
      await write(space, experimentOf(MODELS, { concurrency: 32 }), 4);
      await using run = startDatagen(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
      while (new Set(server.requests.map(({ model }) => model)).size < 3) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const files = `/proc/${run.child.pid}/fd`;
      const held = readdirSync(files).filter((file) => readlinkSync(join(files, file)).includes("datagen.db-reserve-"));
      expect(held.map((file) => statSync(join(files, file)).size)).toEqual([(16 + 3 * 2) * 1024 * 1024]);
    },
  );
});

describe("the library", () => {
  test("plans an experiment, executes it, and says of each event which run it is about", async () => {
    await using space = await workspace();
    await write(space, {}, 2);
    const config = {
      ...configFor({ api_provider: "offline" }),
      data_config: { input_data_path: space.at("rows.json") },
    };
    const configs = parseConfigs({ ...config, model_config: [{ model_name: "a-1" }, { model_name: "b-2" }] });
    using store = openStore(space.at("library.db"));
    const { name, runs } = await createExperiment(store, configs, { name: "library-1" });
    const about = new Set<string>();
    const executed = await executeExperiment(store, name, { onEvent: (_event, run) => about.add(run) });
    expect(executed.map(({ run, error }) => [run.id, run.status, error])).toEqual(
      runs.map((id) => [id, "completed", undefined]),
    );
    expect([...about].toSorted()).toEqual(runs.toSorted());
  });
});

const offline = (space: Workspace) => (args: string[]) => datagenInTurn(args, { cwd: space.path });

describe("the name of an experiment", () => {
  test("works where a run does, and its runs keep their own ids", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, configFor({ api_provider: "offline" }), 3);
    const first = await run(["run", "config.json", "--model", "a-1", "--model", "b-2", "--name", "two"]);
    expect(first.code, first.stderr).toBe(0);
    const paths = first.stdout.trim().split("\n");
    expect(paths).toHaveLength(2);
    const list = JSON.parse((await run(["runs", "list", "--json"])).stdout) as RunSummary[];
    expect(list.map(({ experiment, name, model }) => [experiment, name, model])).toEqual([
      ["two", null, "b-2"],
      ["two", null, "a-1"],
    ]);
    expect((await run(["runs", "list"])).stdout).toMatch(/^RUN +EXPERIMENT +STATUS/);

    const shown = JSON.parse((await run(["runs", "show", "two", "--json"])).stdout) as {
      experiment: string;
      runs: RunDetails[];
    };
    expect([shown.experiment, shown.runs.map((one) => one.run.model)]).toEqual(["two", ["a-1", "b-2"]]);
    expect((await run(["runs", "show", "two"])).stdout).toContain("Experiment two");

    const exported = await run(["export", "two", "--json"]);
    expect(JSON.parse(exported.stdout)).toMatchObject({
      experiment: "two",
      runs: paths.map((dataset) => ({ dataset })),
    });
    const flat = await run(["export", "two", "--output", "both.csv"]);
    expect(flat.stdout).toBe("both.csv\n");
    const rowsOfBoth = await space.read("both.csv");
    for (const { id } of list) expect(rowsOfBoth).toContain(id);
    const file = await run(["export", "two", "--output", "x.json"]);
    expect([file.code, file.stderr]).toEqual([2, expect.stringContaining("is not a folder")]);

    const answers = JSON.parse((await run(["show", "two", "--input", "1", "--json"])).stdout) as {
      runs: { run: RunSummary; task: number }[];
    };
    expect(answers.runs.map(({ run: { model }, task }) => [model, task])).toEqual([
      ["a-1", 1],
      ["b-2", 1],
    ]);
    const config = await run(["runs", "config", "two"]);
    expect([config.code, config.stderr]).toEqual([
      2,
      expect.stringContaining(
        `"two" is an experiment of 2 runs: ${list
          .map(({ id }) => id)
          .toReversed()
          .join(", ")}`,
      ),
    ]);

    const deleted = await run(["runs", "delete", "two", "--yes", "--json"]);
    expect(JSON.parse(deleted.stdout)).toMatchObject({ experiment: "two", deleted: [list[1]!.id, list[0]!.id] });
    expect((await run(["runs", "list", "--json"])).stdout).toBe("[]\n");
    // With its runs its name is free again.
    expect((await run(["run", "config.json", "--model", "a-1", "--model", "b-2", "--name", "two"])).code).toBe(0);
  });

  test("measures and compares all its runs", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, configFor({ api_provider: "offline" }), 3);
    await run(["run", "config.json", "--model", "a-1", "--model", "b-2", "--name", "two", "--no-export"]);
    const stats = JSON.parse((await run(["stats", "two", "--json"])).stdout) as { run: string; conditions: object[] }[];
    expect(stats).toHaveLength(2);
    const compared = JSON.parse((await run(["diff", "two", "--stats", "--json"])).stdout) as { statistics: object[] };
    expect(compared.statistics).toEqual(stats);
    const table = (await run(["diff", "two", "--stats"])).stdout;
    const words = stats.map(({ conditions }) => (conditions[0] as { words: { mean: number } }).words.mean.toFixed(1));
    expect(table).toMatch(new RegExp(`^Plain +A +${words[0]} .*\n +B +${words[1]} `, "m"));
  });

  test.for([
    ["abc", /could be the beginning of a run's id/],
    ["latest", /means the newest run/],
    ["--x".slice(1), /begins with a dash/],
    ["", /is empty/],
    ["a-1 ", /begins or ends with white space/],
    ["a\u0007b-1", /characters that cannot be seen/],
    ["x".repeat(101), /more than 100 characters/],
    ["used-already", /there is an experiment "used-already" already/],
  ] as const)("cannot be %j", async ([name, message]) => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, configFor({ api_provider: "offline" }), 2);
    const models = ["--model", "a-1", "--model", "b-2"];
    await run(["run", "config.json", ...models, "--name", "used-already"]);
    const result = await run(["run", "config.json", ...models, `--name=${name}`]);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
    expect(queryRows(space.at(DB), "select id from runs")).toHaveLength(2);
  });

  test("is made where none is given, and is another one each time", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, configFor({ api_provider: "offline" }), 2);
    const names = [];
    for (let time = 0; time < 2; time += 1) {
      names.push(
        told((await run(["run", "config.json", "--model", "a-1", "--model", "b-2", "--json"])).stdout).experiment,
      );
    }
    expect(names).toEqual([
      expect.stringMatching(/^translation-\d{4}-\d\d-\d\d$/),
      expect.stringMatching(/^translation-\d{4}-\d\d-\d\d-2$/),
    ]);
  });

  test("stays with runs that are merged, and two experiments of one name stay two", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, configFor({ api_provider: "offline" }), 2);
    for (const db of ["one.db", "other.db"]) {
      await run(["run", "config.json", "--model", "a-1", "--model", db, "--name", "two", "--db", db, "--no-export"]);
    }
    for (let time = 0; time < 2; time += 1) {
      expect((await run(["db", "merge", "other.db", "--db", "one.db"])).code).toBe(0);
    }
    const list = JSON.parse((await run(["runs", "list", "--json", "--db", "one.db"])).stdout) as RunSummary[];
    const names = [...new Set(list.map(({ experiment }) => experiment))];
    expect(list).toHaveLength(4);
    expect(names).toEqual(expect.arrayContaining(["two", expect.stringMatching(/^two-\w+$/)]));
    expect((await run(["resume", names[0]!, "--db", "one.db"])).code).toBe(0);
    expect((await run(["db", "check", "--db", "one.db"])).code).toBe(0);
  });

  test("brings what its deleted runs have cost into another database, where it stays spent", async () => {
    await using space = await workspace();
    await using server = await startServer();
    await write(space, experimentOf(MODELS.slice(0, 2)), 6);
    const run = (...args: string[]) => datagenInTurn(args, { cwd: space.path, env: environmentFor(server) });
    const cap = 0.01;
    const stopped = await run("run", "config.json", "--max-cost", String(cap), "--name", "spent-1", "--json");
    expect(stopped.code, stopped.stderr).toBe(3);
    const [first, second] = told(stopped.stdout).runs.map((one) => one.run);
    expect((await run("runs", "delete", first!.id, "--yes")).code).toBe(0);
    for (let time = 0; time < 2; time += 1) {
      expect((await run("db", "merge", DB, "--db", "other.db")).code).toBe(0);
    }
    expect(queryRows(space.at("other.db"), "select public_id id, cost_nano_usd / 1e9 cost from deleted_runs")).toEqual([
      { id: first!.id, cost: first!.cost_usd },
    ]);
    expect((await run("resume", second!.id, "--db", "other.db")).code).toBe(3);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);
  });

  test("is that of the shards of several machines once they are merged, with the sum of their caps", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, configFor({ api_provider: "offline" }), 5);
    for (const part of [1, 2]) {
      const args = [
        "--model",
        "a-1",
        "--model",
        "b-2",
        "--name",
        `part-${part}`,
        "--shard",
        `${part}/2`,
        "--max-cost",
        "3",
      ];
      expect((await run(["run", "config.json", ...args, "--db", `${part}.db`])).code).toBe(0);
    }
    expect((await run(["db", "merge", "2.db", "--db", "1.db"])).code).toBe(0);
    const shown = JSON.parse((await run(["runs", "show", "part-1", "--json", "--db", "1.db"])).stdout) as {
      runs: RunDetails[];
    };
    expect(shown.runs.map((one) => [one.run.model, one.run.tasks, one.max_cost_usd])).toEqual([
      ["a-1", 5, 6],
      ["b-2", 5, 6],
    ]);
    expect(queryRows(space.at("1.db"), "select name from experiments")).toEqual([{ name: "part-1" }]);
  });
});

describe("the pilots of several models", () => {
  test("run side by side with one cap, and each estimate follows from its own", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 5 });
    await write(space, experimentOf(MODELS), 8);
    const run = (...args: string[]) => datagenInTurn(args, { cwd: space.path, env: environmentFor(server) });
    const cap = 0.012;
    const stopped = await run("estimate", "config.json", "--pilot", "4", "--max-cost", String(cap));
    expect(stopped.code, stopped.stderr).toBe(3);
    expect(stopped.stderr).toMatch(/Go on with: datagen resume pilot-\d{4}-\d\d-\d\d --max-cost 0\.024 --no-export/);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);
    expect(new Set(server.requests.map(({ model }) => model)).size).toBeGreaterThan(1);
    const { code, stdout, stderr } = await run("estimate", "config.json", "--pilot", "2", "--json", "--fresh");
    expect(code, stderr).toBe(0);
    const { models } = JSON.parse(stdout) as {
      models: { model: string; estimate: { basis: { completion_tokens: { level: string; runs: string[] }[] } } }[];
    };
    const runs = JSON.parse((await run("runs", "list", "--json")).stdout) as RunSummary[];
    for (const { model, estimate } of models) {
      const own = runs.find((one) => one.model === model && one.tasks === 2)!;
      expect(own.experiment).toMatch(/^pilot-\d{4}-\d\d-\d\d-2$/);
      expect(estimate.basis.completion_tokens).toMatchObject([{ level: "pilot", runs: [own.id] }]);
    }
  });
});

describe("a config of several models", () => {
  test("says what is wrong with each entry, and what is wrong with all of them once", async () => {
    await using space = await workspace();
    const config = experimentOf(MODELS, { api_provider: "offline", task_type: 7 });
    Object.assign(config.model_config[1]!, { temperature: 9, tempurature: 1, prices: { input: -1 } });
    await write(space, { ...config, prices: { input: 1, output: 1 } }, 2);
    const { code, stderr } = await offline(space)(["run", "config.json"]);
    expect(code).toBe(2);
    expect(stderr).toContain("model_config[1].temperature: expected a number from 0 to 2, found 9");
    expect(stderr).toContain("model_config[1].tempurature: unknown key");
    expect(stderr).toContain("model_config[1].prices.output: missing");
    expect(stderr).toContain("prices: expected prices in the entries of model_config");
    expect(stderr.match(/task_type/g)).toHaveLength(1);
  });

  test.for([
    [[], "expected at least one model"],
    [[3], "model_config[0]: expected an object, found 3"],
    [Array.from({ length: 51 }, () => ({ model_name: "a" })), "expected at most 50 models, found 51"],
    [[{ model_name: "a" }, { model_name: "a" }], "model 2 would be asked the same as model 1"],
  ] as const)("cannot be %j", async ([models, message]) => {
    await using space = await workspace();
    await write(space, { ...configFor({ api_provider: "offline" }), model_config: models }, 2);
    const { code, stderr } = await offline(space)(["run", "config.json"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test("with one entry is a run, and --model chooses from the entries of several", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, { ...configFor({ api_provider: "offline" }), model_config: [{ model_name: "a-1" }] }, 2);
    const one = JSON.parse((await run(["run", "config.json", "--json"])).stdout) as { run: RunSummary };
    expect(one.run).toMatchObject({ model: "a-1", experiment: null });
    const models = [{ model_name: "a-1" }, { model_name: "b-2", api_provider: "offline" }];
    await write(space, { ...configFor(), model_config: models }, 2);
    const chosen = await run(["run", "config.json", "--model", "b-2", "--json"]);
    expect(JSON.parse(chosen.stdout)).toMatchObject({ run: { model: "b-2", experiment: null } });
    const other = await run(["run", "config.json", "--model", "c-3"]);
    expect([other.code, other.stderr]).toEqual([
      2,
      expect.stringContaining('the config has no model "c-3"; it has a-1, b-2'),
    ]);
  });

  test("is estimated by model and as a whole, and previewed by model", async () => {
    await using space = await workspace();
    const run = offline(space);
    await write(space, experimentOf(MODELS), 3);
    const { stdout } = await run(["estimate", "config.json", "--json"]);
    const { models, total } = JSON.parse(stdout) as {
      models: { model: string; estimate: { cost_usd: { live: { expected: number } }; calls: { total: number } } }[];
      total: { cost_usd: { live: { expected: number } }; calls: { total: number } };
    };
    expect(models.map(({ model }) => model)).toEqual(MODELS);
    expect(total.calls.total).toBe(3 * 18);
    const sum = models.reduce((cost, { estimate }) => cost + estimate.cost_usd.live.expected, 0);
    expect(total.cost_usd.live.expected).toBeCloseTo(sum, 9);
    const shown = await run(["estimate", "config.json"]);
    expect(shown.stdout).toMatch(/^All 3 models\n\ncalls +54/m);
    expect(shown.stderr.match(/^Warning: .*so all are used$/gm)).toHaveLength(1);
    const previews = JSON.parse((await run(["preview", "config.json", "--json"])).stdout) as { model: string }[];
    expect(previews.map(({ model }) => model)).toEqual(MODELS);
  });
});
