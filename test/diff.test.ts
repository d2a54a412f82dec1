import { cp } from "node:fs/promises";
import Database from "better-sqlite3";
import fc from "fast-check";
import stringWidth from "string-width";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ConditionDiff, RunDiff } from "../src/app/diff/diff-runs.ts";
import type { SeveralRunsDiff } from "../src/app/diff/diff-several-runs.ts";
import { differenceOf, meanDifference } from "../src/app/diff/difference.ts";
import { sideBySide, wrap } from "../src/cli/render/columns.ts";
import {
  type Config,
  configFor,
  environmentFor,
  expectedDataset,
  type Result,
  type Row,
  rows,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn, type InTurnOptions } from "./support/in-turn.ts";
import { answerTo, type Fault, shortened, startServer, usageFor } from "./support/server.ts";

const ESC = "\u001b";
const [PLAIN, FROM_NOTES, HASTY] = configFor().agent_perspectives;

/** Runs configs in a workspace, one after another, with the answers that a script gives. */
async function lab(behave?: Parameters<typeof startServer>[0]) {
  const space = await workspace();
  const server = await startServer(behave);
  const command = (args: string[], options: Partial<InTurnOptions> = {}) =>
    datagenInTurn(args, { cwd: space.path, ...options, env: { ...environmentFor(server), ...options.env } });
  return {
    ...space,
    server,
    command,
    /** @returns the id of the run */
    async run(config: Config, data: Row[], ...args: string[]): Promise<string> {
      await space.write(config.data_config.input_data_path, data);
      await space.write("config.json", config);
      const { stderr } = await command(["run", "config.json", "--no-export", ...args]);
      const id = /^Run ([0-9a-z]{8}): /m.exec(stderr)?.[1];
      if (id === undefined) throw new Error(stderr);
      return id;
    },
    async diff(a: string, b: string, ...args: string[]): Promise<RunDiff> {
      const { code, stdout, stderr } = await command(["diff", a, b, "--json", ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return JSON.parse(stdout) as RunDiff;
    },
    async diffSeveral(runs: string[], ...args: string[]): Promise<SeveralRunsDiff> {
      const { code, stdout, stderr } = await command(["diff", ...runs, "--json", ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return JSON.parse(stdout) as SeveralRunsDiff;
    },
    async text(a: string, b: string, width: number, ...args: string[]): Promise<string> {
      const result = await command(["diff", a, b, ...args], { env: { COLUMNS: String(width) } });
      expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: "" });
      return result.stdout;
    },
    change(body: (database: Database.Database) => void): void {
      const database = new Database(space.at("data/datagen.db"));
      try {
        body(database);
      } finally {
        database.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await space[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const conditionOf = (diff: RunDiff, name: string): ConditionDiff =>
  diff.conditions.both.find(({ condition }) => condition === name)!;

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

describe.concurrent("two runs are joined", () => {
  test("on input and condition, wherever these stand in the files and in the configs", async () => {
    await using space = await lab();
    const data = rows(6);
    const a = await space.run(configFor(), data.slice(0, 5));
    const other = configFor({ data_config: { input_data_path: "other.json" } });
    other.agent_perspectives = [HASTY!, { ...PLAIN!, condition: "Also plain" }, FROM_NOTES!, PLAIN!];
    const b = await space.run(other, data.slice(2).toReversed());

    const diff = await space.diff(a, b, "--show", "9");
    expect(diff.inputs).toEqual({
      both: 3,
      only_a: { count: 2, examples: [0, 1].map((task) => ({ task, input: data[task]!.input })) },
      only_b: { count: 1, examples: [{ task: 0, input: data[5]!.input }] },
    });
    const { both, ...only } = diff.conditions;
    expect(only).toEqual({ only_a: ["Rosy"], only_b: ["Also plain"] });
    expect(both.map(({ condition }) => condition)).toEqual(["Plain", "From notes", "Hasty"]);
    for (const each of both) expect(each).toMatchObject({ cells: 3, compared: 3, identical: 3, identical_share: 1 });
    expect(diff.most_different).toEqual([]);
  });

  test("occurrence by occurrence where inputs repeat, in file order", async () => {
    await using space = await lab({
      behave: ({ nth, body }) => ({ kind: "text", text: `answer ${nth} of ${String(body["model"])}` }),
    });
    const [x, y, z] = rows(3);
    const config = configFor({ agent_perspectives: [PLAIN!], concurrency: 1 });
    const a = await space.run(config, [x!, y!, x!, z!, x!], "--model", "gpt-a");
    const b = await space.run(config, [y!, y!, x!, x!], "--model", "gpt-b");

    const { inputs, most_different: pairs } = await space.diff(a, b, "--show", "5");
    expect(inputs).toEqual({
      both: 3,
      only_a: {
        count: 2,
        examples: [
          { task: 3, input: z!.input },
          { task: 4, input: x!.input },
        ],
      },
      only_b: { count: 1, examples: [{ task: 1, input: y!.input }] },
    });
    const places = pairs!.map(({ task_a, task_b, context }) => [task_a, task_b, context]);
    expect(places).toEqual([
      [0, 2, x!.input],
      [1, 0, y!.input],
      [2, 3, x!.input],
    ]);
    expect(pairs!.map(({ a: mine, b: other }) => [mine, other])).toEqual(
      [1, 1, 2].map((nth) => [`answer ${nth} of gpt-a`, `answer ${nth} of gpt-b`]),
    );
  });

  test("replicate by replicate", async () => {
    await using space = await lab();
    const config = configFor({ agent_perspectives: [PLAIN!, FROM_NOTES!] });
    const a = await space.run(config, rows(2));
    const b = await space.run(config, rows(2), "--model", "gpt-4o");
    // The second and third sample of the one, and the second of the other, have each other's answers.
    space.change((database) => {
      const copy = database.prepare(
        `insert into calls (run_id, task_id, perspective_id, step, replicate, state, answer_id)
           select run_id, task_id, perspective_id, step, ?, state, answer_id from calls
           where run_id = (select id from runs where public_id = ?) and replicate = 1`,
      );
      copy.run(2, a);
      copy.run(3, a);
      copy.run(2, b);
      database
        .prepare(
          `update calls as own set answer_id = (select first.answer_id from calls first
             join tasks t on t.id = first.task_id join perspectives p on p.id = first.perspective_id,
             tasks o join perspectives q on o.id = own.task_id and q.id = own.perspective_id
             where first.run_id <> own.run_id and first.replicate = 1 and first.step = own.step
               and t.position = o.position and p.position = q.position)
           where replicate = 2`,
        )
        .run();
    });
    const diff = await space.diff(a, b, "--show", "99");
    for (const each of diff.conditions.both) expect(each).toMatchObject({ cells: 4, compared: 4, identical: 0 });
    const texts = diff.most_different!.map(({ condition, replicate, task_a, a: mine, b: other }) =>
      [condition, task_a, ...(replicate === 1 ? [mine, other] : [other, mine])].join("\n"),
    );
    // Each pair stands twice: as it is in the first sample, and turned around in the second.
    expect(texts).toHaveLength(8);
    expect(new Set(texts).size).toBe(4);
  });
});

describe.concurrent("the report of the runs", () => {
  test("are the places where their configs differ, with what was decided beside them", async () => {
    await using space = await lab();
    const config = configFor({ model_config: { extra_body: { "top.k": 5, deep: { a: 1 } }, stop: ["a", "b"] } });
    const a = await space.run(config, rows(2));
    const [first, second, third, last] = config.agent_perspectives;
    const changed = configFor({
      model_config: { extra_body: { "top.k": 6, deep: { a: 1 } }, stop: ["b", "a"], temperature: 1, seed: 7 },
      agent_perspectives: [
        second!,
        { ...first!, strategy: "Translate the German text into French." },
        { ...third!, reading: "Read it first." },
        { ...last!, condition: "Blue" },
      ],
    });
    await space.write("more.json", {});
    const b = await space.run(changed, rows(3), "--base-url", space.server.openaiUrl.replace("127.0.0.1", "localhost"));
    const { config: differences } = await space.diff(a, b);
    expect(differences).toEqual([
      { path: "model_config.temperature", a: 0.7, b: 1 },
      { path: "model_config.stop", a: ["a", "b"], b: ["b", "a"] },
      { path: 'model_config.extra_body["top.k"]', a: 5, b: 6 },
      { path: "model_config.base_url", a: space.server.openaiUrl, b: expect.stringContaining("localhost") },
      { path: "model_config.seed", b: 7 },
      { path: "data_config.input_sha256", a: expect.any(String), b: expect.any(String) },
      {
        path: 'agent_perspectives["Plain"].strategy',
        a: "Translate the German text into English.",
        b: "Translate the German text into French.",
      },
      { path: 'agent_perspectives["Hasty"].reading', a: null, b: "Read it first." },
      { path: "agent_perspectives", a: ["Plain", "From notes", "Hasty"], b: ["From notes", "Plain", "Hasty"] },
    ]);
  });
});

describe("the figures of a condition", () => {
  const data = rows(6);
  const configA = configFor();
  const configB = configFor({ model_config: { temperature: 1 } });
  /** What B gets: nothing for the first input, and half of the answers to the second. */
  const faultOf = (prompt: string): Fault | undefined =>
    prompt.includes(data[0]!.input)
      ? { kind: "status", status: 400 }
      : prompt.includes(data[1]!.input)
        ? { kind: "length" }
        : undefined;
  const datasetA = expectedDataset(configA, data);
  const datasetB = expectedDataset(configB, data, (asked) => {
    const fault = faultOf(asked.prompt);
    if (fault === undefined) return answerTo(asked);
    return fault.kind === "length" ? shortened(answerTo(asked)) : null;
  });

  let space: Awaited<ReturnType<typeof lab>>;
  let [a, b] = ["", ""];

  beforeAll(async () => {
    space = await lab({
      behave: ({ prompt, body }) => (body["temperature"] === 1 ? faultOf(prompt) : undefined),
    });
    a = await space.run(configA, data);
    b = await space.run(configB, data);
    space.change((database) => {
      database.exec("update attempts set cost_nano_usd = 1000 * id, duration_ms = 7 * id % 100");
    });
  });

  afterAll(() => space[Symbol.asyncDispose]());

  /** Every attempt of a run for a condition. */
  function attemptsOf(run: string, condition: string) {
    let found: { cost: number; ms: number; outcome: string }[] = [];
    space.change((database) => {
      found = database
        .prepare<[string, string], (typeof found)[number]>(
          `select attempts.cost_nano_usd as cost, duration_ms as ms, outcome from attempts
             join calls on calls.id = call_id join perspectives on perspectives.id = perspective_id
             join runs on runs.id = calls.run_id where public_id = ? and condition = ?`,
        )
        .all(run, condition);
    });
    return found;
  }

  test.for(configA.agent_perspectives.map(({ condition }, at) => [condition, at] as const))(
    "%s are those of the answers and attempts of both runs",
    async ([condition, at]) => {
      const diff = conditionOf(await space.diff(a, b), condition);
      const pairs = data.map((_, task) => [datasetA, datasetB].map(({ tasks }) => tasks[task]!.responses[at]!));
      const compared = [...pairs.keys()].filter((task) => pairs[task]!.every((text) => text !== null));
      expect(compared).toHaveLength(5);
      expect(diff).toMatchObject({ cells: 6, compared: 5, identical: 0, identical_share: 0 });
      for (const [side, { calls }] of [datasetA, datasetB].entries()) {
        const own = calls.filter(({ perspective, answer }) => perspective === at && answer !== null);
        const usages = own.map(({ asked, answer }) => usageFor(asked, answer!));
        const strategies = own.filter(({ step, task }) => step === "strategy" && compared.includes(task));
        const attempts = attemptsOf([a, b][side]!, condition);
        const times = attempts.filter(({ outcome }) => outcome === "succeeded").map(({ ms }) => ms);
        const sorted = times.toSorted((one, other) => one - other);
        const middle = [sorted[Math.floor((sorted.length - 1) / 2)]!, sorted[Math.ceil((sorted.length - 1) / 2)]!];
        expect([diff.a, diff.b][side]).toEqual({
          mean_characters: mean(strategies.map(({ answer }) => [...answer!].length)),
          mean_completion_tokens: mean(strategies.map(({ asked, answer }) => usageFor(asked, answer!).completion)),
          tokens: {
            prompt: sum(usages.map(({ prompt }) => prompt)),
            completion: sum(usages.map(({ completion }) => completion)),
            estimated: false,
          },
          cost_usd: expect.closeTo(sum(attempts.map(({ cost }) => cost)) / 1e9, 12),
          median_latency_ms: mean(middle),
          // Cut notes are no cut response.
          truncated: side === 1 && own.every(({ step }) => step === "strategy") ? 1 : 0,
          failed: side,
          pending: 0,
        });
      }
    },
  );

  test("are all the same, and no pair differs, where a run is compared with itself", async () => {
    const diff = await space.diff(b, b, "--show", "3");
    expect(diff).toMatchObject({ config: [], inputs: { both: 6, only_a: { count: 0 }, only_b: { count: 0 } } });
    expect(diff.most_different).toEqual([]);
    for (const each of diff.conditions.both) {
      expect(each).toMatchObject({ cells: 6, compared: 5, identical: 5, identical_share: 1, b: each.a });
    }
    const text = await space.text("latest", b, 80, "--show", "3");
    for (const says of ["the same run", "The configs are the same.", "No two responses differ."]) {
      expect(text).toContain(says);
    }
  });

  test("are unknown where a part is, and never 0", async () => {
    await using copy = await lab();
    await cp(space.path, copy.path, { recursive: true });
    copy.change((database) => {
      const idOf = (run: string) => database.prepare("select id from runs where public_id = ?").pluck().get(run);
      const oneCall = "select min(id) from calls where run_id = ? and step = 'reading'";
      database.prepare(`update attempts set cost_nano_usd = null where call_id = (${oneCall})`).run(idOf(a));
      // As an imported run is: its answers have no tokens of their own, and nobody sent anything.
      const ofB = "select id from calls where run_id = ?";
      database.prepare(`delete from attempts where call_id in (${ofB})`).run(idOf(b));
      database
        .prepare("update answers set origin = 'imported' where id in (select answer_id from calls where run_id = ?)")
        .run(idOf(b));
      database.prepare("update runs set imported = '{}' where public_id = ?").run(b);
    });
    const diff = await copy.diff(a, b);
    expect(diff.conditions.both.map((each) => each.a.cost_usd === null)).toEqual([false, true, false, false]);
    for (const each of diff.conditions.both) {
      const unknown = { mean_completion_tokens: null, cost_usd: null, median_latency_ms: null };
      expect(each.b).toMatchObject({ ...unknown, tokens: { prompt: null, completion: null } });
      expect(each.b.mean_characters).toBeGreaterThan(0);
    }
    expect(await copy.text(a, b, 200)).toContain("unknown");

    // As a run is that reused all its answers: it paid nothing.
    copy.change((database) => {
      database.prepare("update runs set imported = null, calls_reused = calls_succeeded where public_id = ?").run(b);
    });
    for (const each of (await copy.diff(a, b)).conditions.both) expect(each.b.cost_usd).toBe(0);
  });

  test.for([80, 200])("stand with the runs and the configs within %i columns", async (width) => {
    const text = await space.text(a, b, width);
    for (const line of text.split("\n")) expect(stringWidth(line)).toBeLessThanOrEqual(width);
    expect(text).toMatch(new RegExp(`^A  ${a} .*\\nB  ${b} `, "m"));
    expect(text).toContain("Both have 6 inputs and 4 conditions.");
    expect(text).toContain("model_config.temperature: 0.7 -> 1");
    expect(text).toMatch(/^CONDITION +COMPARED +SAME .*TOKENS .*CUT +FAILED$/m);
    expect(text).toMatch(/^Plain +A +5\/6 +0% .* 0 +0\n +B .* 1 +1$/m);
    expect(text).not.toContain("PENDING");
  });

  test("and all else are in the width of a pipe what they are, uncut", async () => {
    const { stdout } = await space.command(["diff", a, b]);
    expect(stdout).toMatch(/^CONDITION .*PROMPT +COST +LATENCY +CUT +FAILED$/m);
  });
});

describe.concurrent("runs that have little in common", () => {
  test("are compared where one was stopped early", async () => {
    await using space = await lab();
    const config = configFor({ agent_perspectives: [PLAIN!], concurrency: 1 });
    const a = await space.run(config, rows(5));
    space.server.behave = ({ index }) => (index < 8 ? undefined : { kind: "status", status: 401 });
    const b = await space.run(config, rows(5), "--model", "gpt-4o");
    const diff = await space.diff(a, b, "--show", "5");
    expect(conditionOf(diff, "Plain")).toMatchObject({ cells: 5, compared: 3, a: { pending: 0 }, b: { pending: 2 } });
    expect(diff.b.status).toBe("interrupted");
    expect(diff.most_different).toHaveLength(3);
    expect(await space.text(a, b, 80)).toMatch(/^Plain +A +3\/5 .* 0\n +B .* 2$/m);
  });

  test("are clear where no input is the same, and where no condition is", async () => {
    await using space = await lab();
    const a = await space.run(configFor({ agent_perspectives: [PLAIN!] }), rows(12).slice(0, 8));
    const b = await space.run(configFor({ agent_perspectives: [PLAIN!] }), rows(12).slice(8));
    const c = await space.run(configFor({ agent_perspectives: [HASTY!] }), rows(8));

    const apart = await space.diff(a, b, "--show", "1");
    expect(apart.inputs).toMatchObject({ both: 0, only_a: { count: 8 }, only_b: { count: 4 } });
    expect(apart.inputs.only_a.examples).toHaveLength(5);
    expect(apart.most_different).toEqual([]);
    const nothing = { mean_characters: null, mean_completion_tokens: null, median_latency_ms: null, failed: 0 };
    expect(conditionOf(apart, "Plain")).toMatchObject({ cells: 0, compared: 0, identical_share: null, a: nothing });
    const text = await space.text(a, b, 80, "--show", "1");
    expect(text).toMatch(/Only A has 8 inputs:\n(  row \d: .*\n){5}  and 3 more\n/);
    expect(text).toContain("No response can be compared.");

    expect((await space.diff(a, c)).conditions).toEqual({ both: [], only_a: ["Plain"], only_b: ["Hasty"] });
    const unlike = await space.text(a, c, 80);
    expect(unlike).toContain("No response can be compared.");
    expect(unlike).toContain("Apart from their conditions, the configs are the same.");
  });

  test.for([
    ["diff", "latest"],
    ["diff", "latest", "zzzz"],
    ["diff", "latest", "latest", "--show", "0"],
    ["diff", "latest", "latest", "--show", "some"],
    ["diff", "latest", "latest", "zzzz"],
  ])("are refused where there are no two: %j", async (args) => {
    await using space = await lab();
    await space.run(configFor({ agent_perspectives: [PLAIN!] }), rows(1), "--provider", "offline");
    const { code, stdout, stderr }: Result = await space.command(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^Error: /);
  });
});

describe.concurrent("the pairs that differ most", () => {
  const texts: Record<string, [string, string]> = {
    same: ["one two three four", "One, two - three: four!"],
    half: ["one two three four", "one two five six"],
    other: ["one two three four", "un deux trois quatre"],
    also: [`${ESC}[2Jgone \u202eturned`, "漢字かな交じり文 ".repeat(30)],
  };
  const names = Object.keys(texts);
  const data = names.map((name) => ({ input: `Input ${name}.`, reference: `Reference ${name}.` }));

  let space: Awaited<ReturnType<typeof lab>>;
  let [a, b] = ["", ""];

  beforeAll(async () => {
    space = await lab({
      behave: ({ prompt, body }) => {
        const name = names.find((each) => prompt.includes(each))!;
        return { kind: "text", text: texts[name]![body["model"] === "gpt-a" ? 0 : 1] };
      },
    });
    const config = configFor({ agent_perspectives: [{ ...PLAIN!, condition: `Plain ${ESC}[5m` }, HASTY!] });
    a = await space.run(config, data, "--model", "gpt-a");
    b = await space.run(config, data, "--model", "gpt-b");
  });

  afterAll(() => space[Symbol.asyncDispose]());

  test.for([1, 3, 5, 100])(
    "come first, %i of them, and equally different ones in the order of the file",
    async (show) => {
      const { most_different: pairs } = await space.diff(a, b, "--show", String(show));
      const all = ["other", "also", "half", "same"].flatMap((name) =>
        [`Plain ${ESC}[5m`, "Hasty"].map((condition) => ({
          condition,
          replicate: 1,
          task_a: names.indexOf(name),
          task_b: names.indexOf(name),
          context: `Input ${name}.`,
          reference: `Reference ${name}.`,
          a: texts[name]![0],
          b: texts[name]![1],
          difference: { same: 0, half: 0.5, other: 1, also: 1 }[name],
        })),
      );
      expect(pairs).toEqual(all.slice(0, show));
    },
  );

  test.for([80, 200])("stand side by side with the reference within %i columns", async (width) => {
    const text = await space.text(a, b, width, "--show", "8");
    // oxlint-disable-next-line no-control-regex -- control characters are what this is about
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    for (const line of text.split("\n")) expect(stringWidth(line)).toBeLessThanOrEqual(width);
    expect(text).toContain("3. Plain \\x1b[5m, row 3, difference 1.00");
    expect(text).toContain("Input: Input also.");
    if (width === 80) {
      expect(text).toContain("Reference: Reference other.");
      expect(text).toMatch(/^A +│ B\n─+ │ ─+\none two three four +│ un deux trois quatre$/m);
    } else {
      expect(text).toMatch(/^Reference +│ A +│ B\n─+ │ ─+ │ ─+\nReference other\. +│ one two three four +│ un deux/m);
    }
    expect(text).toMatch(/\\x1b\[2Jgone \\u202eturned +│ 漢字かな交じり文/);
  });

  test("are measured in code points, whatever they are stored as", async () => {
    await using own = await lab({
      behave: ({ body }) => ({ kind: "text", text: body["model"] === "gpt-a" ? "🦜\u0000é\u0000" : "\ud83d half" }),
    });
    const config = configFor({ agent_perspectives: [PLAIN!] });
    const ids = [
      await own.run(config, rows(2), "--model", "gpt-a"),
      await own.run(config, rows(2), "--model", "gpt-b"),
    ];
    const diff = await own.diff(ids[0]!, ids[1]!, "--show", "1");
    const { a: mine, b: other } = conditionOf(diff, "Plain");
    expect([mine.mean_characters, other.mean_characters]).toEqual([4, 6]);
    expect(diff.most_different).toMatchObject([{ a: "🦜\u0000é\u0000", b: "\ud83d half" }]);
  });
});

describe("several runs", () => {
  const data = rows(6).map((row, at) => ({ ...row, input: `${at}: ${row.input}` }));
  const [SAME, HALF, OTHER] = ["one two three four", "one two five six", "un deux trois quatre"];
  const EXTRA = { condition: "Extra", reading: null, strategy: "Say more." };
  const MODELS = ["gpt-a", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"];

  let space: Awaited<ReturnType<typeof lab>>;
  const ids: string[] = [];

  /** What a model says. All say the same, except to input 4. The last model refuses input 3. */
  function answer(model: number, prompt: string): Fault {
    if (model === 2 && prompt.includes("3: ")) return { kind: "status", status: 400 };
    if (!prompt.includes("4: ")) return { kind: "text", text: SAME };
    const isHasty = prompt.includes(HASTY!.strategy);
    return { kind: "text", text: [SAME, HALF, isHasty ? SAME : OTHER][model]! };
  }

  beforeAll(async () => {
    space = await lab({
      behave: ({ prompt, body }) => answer(MODELS.indexOf(String(body["model"])), prompt),
    });
    const run = async (model: number, tasks: number[], perspectives: Config["agent_perspectives"], seed?: number) => {
      const config = configFor({
        api_provider: "openai",
        agent_perspectives: perspectives,
        model_config: { model_name: MODELS[model]!, ...(seed !== undefined && { seed }) },
        data_config: { input_data_path: `rows-${model}.json` },
      });
      ids.push(
        await space.run(
          config,
          tasks.map((task) => data[task]!),
        ),
      );
    };
    await run(0, [0, 1, 2, 3, 4], [PLAIN!, FROM_NOTES!, HASTY!]);
    await run(1, [5, 4, 3, 2, 1], [HASTY!, PLAIN!], 7);
    await run(2, [2, 3, 4, 5, 0], [PLAIN!, EXTRA, HASTY!, FROM_NOTES!]);
  });

  afterAll(() => space[Symbol.asyncDispose]());

  test("are matched on the inputs and conditions that all have, and the others stand with their runs", async () => {
    const { runs, config, inputs, conditions } = await space.diffSeveral(ids);
    expect(runs.map(({ id, model }) => [id, model])).toEqual(ids.map((id, at) => [id, MODELS[at]]));
    const example = (task: number, at: number) => ({ task, input: data[at]!.input });
    expect(inputs).toEqual({
      all: 3,
      some: [
        { run: ids[0], count: 2, examples: [example(0, 0), example(1, 1)] },
        { run: ids[1], count: 2, examples: [example(0, 5), example(4, 1)] },
        { run: ids[2], count: 2, examples: [example(3, 5), example(4, 0)] },
      ],
    });
    expect(conditions.all.map(({ condition }) => condition)).toEqual(["Plain", "Hasty"]);
    expect(conditions.some).toEqual([
      { condition: "From notes", runs: [ids[0], ids[2]] },
      { condition: "Extra", runs: [ids[2]] },
    ]);
    expect(config).toEqual([
      { path: "model_config.model_name", values: MODELS },
      { path: "model_config.seed", values: [null, 7, null] },
      { path: "data_config.input_data_path", values: ["rows-0.json", "rows-1.json", "rows-2.json"] },
      { path: "data_config.input_sha256", values: runs.map(() => expect.any(String)) },
      {
        path: "agent_perspectives",
        values: [
          ["Plain", "Hasty"],
          ["Hasty", "Plain"],
          ["Plain", "Hasty"],
        ],
      },
    ]);
  });

  test("have their figures beside each other, over the cells where all have a response", async () => {
    const { conditions } = await space.diffSeveral(ids);
    const figures = (same: number, text: string, failed: number) => ({
      identical_to_first: same,
      identical_to_first_share: same / 2,
      mean_characters: (SAME.length + text.length) / 2,
      failed,
      pending: 0,
      truncated: 0,
    });
    const cells = { cells: 3, compared: 2, identical: 1, identical_share: 0.5 };
    expect(conditions.all).toMatchObject([
      { condition: "Plain", ...cells, runs: [figures(2, SAME, 0), figures(1, HALF, 0), figures(1, OTHER, 1)] },
      { condition: "Hasty", ...cells, runs: [figures(2, SAME, 0), figures(1, HALF, 0), figures(2, SAME, 1)] },
    ]);
  });

  test("show the responses with the highest mean difference of all pairs first", async () => {
    const { most_different: responses } = await space.diffSeveral(ids, "--show", "9");
    const place = { replicate: 1, tasks: [4, 1, 2], context: data[4]!.input, reference: data[4]!.reference };
    expect(responses).toEqual([
      { condition: "Plain", ...place, responses: [SAME, HALF, OTHER], difference: expect.closeTo(2.5 / 3, 12) },
      { condition: "Hasty", ...place, responses: [SAME, HALF, SAME], difference: expect.closeTo(1 / 3, 12) },
    ]);
    expect((await space.diffSeveral(ids, "--show", "1")).most_different).toEqual(responses!.slice(0, 1));
  });

  test.for([80, 200])("have a line each for every condition within %i columns", async (width) => {
    const { stdout } = await space.command(["diff", ...ids, "--show", "2"], { env: { COLUMNS: String(width) } });
    for (const line of stdout.split("\n")) expect(stringWidth(line)).toBeLessThanOrEqual(width);
    for (const [at, id] of ids.entries()) {
      expect(stdout).toMatch(new RegExp(`^${"ABC"[at]}  ${id} .*${MODELS[at]!.slice(0, 38)}`, "m"));
    }
    for (const says of [
      "All have 3 inputs and 2 conditions.",
      `A has 2 inputs that not all runs have:\n  row 0: ${data[0]!.input}\n`,
      "Only A and C have 1 condition: From notes\nOnly C has 1 condition: Extra\n",
      "  model_config.seed:\n    A, C: (not set)\n    B: 7\n",
      "1. Plain, row 4 of A, 1 of B and 2 of C, mean difference 0.83\n",
    ]) {
      expect(stdout).toContain(says);
    }
    expect(stdout).toMatch(/^CONDITION +COMPARED +SAME AS A .*FAILED$/m);
    expect(stdout).toMatch(/^Plain +A +2\/3 .* 0\n +B +50% .* 0\n +C +50% .* 1\nHasty +A +2\/3 /m);
    expect(stdout).toMatch(
      width === 80
        ? /^A +│ B\n─+ │ ─+\none two three four +│ one two five six\n\nC\n─+\nun deux trois quatre$/m
        : /^Reference +│ A +│ B +│ C\n─+ │ ─+ │ ─+ │ ─+\n.*one two three four +│ one two five six +│ un deux/m,
    );
    expect(stdout).toMatch(/│ B\n─+ │ .*\n.*one two three four +│ one two five six.*$/m);
    expect(stdout).toMatch(/^(Reference +│ )?A, C +│ B\n/m);
  });

  test("of which one is named twice are refused, and so are more than 20, and one alone", async () => {
    const alone = await space.command(["diff", ids[0]!]);
    expect(alone).toMatchObject({ code: 2, stdout: "" });
    expect(alone.stderr).toMatch("Error: only one run is named");
    const again = await space.command(["diff", ids[0]!, ids[2]!, "latest"]);
    expect(again).toMatchObject({ code: 2, stdout: "" });
    expect(again.stderr).toMatch(`Error: "${ids[2]}" and "latest" have a run in common\n`);
    const many = await space.command(["diff", ...Array.from({ length: 21 }, () => "latest")]);
    expect(many).toMatchObject({ code: 2, stdout: "" });
    expect(many.stderr).toMatch("Error: 21 runs are named, and `diff` compares at most 20\n");
  });

  test("of an experiment are all compared by its name", async () => {
    await using own = await lab();
    await own.write("rows.json", rows(2));
    await own.write("config.json", configFor({ agent_perspectives: [PLAIN!] }));
    const models = ["a-1", "b-2", "c-3"];
    const flags = ["--provider", "offline", "--name", "sizes-1", "--json"];
    const { stdout } = await own.command([
      "run",
      "config.json",
      ...models.flatMap((name) => ["--model", name]),
      ...flags,
    ]);
    const { runs } = JSON.parse(stdout) as { runs: { run: { id: string } }[] };
    const diff = await own.diffSeveral(["sizes-1"]);
    expect(diff).toEqual(await own.diffSeveral(runs.map(({ run }) => run.id)));
    expect(diff.runs.map(({ model }) => model)).toEqual(models);
    const again = await own.command(["diff", "sizes-1", "latest"]);
    expect(again).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('"sizes-1" and "latest" have a run in common'),
    });
  });

  test("have the same figures as each two of them, also where inputs are matched by their ids", async () => {
    await using own = await lab();
    const config = configFor({ agent_perspectives: [PLAIN!, FROM_NOTES!] });
    const numbered = rows(4).map((row, id) => ({ ...row, id }));
    const runs = [
      await own.run(config, numbered, "--provider", "offline", "--model", "gpt-a"),
      await own.run(config, numbered.toReversed(), "--provider", "offline", "--model", "gpt-b"),
      await own.run(config, [...numbered.slice(0, 3), { input: "Neu.", id: 3 }], "--provider", "offline"),
    ];
    own.change((database) => {
      database.exec("update attempts set cost_nano_usd = 1000 * id, duration_ms = 7 * id % 100");
      database.exec("update answers set completion_tokens = id, prompt_tokens = 2 * id, text = text || id % 5");
    });
    const all = await own.diffSeveral(runs);
    expect(all.inputs).toMatchObject({ all: 4, changed: 1, some: [{ count: 0 }, { count: 0 }, { count: 0 }] });
    for (const [one, other] of [
      [0, 1],
      [0, 2],
    ] as const) {
      const { conditions } = await own.diff(runs[one]!, runs[other]!);
      const sides = all.conditions.all.map(({ condition, runs: figures }) => {
        const [{ identical_to_first: _, identical_to_first_share: __, ...a }, { identical_to_first, ...rest }] = [
          figures[one]!,
          figures[other]!,
        ];
        const { identical_to_first_share, ...b } = rest;
        return { condition, identical: identical_to_first, identical_share: identical_to_first_share, a, b };
      });
      expect(conditions.both).toMatchObject(sides);
    }
  });
});

describe("the difference of two texts", () => {
  test.for([
    ["", "", 0],
    ["one", "", 1],
    ["one two", "two ONE!", 0],
    ["a a b", "a b b", 1 - 4 / 6],
    ["a a a a", "a", 1 - 2 / 5],
    ["Straße 3", "strasse 3", 0.5],
    ["漢字", "漢語", 0.5],
    ["ไทย", "ไทย", 0],
    ["?!", "…", 0],
  ] as const)("%j and %j is %f", ([one, other, difference]) => {
    expect(differenceOf(one, other)).toBeCloseTo(difference, 12);
  });

  test("has the mean over all pairs where there are more", () => {
    const texts = ["one two", "one", "", "two ONE!"];
    const pairs = texts.flatMap((one, at) => texts.slice(at + 1).map((other) => differenceOf(one, other)));
    expect(meanDifference(texts)).toBeCloseTo(mean(pairs), 12);
    expect(meanDifference(["one two", "one two", "one two"])).toBe(0);
  });

  test("is from 0 to 1, the same both ways, and 0 for a text and itself", () => {
    const text = fc
      .array(fc.constantFrom("river", "stone", "paper", "漢", "-", "\n", "é"))
      .map((words) => words.join(" "));
    fc.assert(
      fc.property(text, text, (one, other) => {
        const difference = differenceOf(one, other);
        expect(difference).toBeGreaterThanOrEqual(0);
        expect(difference).toBeLessThanOrEqual(1);
        expect(differenceOf(other, one)).toBe(difference);
        expect(differenceOf(one, one)).toBe(0);
      }),
    );
  });
});

describe("wrapped text", () => {
  test.for([
    ["a few words here", 9, ["a few", "words", "here"]],
    ["exactly ten", 11, ["exactly ten"]],
    ["two  blanks\tand a tab", 12, ["two  blanks", "and a tab"]],
    ["line\r\n\nbreaks", 20, ["line", "", "breaks"]],
    ["", 5, [""]],
    ["unbreakable!", 5, ["unbre", "akabl", "e!"]],
    ["漢字かな", 5, ["漢字", "かな"]],
    ["👩‍👩‍👧👩‍👩‍👧", 3, ["👩‍👩‍👧", "👩‍👩‍👧"]],
    [`${ESC}[2J`, 20, ["\\x1b[2J"]],
  ] as const)("%j in %i columns", ([text, width, lines]) => {
    expect(wrap(text, width)).toEqual(lines);
  });

  test("has all its words in their order, and no line that is wider than asked for", () => {
    const words = fc.array(fc.constantFrom("river", "漢字かな交じり文", "👩‍👩‍👧", "a", "\n", "unbreakable".repeat(4), "é"));
    fc.assert(
      fc.property(words, fc.integer({ min: 2, max: 40 }), (list, width) => {
        const text = list.join(" ");
        const lines = wrap(text, width);
        for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(width);
        expect(lines.join("").replaceAll(/\s/g, "")).toBe(text.replaceAll(/\s/g, ""));
      }),
    );
  });

  test("stands in columns of one width", () => {
    const columns = [
      { title: "A", text: "one two" },
      { title: "B", text: "漢字" },
    ];
    expect(sideBySide(columns, 11)).toEqual(["A    │ B", "──── │ ────", "one  │ 漢字", "two  │"]);
  });
});
