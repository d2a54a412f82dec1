import { describe, expect, test } from "vitest";
import {
  type ConfigOverrides,
  configFor,
  environmentFor,
  openDatabase,
  type Result,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { costOf, FREE } from "../src/models/cost.ts";
import { batchLab } from "./support/batch-lab.ts";
import { answerTo, type Fault, type LoopbackServer, startServer, usageFor } from "./support/server.ts";
import { reportedUsage } from "./support/usage.ts";

/** US dollars per million tokens. */
const PRICES = { input: 0.15, cached_input: 0.075, output: 0.6 };
const PLAIN = { condition: "Plain", reading: null, strategy: "Say it in English." };
const LIMIT = 200;

interface Shown {
  run: {
    id: string;
    status: string;
    cost_usd: number | null;
    tokens: Record<string, number>;
    calls: { pending: number };
  };
  steps: {
    condition: string;
    step: string;
    cost_usd: number | null;
    prompt_tokens: number;
    completion_tokens: number;
  }[];
  possibly_billed: { requests: number; cost_usd: number | null };
  saved_usd: number | null;
}

/** Makes the delays before a retry as short as they can be. */
const QUICK = `--import=data:text/javascript,${encodeURIComponent("Math.random = () => 0;")}`;

async function setUp(server: LoopbackServer, overrides: ConfigOverrides, inputs: number) {
  const space = await workspace();
  await space.write("rows.json", rows(inputs));
  await space.write("config.json", configFor({ prices: PRICES, data_config: { sample_size: inputs }, ...overrides }));
  const options = { cwd: space.path, env: { ...environmentFor(server), NODE_OPTIONS: QUICK } };
  return {
    space,
    run: (...args: string[]): Promise<Result> => datagenInTurn(args, options),
    start: (...args: string[]) => startDatagen(args, options),
    show: async () => JSON.parse((await datagenInTurn(["runs", "show", "latest", "--json"], options)).stdout) as Shown,
    list: async () => JSON.parse((await datagenInTurn(["runs", "list", "--json"], options)).stdout) as Shown["run"][],
    [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
  };
}

/** What the server has charged, in US dollars, with {@link PRICES}. */
function chargedBy({ served: { prompt, cached, completion } }: LoopbackServer): number {
  return ((prompt - cached) * PRICES.input + cached * PRICES.cached_input + completion * PRICES.output) / 1e6;
}

/** The sum over the attempts of a database, in US dollars. */
function sumOfAttempts(space: Workspace): number {
  const database = openDatabase(space.at("data/datagen.db"));
  const sum = database.prepare<[], number>("select sum(cost_nano_usd) / 1e9 from attempts").pluck().get();
  database.close();
  return sum ?? 0;
}

describe("the cost of a run", () => {
  test("is one number in runs list, runs show, its steps, the dataset and the attempts, and what the server charged", async () => {
    await using server = await startServer();
    await using lab = await setUp(server, {}, 20);
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(0);
    const { run, steps } = await lab.show();
    const [listed] = await lab.list();
    const { metadata } = await lab.space.json<{ metadata: { cost_usd: number } }>(result.stdout.trim());
    expect(server.served.cached).toBeGreaterThan(0);
    const charged = chargedBy(server);
    // Each of the 120 attempts is rounded to a billionth of a dollar.
    expect(Math.abs((run.cost_usd ?? 0) - charged)).toBeLessThan(120 * 0.5e-9);
    expect(listed?.cost_usd).toBe(run.cost_usd);
    expect(metadata.cost_usd).toBe(run.cost_usd);
    expect(sumOfAttempts(lab.space)).toBeCloseTo(run.cost_usd ?? 0, 9);
    expect(steps.reduce((sum, step) => sum + (step.cost_usd ?? 0), 0)).toBeCloseTo(run.cost_usd ?? 0, 9);
    expect(steps.reduce((sum, step) => sum + step.prompt_tokens, 0)).toBe(run.tokens["prompt"]);
    expect(steps.reduce((sum, step) => sum + step.completion_tokens, 0)).toBe(run.tokens["completion"]);
  });

  test("has in it what failed requests were charged with", async () => {
    const faults: Fault["kind"][] = ["empty", "contentFilter", "refusal", "reasoningOnly"];
    await using server = await startServer({
      behave: ({ index }) => (index % 3 === 0 ? ({ kind: faults[(index / 3) % 4] ?? "empty" } as Fault) : undefined),
    });
    await using lab = await setUp(server, { agent_perspectives: [PLAIN], concurrency: 1 }, 12);
    expect((await lab.run("run", "config.json")).code).toBe(1);
    const { run, possibly_billed: unclear } = await lab.show();
    expect(server.served.answers).toBeLessThan(server.requests.length);
    expect(Math.abs((run.cost_usd ?? 0) - chargedBy(server))).toBeLessThan(server.requests.length * 0.5e-9);
    expect(unclear).toEqual({ requests: 0, cost_usd: 0 });
  });

  test("is unknown where the price is, and is known once the run is repriced; its tokens stay", async () => {
    await using server = await startServer();
    const config = { prices: undefined, api_provider: "openai", model_config: { model_name: "a-model-of-my-own" } };
    await using lab = await setUp(server, { ...config, agent_perspectives: [PLAIN] }, 4);
    const result = await lab.run("run", "config.json");
    expect(result.stderr).toMatch(/cost unknown/);
    const before = await lab.show();
    expect(before.run.cost_usd).toBeNull();
    expect(before.steps[0]?.cost_usd).toBeNull();
    const refused = await lab.run("runs", "reprice", "latest", "--apply");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/was not changed: no price is known/);
    await lab.run(
      "prices",
      "set",
      "a-model-of-my-own",
      "--input",
      "0.15",
      "--cached-input",
      "0.075",
      "--output",
      "0.6",
    );
    const shown = JSON.parse((await lab.run("runs", "reprice", "latest", "--json")).stdout) as object;
    expect(shown).toMatchObject({ applied: false, before: { prices: null, cost_usd: null } });
    expect((await lab.show()).run.cost_usd).toBeNull();
    const lines = (await lab.run("runs", "reprice", "latest", "--apply")).stdout.split("\n");
    expect(lines.map((line) => line.slice(0, 8))).toEqual(["run     ", "before  ", "today   ", "The run ", ""]);
    const after = await lab.show();
    expect(Math.abs((after.run.cost_usd ?? 0) - chargedBy(server))).toBeLessThan(4 * 0.5e-9);
    expect(after.run.tokens).toEqual(before.run.tokens);
    expect(shown).toMatchObject({ after: { cost_usd: after.run.cost_usd } });
    expect((await lab.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });

  test("of an unpriced run makes the sum of the list say so", async () => {
    await using server = await startServer();
    await using lab = await setUp(server, { agent_perspectives: [PLAIN] }, 2);
    await lab.run("run", "config.json");
    const config = { agent_perspectives: [PLAIN], model_config: { model_name: "gpt-of-my-own" } };
    await lab.space.write("config.json", configFor({ ...config, data_config: { sample_size: 2 } }));
    await lab.run("run", "config.json");
    const lines = (await lab.run("runs", "list")).stdout.trimEnd().split("\n");
    expect(lines[1]).toMatch(/ unknown /);
    expect(lines.at(-1)).toMatch(/^2 runs +4\/4 .* <?\$0\.\d+ \+ unknown$/);
  });
});

test("numbers that no sum can hold end no command with a bug", async () => {
  await using server = await startServer();
  await using lab = await setUp(server, { agent_perspectives: [PLAIN] }, 3);
  await lab.run("run", "config.json");
  const { default: Database } = await import("better-sqlite3");
  const database = new Database(lab.space.at("data/datagen.db"));
  for (const table of ["answers", "attempts", "runs"]) {
    const set = ["prompt_tokens", "completion_tokens", ...(table === "answers" ? [] : ["cost_nano_usd"])];
    database.exec(`update ${table} set ${set.map((column) => `${column} = 9000000000000000000`).join(", ")}`);
  }
  database.close();
  for (const args of [
    ["runs", "show", "latest"],
    ["runs", "list"],
    ["db", "check"],
    ["diff", "latest", "latest"],
    ["runs", "reprice", "latest"],
    ["runs", "reprice", "latest", "--apply"],
    ["estimate", "config.json"],
    ["export", "latest"],
  ]) {
    const { code, stdout, stderr } = await lab.run(...args);
    expect(code, `${args.join(" ")}: ${stderr}`).toBe(0);
    expect(`${stdout}${stderr}`).not.toMatch(/Infinity|NaN/);
  }
});

test.each([
  [{ input: 0.15, output: 0.6 }, 1_000, 100, 210_000],
  // A price of a few trillionths a token counts, too.
  [{ input: 0.000_001, output: 0.000_001_5 }, 1_000_000_000, 1_000_000_000, 2_500_000],
  [{ input: 0.000_000_1, output: 0 }, 1_000_000_000, 0, 100_000],
])("%j cost for %d and %d tokens %d billionths of a dollar", (rates, promptTokens, completionTokens, cost) => {
  const prices = { ...FREE, cached_input: 0, cache_write: 0, ...rates, source: "", date: "" };
  expect(
    costOf(prices, { promptTokens, completionTokens, cachedTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 }),
  ).toBe(cost);
});

test("a cost that is not a safe integer is unknown", () => {
  const prices = { ...FREE, input: 1e6, source: "", date: "" };
  expect(costOf(prices, reportedUsage(1e15, 0))).toBeNull();
});

describe("a request of which it is not known what became of it", () => {
  test("is possibly billed, beside the cost: a timeout, half an answer, a connection that breaks", async () => {
    const faults: (Fault | undefined)[] = [{ kind: "hang" }, { kind: "half" }, { kind: "reset" }, { kind: "html" }];
    await using server = await startServer({ behave: ({ index }) => faults[index] });
    const config = { agent_perspectives: [PLAIN], concurrency: 1, timeout_s: 0.5 };
    await using lab = await setUp(server, config, 4);
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(0);
    const { run, possibly_billed: unclear } = await lab.show();
    expect(unclear.requests).toBe(4);
    expect(unclear.cost_usd).toBeGreaterThan((4 * LIMIT * PRICES.output) / 1e6);
    const answered = server.requests.filter(({ fault }) => fault === undefined).length;
    expect(answered).toBe(4);
    expect(run.cost_usd).toBeLessThan(chargedBy(server) + 1e-9);
    expect((await lab.run("runs", "show", "latest")).stdout).toMatch(
      /^unclear +4 requests with an unknown outcome, possibly billed: at most \$0\.00\d+$/m,
    );
  });

  test("is what a kill leaves of each request in flight; a server that cannot be reached has charged nothing", async () => {
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await using lab = await setUp(server, { agent_perspectives: [PLAIN] }, 4);
    const running = lab.start("run", "config.json");
    while (server.requests.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    running.kill();
    await running.done;
    const before = await lab.show();
    expect(before.possibly_billed.requests).toBe(4);
    expect(before.run.cost_usd).toBe(0);
    await server.goDown();
    const waiting = lab.start("resume", "latest");
    await waiting.waitFor(/The provider answers nothing/);
    // In good order: a kill could come upon a probe.
    waiting.kill("SIGINT");
    expect((await waiting.done).code).toBe(130);
    expect((await lab.show()).possibly_billed).toEqual(before.possibly_billed);
    await server.comeUp();
    server.behave = undefined;
    expect((await lab.run("resume", "latest")).code).toBe(0);
    expect((await lab.show()).possibly_billed).toEqual(before.possibly_billed);
    expect((await lab.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });
});

describe("a cap", () => {
  /** The most that a call of {@link PLAIN} can cost, as tokens of a text are no more than its bytes. */
  const most = (288 * PRICES.input + LIMIT * PRICES.output) / 1e6;

  test("is never passed, with requests in flight, faults, a kill and a resume, and nearly used up", async () => {
    const faults: Fault[] = [
      { kind: "status", status: 500 },
      { kind: "empty" },
      { kind: "reset" },
      { kind: "half" },
      { kind: "status", status: 429, headers: { "retry-after-ms": "20" } },
    ];
    await using server = await startServer({
      latency: 20,
      behave: ({ index }) => (index % 7 === 3 ? faults[((index / 7) % 5) | 0] : undefined),
    });
    const cap = 0.02;
    const config = { agent_perspectives: [PLAIN], concurrency: 64, max_cost_usd: cap };
    await using lab = await setUp(server, config, 500);
    const running = lab.start("run", "config.json");
    while (server.requests.length < 150) await new Promise((resolve) => setTimeout(resolve, 5));
    running.kill();
    await running.done;
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(3);
    expect(resumed.stderr).toMatch(/The cap of \$0\.020000 is reached: the next request could cost \$0\.000\d+/);
    expect(resumed.stderr).toMatch(/--max-cost/);
    const { run, possibly_billed: unclear } = await lab.show();
    const used = (run.cost_usd ?? 0) + (unclear.cost_usd ?? 0);
    expect(run.status).toBe("interrupted");
    expect(run.calls.pending).toBeGreaterThan(0);
    expect(unclear.requests).toBeGreaterThan(0);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);
    expect(used).toBeLessThanOrEqual(cap);
    expect(used).toBeGreaterThan(cap - most);

    const more = await lab.run("resume", "latest", "--max-cost", "1");
    expect([0, 1], more.stderr).toContain(more.code);
    const after = await lab.show();
    expect(after.run.calls.pending).toBe(0);
    expect((await lab.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });

  test("is exceeded only by the first requests, if a server counts tokens that were not sent", async () => {
    await using server = await startServer({
      latency: 20,
      behave(call) {
        const usage = usageFor(call, answerTo(call));
        return { kind: "text", text: answerTo(call), usage: { ...usage, prompt: usage.prompt + 1_000, cached: 0 } };
      },
    });
    await using lab = await setUp(server, { agent_perspectives: [PLAIN], concurrency: 64 }, 500);
    const cap = 0.01;
    const result = await lab.run("run", "config.json", "--max-cost", String(cap));
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/The cap of \$0\.010000 is (reached|exceeded)/);
    // At most 5 are in flight until the first answer tells; later ones differ by little.
    expect(server.requests.length).toBeGreaterThan(5);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap + (10 * 1_000 * PRICES.input) / 1e6);
    const lowered = await lab.run("resume", "latest", "--max-cost", "0.000001");
    expect(lowered.stderr).toMatch(/The cap of \$0\.000001 is exceeded: \$0\.0\d+ is spent or set aside/);
  });

  test("that is given by a flag is kept as that of a config is", async () => {
    await using server = await startServer();
    await using lab = await setUp(server, { agent_perspectives: [PLAIN] }, 40);
    const result = await lab.run("run", "config.json", "--max-cost", "0.0005");
    expect(result.code, result.stderr).toBe(3);
    expect(chargedBy(server)).toBeLessThanOrEqual(0.0005);
    expect(server.requests.length).toBeGreaterThan(2);
    const again = await lab.run("resume", "latest");
    expect(again.code).toBe(3);
  });

  test("that is less than one request could cost stops before anything is sent", async () => {
    await using server = await startServer();
    await using lab = await setUp(server, { agent_perspectives: [PLAIN] }, 2);
    expect((await lab.run("run", "config.json", "--max-cost", "0.000001")).code).toBe(3);
    expect(server.requests).toEqual([]);
  });

  test("is refused where the price is unknown or nothing limits the answers, and then no run is made", async () => {
    await using server = await startServer();
    const own = { prices: undefined, model_config: { model_name: "gpt-of-my-own" } };
    await using lab = await setUp(server, { ...own, agent_perspectives: [PLAIN] }, 2);
    const unpriced = await lab.run("run", "config.json", "--max-cost", "1");
    expect(unpriced).toMatchObject({ code: 2, stdout: "" });
    expect(unpriced.stderr).toMatch(/a cap cannot be kept for gpt-of-my-own: no price is known/);
    const { max_tokens: _, ...model } = configFor().model_config;
    const unlimited = {
      ...configFor({ agent_perspectives: [PLAIN], prices: PRICES }),
      model_config: { ...model, model_name: "gpt-of-my-own" },
    };
    await lab.space.write("config.json", unlimited);
    const endless = await lab.run("run", "config.json", "--max-cost", "1");
    expect(endless.code).toBe(2);
    expect(endless.stderr).toMatch(/nothing limits the length of its answers/);
    expect(server.requests).toEqual([]);
    expect(await lab.list()).toEqual([]);
  });

  test.for([
    { what: "a lower limit by another name", limits: { max_completion_tokens: 150, extra_body: { max_tokens: 10 } } },
    { what: "a higher limit", limits: { max_tokens: 10, extra_body: { max_completion_tokens: 150 } } },
    {
      what: "tools",
      limits: { max_tokens: 150, extra_body: { tools: [{ description: "of a schema ".repeat(200) }] } },
    },
  ])("takes into account what extra_body sends: $what", async ({ limits }) => {
    await using server = await startServer();
    const { max_tokens: _, ...model } = configFor().model_config;
    await using lab = await setUp(server, { agent_perspectives: [PLAIN] }, 40);
    const config = configFor({ agent_perspectives: [PLAIN], prices: PRICES, data_config: { sample_size: 40 } });
    await lab.space.write("config.json", { ...config, model_config: { ...model, ...limits } });
    const cap = 0.0012;
    expect((await lab.run("run", "config.json", "--max-cost", String(cap))).code).toBe(3);
    expect(chargedBy(server)).toBeLessThanOrEqual(cap);
    expect(server.requests.length).toBeGreaterThan(0);
  });

  test("is refused where extra_body takes the limit of the answers away", async () => {
    await using server = await startServer();
    const own = { model_name: "gpt-of-my-own", max_tokens: 10, extra_body: { max_tokens: null } };
    await using lab = await setUp(server, { agent_perspectives: [PLAIN], model_config: own }, 2);
    const result = await lab.run("run", "config.json", "--max-cost", "1");
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/nothing limits the length of its answers/);
  });

  test("is refused where it is not known what the run has cost so far, and the run goes on without one", async () => {
    const { batch_factor: _, ...prices } = { ...PRICES, batch_factor: null };
    await using lab = await batchLab({ prices, agent_perspectives: [PLAIN] }, 3);
    expect((await lab.run("run", "config.json", "--batch")).code).toBe(0);
    expect(lab.show().run.cost_usd).toBeNull();
    const refused = await lab.run("resume", "latest", "--live", "--retry-failed", "--max-cost", "0.10");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /a cap cannot be kept for run \w+: the cost of 3 of its requests is unknown\nGo on without/,
    );
    expect((await lab.run("resume", "latest", "--live")).code).toBe(0);
  });

  test.for(["0", "-1", "much"])("of %s is refused", async (value) => {
    await using server = await startServer();
    await using lab = await setUp(server, {}, 2);
    const result = await lab.run("run", "config.json", "--max-cost", value);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/--max-cost/);
  });
});

describe("reuse", () => {
  test("sends nothing that was asked before, costs nothing and says what it saved; --fresh sends all", async () => {
    await using server = await startServer();
    await using lab = await setUp(server, {}, 5);
    await lab.run("run", "config.json");
    const first = await lab.show();
    const sent = server.requests.length;
    const again = await lab.run("run", "config.json");
    expect(again.stderr).toMatch(/30 of them reused/);
    expect(server.requests.length).toBe(sent);
    const second = await lab.show();
    expect(second.run).toMatchObject({ status: "completed", cost_usd: 0, tokens: { total: 0 }, calls: { reused: 30 } });
    expect(second.saved_usd).toBeCloseTo(first.run.cost_usd ?? 0, 9);
    await lab.run("run", "config.json", "--fresh");
    expect(server.requests.length).toBe(2 * sent);
    expect((await lab.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });

  test("gives calls with one key the answers in the order in which they came, each once a run", async () => {
    await using server = await startServer({ behave: ({ index }) => ({ kind: "text", text: `answer ${index}` }) });
    await using lab = await setUp(server, { agent_perspectives: [PLAIN], concurrency: 1 }, 1);
    const [row] = rows(1);
    await lab.space.write("rows.json", [row, row]);
    await lab.run("run", "config.json", "--sample-size", "2");
    await lab.space.write("rows.json", [row, row, row]);
    const result = await lab.run("run", "config.json", "--sample-size", "3");
    const { tasks } = await lab.space.json<{ tasks: { responses: string[] }[] }>(result.stdout.trim());
    expect(tasks.map(({ responses }) => responses[0])).toEqual(["answer 0", "answer 1", "answer 2"]);
    expect(server.requests).toHaveLength(3);
  });

  test("on resume finds what others have asked since the run was planned", async () => {
    await using server = await startServer({
      behave: ({ index }) => (index < 2 ? { kind: "status", status: 400 } : undefined),
    });
    await using lab = await setUp(server, { agent_perspectives: [PLAIN], concurrency: 1 }, 4);
    expect((await lab.run("run", "config.json", "--json")).code).toBe(1);
    const [first] = await lab.list();
    expect((await lab.run("run", "config.json")).code).toBe(0);
    expect(server.requests).toHaveLength(6);
    const resumed = await lab.run("resume", first?.id ?? "", "--retry-failed", "--json");
    expect(JSON.parse(resumed.stdout)).toMatchObject({ run: { status: "completed", calls: { reused: 2 } } });
    expect(server.requests).toHaveLength(6);
    expect((await lab.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });

  test("finds the answers to notes that came back the same", async () => {
    await using server = await startServer();
    const reading = { condition: "Notes", reading: "Take notes.", strategy: "Write it." };
    await using lab = await setUp(server, { agent_perspectives: [reading] }, 4);
    await lab.run("run", "config.json");
    expect(server.requests).toHaveLength(8);
    // Without their readings, the strategies have keys that are known only when the notes are there again.
    const { default: Database } = await import("better-sqlite3");
    const database = new Database(lab.space.at("data/datagen.db"));
    database.exec(
      "update answers set key = 'gone ' || id where id in (select answer_id from calls where step = 'reading')",
    );
    database.close();
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(0);
    expect(server.requests).toHaveLength(12);
    expect((await lab.show()).run).toMatchObject({ calls: { total: 8, succeeded: 8, reused: 4 } });
    expect((await lab.run("db", "check")).stdout).toMatch(/ 0 broken/);
  });
});
