import { Tiktoken } from "js-tiktoken/lite";
import o200k from "js-tiktoken/ranks/o200k_base";
import { describe, expect, test } from "vitest";
import type { Estimate, EstimatedStep } from "../src/estimate/estimate.ts";
import { createRun } from "../src/app/run/create-run.ts";
import { estimateRun, type EstimateRunOptions } from "../src/app/estimate/estimate-run.ts";
import { executeRun } from "../src/app/run/execute-run.ts";
import { parseConfig } from "../src/config/parse.ts";
import type { Config as ParsedConfig, Overrides } from "../src/config/schema.ts";
import { calibrate } from "../src/estimate/calibration.ts";
import { costOf } from "../src/models/cost.ts";
import { fitGrowth, fitLengths, lengthFor, type Observation } from "../src/estimate/lengths.ts";
import type { Range } from "../src/estimate/range.ts";
import { openStore } from "../src/store/file/open.ts";
import {
  type Config,
  configFor,
  type ConfigOverrides,
  environmentFor,
  expectedDataset,
  type Result,
  type Row,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type Asked, type IncomingCall, type LoopbackServer, promptHashOf, startServer } from "./support/server.ts";

const UNKNOWN_MODEL = "somebody/a-model-of-their-own";

const PRICES = { input: 2, cached_input: 0.5, output: 8, batch_factor: 0.5 };

/** Four perspectives, of which the last has notes; the words of their answers differ by a factor of ten and more. */
const PERSPECTIVES = [
  { condition: "Whole", reading: null, strategy: "Tell the whole story again, in words of your own." },
  { condition: "Brief", reading: null, strategy: "Say in a few words what happens." },
  { condition: "Lavish", reading: null, strategy: "Make a long scene with much detail out of the last sentence." },
  {
    condition: "From notes",
    reading: "Write down who is there, where they go and what they carry.",
    strategy: "Make a short report out of these notes.",
  },
];

/** How many words an answer has; `Whole` grows with its text. */
const WORDS: Record<string, (words: number) => number> = {
  "Tell the whole story again": (words) => 0.9 * words,
  "Say in a few words": () => 8,
  "Make a long scene": () => 120,
  "Write down who": () => 60,
  "Make a short report": () => 25,
};

const VOCABULARY = "lamp ferry quarry cousin barley hinge sparrow ledger thimble orchard saddle mortar".split(" ");

const encoding = new Tiktoken(o200k);
const count = (text: string): number => encoding.encode(text, [], []).length;

/** What a provider charges for a prompt: of a chat, as OpenAI counts; of a model with a tokenizer of its own, more. */
function promptTokens({ model, prompt }: Pick<Asked, "model" | "prompt">): number {
  const counted = count(prompt) + 7;
  return model === UNKNOWN_MODEL ? Math.round(1.27 * counted + 11) : counted;
}

/** An answer of a known length, up to a fifth longer or shorter by the prompt's hash. */
function answerTo({ prompt }: Pick<Asked, "prompt">): string {
  const seed = Number.parseInt(promptHashOf(prompt).slice(0, 8), 16);
  const text = prompt.split("```")[1] ?? "";
  const usual = Object.entries(WORDS).find(([start]) => prompt.startsWith(start))?.[1] ?? (() => 30);
  const words = Math.max(1, Math.round(usual(text.split(" ").length) * (0.8 + (0.4 * (seed % 1000)) / 1000)));
  return Array.from({ length: words }, (_, at) => VOCABULARY[(seed + at * at) % VOCABULARY.length]).join(" ");
}

/** Small stories of very different lengths: `from` makes others. */
function stories(inputs: number, from = 0): Row[] {
  return Array.from({ length: inputs }, (_, at) => {
    const number = from + at;
    const sentences = 1 + ((number * 7) % 13) + ((number * 5) % 4) * 4;
    const text = Array.from({ length: sentences }, (__, sentence) => {
      const word = (offset: number) => VOCABULARY[(number * 3 + sentence * 5 + offset) % VOCABULARY.length];
      return `Before noon ${number} the ${word(0)} by the ${word(1)} was ${sentence + 2} miles from any ${word(2)}.`;
    });
    return { input: text.join(" ") };
  });
}

type Script = (call: IncomingCall) => { text?: string; cut?: boolean; cached?: number } | undefined;

/** A folder with a config and inputs, and a server whose answers have lengths that are known. */
async function lab(inputs: number, overrides: ConfigOverrides = {}, script: Script = () => undefined) {
  const ws = await workspace();
  const server = await startServer({
    behave(call) {
      const { text = answerTo(call), cut = false, cached = 0 } = script(call) ?? {};
      const usage = { prompt: promptTokens(call), completion: count(text), cached, reasoning: 0 };
      return { kind: "text", text, usage, cut };
    },
  });
  const rows = stories(inputs);
  const config = configFor({
    agent_perspectives: PERSPECTIVES,
    prices: PRICES,
    ...overrides,
    model_config: { max_tokens: 2_000, ...overrides.model_config },
    data_config: { input_data_path: ws.at("rows.json") },
  });
  const environment = environmentFor(server);
  let parsed: ParsedConfig;
  const write = async (changed: Config, data = rows) => {
    await ws.write("rows.json", data);
    await ws.write("config.json", changed);
    parsed = parseConfig(changed);
  };
  await write(config);
  const database = ws.at("data/datagen.db");
  return {
    ws,
    server,
    rows,
    config,
    write,
    /** A command of the bin. */
    command: (args: string[], env: Record<string, string | undefined> = environment) =>
      datagenInTurn(args, { cwd: ws.path, env }),
    /** Runs the config as it stands. @returns the id of the run */
    async run(overridden: Overrides = {}): Promise<string> {
      using store = openStore(database);
      const id = await createRun(store, parsed, { overrides: overridden, environment });
      await executeRun(store, id, { environment });
      return id;
    },
    async estimate(options: EstimateRunOptions = {}): Promise<Estimate> {
      using store = openStore(database);
      return await estimateRun(store, parsed, { environment, ...options });
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await ws[Symbol.asyncDispose]();
    },
  };
}

function done(result: Result): Result {
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result;
}

function estimateIn(result: Result): Estimate {
  return JSON.parse(done(result).stdout) as Estimate;
}

type Which = "onInputs" | "onNotes";

/** What the calls on the inputs from `first` on are charged. */
function charged(config: Config, rows: Row[], first = 0) {
  const sums = { onInputs: 0, onNotes: 0, completion: 0 };
  const expected = expectedDataset(config, rows, answerTo);
  for (const { task, perspective, step, asked, answer } of expected.calls) {
    if (task < first) continue;
    const isOnNotes = step === "strategy" && config.agent_perspectives[perspective]!.reading !== null;
    sums[isOnNotes ? "onNotes" : "onInputs"] += promptTokens(asked);
    sums.completion += count(answer ?? "");
  }
  return sums;
}

function promptsOf(estimate: Estimate, which: Which): number {
  const isOnNotes = ({ condition, step }: EstimatedStep) => step === "strategy" && condition === "From notes";
  const steps = estimate.steps.filter((step) => isOnNotes(step) === (which === "onNotes"));
  return steps.reduce((sum, { prompt_tokens }) => sum + prompt_tokens.expected, 0);
}

/** How far an estimate is off, in proportion. */
function error(estimated: number, actual: number): number {
  return Math.abs(estimated / actual - 1);
}

function requestsTo(server: LoopbackServer): number {
  return server.requests.length;
}

const levelsOf = ({ steps }: Estimate) => [...new Set(steps.map(({ basis }) => basis.level))];

describe.concurrent("an estimate", () => {
  test("after a pilot of 10 has prompts on inputs within 1 %, on notes within 10 %, and completion within 10 %", async () => {
    await using it = await lab(80);
    const estimate = estimateIn(await it.command(["estimate", "config.json", "--json", "--pilot", "10"]));
    const actual = charged(it.config, it.rows, 10);
    expect(error(promptsOf(estimate, "onInputs"), actual.onInputs)).toBeLessThan(0.01);
    expect(error(promptsOf(estimate, "onNotes"), actual.onNotes)).toBeLessThan(0.1);
    expect(error(estimate.completion_tokens.expected, actual.completion)).toBeLessThan(0.1);
    expect(levelsOf(estimate)).toEqual(["pilot"]);
    // Each step, not only their sum: a tenth of the answers tells that much.
    for (const { condition, step, completion_tokens } of estimate.steps) {
      const steps = expectedDataset(it.config, it.rows, answerTo).calls.filter(
        (call) => call.task >= 10 && call.step === step && PERSPECTIVES[call.perspective]!.condition === condition,
      );
      const tokens = steps.reduce((sum, { answer }) => sum + count(answer!), 0);
      expect(error(completion_tokens.expected, tokens), condition).toBeLessThan(0.2);
      expect(completion_tokens.low).toBeLessThan(tokens);
      expect(completion_tokens.high).toBeGreaterThan(tokens);
    }
  });

  test("with an earlier run on other inputs has completion within 10 %, without a pilot", async () => {
    await using it = await lab(80);
    await it.write(it.config, stories(40, 1_000));
    const id = await it.run();
    await it.write(it.config);
    const estimate = await it.estimate();
    const actual = charged(it.config, it.rows);
    expect(estimate.calls).toMatchObject({ total: 400, reused: 0, to_send: 400 });
    expect(error(promptsOf(estimate, "onInputs"), actual.onInputs)).toBeLessThan(0.01);
    expect(error(promptsOf(estimate, "onNotes"), actual.onNotes)).toBeLessThan(0.1);
    expect(error(estimate.completion_tokens.expected, actual.completion)).toBeLessThan(0.1);
    expect(estimate.basis.completion_tokens).toEqual([{ level: "instruction", steps: 5, calls: 200, runs: [id] }]);
  });

  test("for a model without a known encoding has prompts within 5 % after one earlier run of 100 calls", async () => {
    await using it = await lab(80, { model_config: { model_name: UNKNOWN_MODEL } });
    const actual = charged(it.config, it.rows);
    const first = await it.estimate();
    expect(error(promptsOf(first, "onInputs"), actual.onInputs)).toBeGreaterThan(0.2);
    expect(first.basis.prompt_tokens).toMatchObject({ is_exact: false, calibration: null });
    expect(first.prompt_tokens.high).toBeGreaterThan(actual.onInputs + actual.onNotes);
    await it.run({ sampleSize: 20 });
    const second = await it.estimate({ reuse: "none" });
    expect(error(promptsOf(second, "onInputs"), actual.onInputs)).toBeLessThan(0.05);
    expect(error(promptsOf(second, "onNotes"), actual.onNotes)).toBeLessThan(0.1);
    // Of the 100 calls, those on inputs.
    expect(second.basis.prompt_tokens).toMatchObject({ is_exact: false, calibration: { calls: 80 } });
  });

  test("rests on the nearest earlier calls that there are", async () => {
    await using it = await lab(12, { task_type: "story" });
    const estimated = async (change: ConfigOverrides) => {
      await it.write(configFor({ ...it.config, ...change }));
      return await it.estimate();
    };
    const perspectives = (change: Partial<(typeof PERSPECTIVES)[number]>) =>
      PERSPECTIVES.map((p) => ({ ...p, ...change }));
    expect(levelsOf(await estimated({}))).toEqual(["assumed"]);

    // What the offline provider makes up says nothing of a model.
    await it.run({ provider: "offline" });
    expect(levelsOf(await estimated({}))).toEqual(["assumed"]);

    await it.run();
    expect(levelsOf(await estimated({}))).toEqual(["instruction"]);
    const reworded = perspectives({ strategy: "Do what you like with it." }).map((p, at) => ({
      ...p,
      strategy: `${p.strategy} ${at}`,
    }));
    const other = await estimated({ agent_perspectives: reworded });
    expect(other.steps.map(({ basis }) => basis.level)).toEqual([
      "condition",
      "condition",
      "condition",
      // Its reading is what it was.
      "instruction",
      "condition",
    ]);
    const renamed = reworded.map((p, at) => ({
      ...p,
      condition: `Number ${at}`,
      reading: p.reading && "Take other notes.",
    }));
    expect(levelsOf(await estimated({ agent_perspectives: renamed }))).toEqual(["task_type"]);
    expect(levelsOf(await estimated({ agent_perspectives: renamed, task_type: "poem" }))).toEqual(["model"]);
    expect(levelsOf(await estimated({ model_config: { model_name: "gpt-4.1" } }))).toEqual(["step"]);
    expect(levelsOf(await estimated({ model_config: { reasoning_effort: "high" } }))).toEqual(["step"]);
  });

  test("takes an answer that a smaller limit cut off for the least that it would have been", async () => {
    const perspective = { condition: "Brief", reading: null, strategy: PERSPECTIVES[1]!.strategy };
    const small = { agent_perspectives: [perspective], model_config: { max_tokens: 20 } };
    await using it = await lab(10, small, () => ({ text: "word ".repeat(20).trim(), cut: true }));
    await it.run();
    const expected = async (max_tokens: number) => {
      await it.write(configFor({ ...it.config, model_config: { max_tokens } }));
      return (await it.estimate({ reuse: "none" })).completion_tokens.expected / 10;
    };
    expect(await expected(20)).toBe(20);
    expect(await expected(12)).toBe(12);
    expect(await expected(400)).toBeGreaterThan(30);
  });

  test("has sums that are those of its steps, in order, and never above the token limit", async () => {
    await using it = await lab(30, { model_config: { max_tokens: 150 } });
    const assumed = await it.estimate();
    await it.run({ sampleSize: 3 });
    for (const estimate of [
      assumed,
      await it.estimate(),
      await it.estimate({ reuse: "none" }),
      await it.estimate({ overrides: { model: UNKNOWN_MODEL } }),
    ]) {
      const { steps, calls } = estimate;
      const total = (value: (step: EstimatedStep) => number) => steps.reduce((sum, step) => sum + value(step), 0);
      expect(calls.total).toBe(total((step) => step.calls));
      expect(calls.reused).toBe(total(({ reused }) => reused));
      expect(calls.to_send).toBe(calls.total - calls.reused);
      expect(calls.readings + calls.strategies).toBe(calls.total);
      for (const bound of ["low", "expected", "high"] as const) {
        expect(estimate.prompt_tokens[bound]).toBe(total(({ prompt_tokens }) => prompt_tokens[bound]));
        expect(estimate.completion_tokens[bound]).toBe(total(({ completion_tokens }) => completion_tokens[bound]));
        for (const way of ["live", "batch"] as const) {
          expect(estimate.cost_usd[way]![bound]).toBeCloseTo(
            total(({ cost_usd }) => cost_usd[way]![bound]),
            9,
          );
        }
      }
      for (const part of [estimate, ...steps]) {
        for (const range of [part.prompt_tokens, part.completion_tokens, part.cost_usd.live!, part.cost_usd.batch!]) {
          expect(range.low).toBeLessThanOrEqual(range.expected);
          expect(range.expected).toBeLessThanOrEqual(range.high);
        }
      }
      for (const step of steps) {
        expect(step.completion_tokens.high).toBeLessThanOrEqual(150 * (step.calls - step.reused));
      }
    }
  });

  // In batches of Gemini 2.5, cached tokens cost as much as live.
  test.each([
    ["the config's prices", { prices: PRICES }, 0.5],
    ["Google's", { prices: undefined, model_config: { model_name: "gemini-2.5-flash" } }, 1],
  ])("costs what %s say, live and in batches, with the cached part of prompts that was seen", async (...cell) => {
    const [, config, cachedFactor] = cell;
    const perspective = { condition: "Brief", reading: null, strategy: PERSPECTIVES[1]!.strategy };
    await using it = await lab(20, { agent_perspectives: [perspective], ...config }, (call) => ({
      text: "one two three four",
      cached: Math.floor(promptTokens(call) / 2),
    }));
    await it.run({ sampleSize: 10 });
    const seen = expectedDataset(it.config, it.rows.slice(0, 10)).calls.map(({ asked }) => promptTokens(asked));
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
    const cachedShare = sum(seen.map((prompt) => Math.floor(prompt / 2))) / sum(seen);
    const { cost_usd, prompt_tokens, completion_tokens, prices, calls } = await it.estimate({ reuse: "none" });
    expect(calls).toEqual({ total: 20, readings: 0, strategies: 20, reused: 0, to_send: 20 });
    const tokens = count("one two three four");
    expect(completion_tokens.expected).toBe(20 * tokens);
    const usd = (prompt: number, completion: number, share: number, ...factors: number[]) => {
      const cache = { cachedTokens: prompt * share, cacheWriteTokens: 0, cacheWrite1hTokens: 0 };
      return costOf(prices, { promptTokens: prompt, completionTokens: completion, ...cache }, ...factors)! / 1e9;
    };
    expect(cost_usd.live!.expected).toBeCloseTo(usd(prompt_tokens.expected, 20 * tokens, cachedShare), 7);
    expect(cost_usd.live!.high).toBeCloseTo(usd(prompt_tokens.high, completion_tokens.high, 0), 6);
    const batch = usd(prompt_tokens.expected, 20 * tokens, cachedShare, 0.5, cachedFactor);
    expect(cost_usd.batch!.expected).toBeCloseTo(batch, 7);
  });

  test("says that a cost is unknown, and why, where there is no price", async () => {
    await using it = await lab(3, { prices: undefined, model_config: { model_name: UNKNOWN_MODEL } });
    const estimate = await it.estimate();
    expect(estimate).toMatchObject({ cost_usd: { live: null, batch: null }, prices: null });
    expect(estimate.price_unknown_because).toEqual(expect.any(String));
    expect(estimate.steps.map(({ cost_usd }) => cost_usd)).toEqual(
      Array.from({ length: 5 }, () => ({ live: null, batch: null })),
    );
    const { stdout } = done(await it.command(["estimate", "config.json"]));
    expect(stdout).toContain(`cost        unknown: ${estimate.price_unknown_because}\n`);
    expect(stdout).not.toContain("$");

    const { batch_factor: _, ...withoutBatches } = PRICES;
    await it.write({ ...it.config, prices: withoutBatches });
    const { cost_usd } = await it.estimate();
    expect(cost_usd).toEqual({ live: expect.any(Object) as Range, batch: null });
  });

  test("needs no key, sends nothing and makes no run", async () => {
    await using it = await lab(5);
    const keyless = { OPENAI_BASE_URL: it.server.openaiUrl };
    const { stdout, stderr } = done(await it.command(["estimate", "config.json"], keyless));
    expect(stdout).toMatch(/^inputs +5\ncalls +25 \(5 readings, 20 strategies\)\nprompt +about [^]*\n\nCONDITION/);
    expect(stderr).toContain("rows.json has 5 inputs; sample_size is 500, so all are used");
    expect(JSON.parse(done(await it.command(["runs", "list", "--json"])).stdout)).toEqual([]);
    expect(requestsTo(it.server)).toBe(0);

    const pilot = await it.command(["estimate", "config.json", "--pilot", "2"], { OPENAI_API_KEY: undefined });
    expect(pilot).toMatchObject({ code: 2, stdout: "" });
    expect(pilot.stderr).toContain("OPENAI_API_KEY is not set");
  });

  test("takes notes that were taken already for what they are, also where they are long", async () => {
    const [reading, strategy] = ["Copy everything that you read.", "Make a short report out of these notes."];
    const notes = ({ prompt }: Pick<Asked, "prompt">) =>
      prompt.startsWith("Copy") ? `${answerTo({ prompt })}. `.repeat(200) : answerTo({ prompt });
    await using it = await lab(
      6,
      { agent_perspectives: [{ condition: "First", reading, strategy }], model_config: { max_tokens: 20_000 } },
      (call) => ({ text: notes(call) }),
    );
    await it.run();
    const second = { condition: "Second", reading, strategy: "Sort the lines of these notes by length." };
    const config = configFor({ ...it.config, agent_perspectives: [second] });
    await it.write(config);
    const { steps } = await it.estimate();
    const prompts = expectedDataset(config, it.rows, notes).calls.filter(({ step }) => step === "strategy");
    const tokens = prompts.reduce((sum, { asked }) => sum + promptTokens(asked), 0);
    expect(tokens).toBeGreaterThan(10_000);
    expect(steps).toMatchObject([
      { step: "reading", calls: 6, reused: 6, prompt_tokens: { expected: 0 }, cost_usd: { live: { high: 0 } } },
      { step: "strategy", calls: 6, reused: 0 },
    ]);
    const { low, expected, high } = steps[1]!.prompt_tokens;
    expect([low, high]).toEqual([expected, expected]);
    expect(error(expected, tokens)).toBeLessThan(0.001);
  });

  test("is stored with a run as it was expected, and printed when the run begins", async () => {
    await using it = await lab(4);
    const estimate = await it.estimate();
    const { stderr } = done(await it.command(["run", "config.json", "--no-export"]));
    expect(stderr).toMatch(
      /\nEstimate: 20 calls \(4 readings, 16 strategies\) for 4 inputs\n {2}prompt .*\n {2}completion .*assumed.*\n {2}cost +\$.*, in batches \$.*\n/,
    );
    const shown = JSON.parse(done(await it.command(["runs", "show", "latest", "--json"])).stdout) as object;
    expect(shown).toMatchObject({
      estimated_tokens: {
        prompt: estimate.prompt_tokens.expected,
        completion: estimate.completion_tokens.expected,
      },
      estimated_cost_usd: estimate.cost_usd.live!.expected,
    });
    expect(done(await it.command(["runs", "show", "latest"])).stdout).toMatch(
      /^estimated +[\d,]+ prompt, [\d,]+ completion, cost \$0\.\d+$/m,
    );
  });

  test("reports how far a long count is", async () => {
    await using it = await lab(1);
    const text = stories(3_000)
      .map(({ input }) => input)
      .join("\n");
    await it.write(
      it.config,
      Array.from({ length: 8 }, (_, at) => ({ input: `${at} ${text.slice(at)}` })),
    );
    const counts: number[] = [];
    await it.estimate({ onEvent: (event) => void (event.type === "counting" && counts.push(event.inputs)) });
    expect(counts.length).toBeGreaterThan(0);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(counts.at(-1)).toBeLessThanOrEqual(8);
  });
});

test.concurrent("an estimate warns of calls that cannot fit into the context window of the model", async () => {
  const config = {
    agent_perspectives: PERSPECTIVES.slice(0, 1),
    model_config: { model_name: "gpt-4", max_tokens: 8_100 },
  };
  await using it = await lab(2, config);
  const [tooLong, fits] = ["word ".repeat(200), "word"];
  await it.ws.write("rows.json", [{ input: tooLong }, { input: fits }]);
  const warned = await it.command(["estimate", "config.json"]);
  expect(done(warned).stderr).toContain(
    "the prompt of 1 call does not fit into the context window of gpt-4, 8192 tokens, together with max_tokens",
  );
  await it.ws.write("rows.json", [{ input: fits }]);
  expect(done(await it.command(["estimate", "config.json"])).stderr).not.toContain("context window");
});

describe.concurrent("a pilot", () => {
  test("is a run of the first inputs, and the whole run reuses its answers", async () => {
    await using it = await lab(20);
    const { stdout, stderr } = done(await it.command(["estimate", "config.json", "--pilot", "4", "--json"]));
    expect(requestsTo(it.server)).toBe(4 * 5);
    expect(stderr).toMatch(/^Run \S+: gpt-4o-mini at [^]*\nEstimate: 20 calls [^]*completed: 20 of 20 succeeded/m);
    const estimate = JSON.parse(stdout) as Estimate;
    expect(estimate.calls).toEqual({ total: 100, readings: 20, strategies: 80, reused: 20, to_send: 80 });
    expect(estimate.steps.map(({ reused }) => reused)).toEqual([4, 4, 4, 4, 4]);
    const [pilot] = JSON.parse(done(await it.command(["runs", "list", "--json"])).stdout) as [{ id: string }];
    expect(pilot).toMatchObject({ name: "pilot", tasks: 4, status: "completed" });
    expect(estimate.basis.completion_tokens).toEqual([{ level: "pilot", steps: 5, calls: 20, runs: [pilot.id] }]);

    const fresh = estimateIn(await it.command(["estimate", "config.json", "--json", "--fresh"]));
    expect(fresh.calls).toMatchObject({ reused: 0, to_send: 100 });
    expect(fresh.prompt_tokens.expected).toBeGreaterThan(estimate.prompt_tokens.expected);
  });

  test("tells more than earlier calls of the same instruction", async () => {
    let words = 10;
    await using it = await lab(30, {}, () => ({ text: "word ".repeat(words).trim() }));
    await it.run({ sampleSize: 20 });
    words = 100;
    const data = stories(30, 500);
    await it.write(it.config, data);
    const pilot = await it.run({ sampleSize: 5 });
    const { completion_tokens } = await it.estimate({ pilot });
    expect(error(completion_tokens.expected, 25 * 5 * 100)).toBeLessThan(0.02);
  });

  test("says so where it is the whole, and leaves nothing to send", async () => {
    await using it = await lab(3);
    const { stdout, stderr } = done(await it.command(["estimate", "config.json", "--pilot", "50", "--json"]));
    expect(stderr).toContain("Warning: the pilot is the whole run: there are only 3 inputs");
    const nothing = { low: 0, expected: 0, high: 0 };
    expect(JSON.parse(stdout)).toMatchObject({
      inputs: 3,
      calls: { total: 15, reused: 15, to_send: 0 },
      prompt_tokens: nothing,
      completion_tokens: nothing,
      cost_usd: { live: nothing, batch: nothing },
      basis: { completion_tokens: [] },
    });
    expect(requestsTo(it.server)).toBe(15);
  });

  test("that is interrupted keeps what it has, and says how to go on", async () => {
    await using it = await lab(20);
    it.server.latency = 60;
    const env = environmentFor(it.server);
    await using running = startDatagen(["estimate", "config.json", "--pilot", "15"], { cwd: it.ws.path, env });
    await running.waitFor(/Estimate: 75 calls/);
    while (it.server.served.answers === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    running.kill("SIGINT");
    const { code, stdout, stderr } = await running.done;
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    const [, id] = /Go on with: datagen resume (\S+) --no-export$/m.exec(stderr)!;
    const sent = it.server.served.answers;
    done(await it.command(["resume", id!, "--no-export"]));
    expect(it.server.served.answers).toBe(75);
    expect(sent).toBeGreaterThan(0);
    expect((await it.estimate()).calls).toMatchObject({ total: 100, reused: 75 });
  });

  test("with calls that failed is estimated from the others, and exits with 1", async () => {
    await using it = await lab(8);
    const { behave } = it.server;
    it.server.behave = (call) =>
      call.prompt.startsWith("Say in a few words") ? { kind: "contentFilter" } : behave?.(call);
    const { code, stdout, stderr } = await it.command(["estimate", "config.json", "--pilot", "4"]);
    expect(code).toBe(1);
    expect(stderr).toContain("16 of 20 succeeded, 4 failed");
    expect(stdout).toMatch(/^ +4 of 5 steps from the pilot \(16 calls of run \S+\)$/m);
  });
});

describe("lengths of answers", () => {
  const answers = (tokens: (text: number) => number, texts = [10, 20, 30, 40, 50, 60, 70, 80]) =>
    texts.map((text, input): Observation => ({ input, text, tokens: tokens(text), cutAt: null }));
  const free = { limit: null, mayGrow: true, growth: 0 };

  test("follow texts that they clearly grow with, as far as a few times the longest that was seen", () => {
    const lengths = fitLengths(
      answers((text) => 5 + 2 * text),
      free,
    );
    expect([45, 100, 320, 100_000].map((text) => lengthFor(lengths, text))).toEqual([95, 205, 645, 645]);
    expect(
      lengthFor(
        fitLengths(
          answers((text) => 5 + 2 * text),
          { ...free, mayGrow: false },
        ),
        320,
      ),
    ).toBe(95);
    expect(
      lengthFor(
        fitLengths(
          answers((text) => 5 + 2 * text),
          { ...free, limit: 150 },
        ),
        320,
      ),
    ).toBe(150);
  });

  test("are the mean where the growth may be noise, and where answers are few", () => {
    const noise = [12, 30, 9, 25, 18, 34, 11, 29];
    const noisy = fitLengths(
      answers((text) => noise[text / 10 - 1]!),
      free,
    );
    expect(lengthFor(noisy, 10)).toBe(lengthFor(noisy, 80));
    expect(
      lengthFor(
        fitLengths(
          answers((text) => text, [10, 20, 30]),
          free,
        ),
        40,
      ),
    ).toBe(20);
  });

  test("grow as those of like steps where their own are too few to tell", () => {
    const texts = [10, 20, 30, 40, 50, 60];
    const growth = fitGrowth([answers((text) => text, texts), answers((text) => 10 * text, texts)]);
    expect(growth).toBeCloseTo(1);
    const few = fitLengths(
      answers((text) => 3 * text, [10, 30]),
      { ...free, growth },
    );
    expect(lengthFor(few, 40)).toBeCloseTo(120);
    // One that shows that it does not grow is believed.
    expect(
      lengthFor(
        fitLengths(
          answers(() => 7, texts),
          { ...free, growth },
        ),
        200,
      ),
    ).toBeCloseTo(7);
  });

  test("take an answer that a lower limit cut off for the least that it would have been", () => {
    const cut = (share: number) =>
      answers(() => 100).map((answer, at): Observation => ({ ...answer, cutAt: at < 8 * share ? 100 : null }));
    const expected = (share: number, limit: number | null) => lengthFor(fitLengths(cut(share), { ...free, limit }), 50);
    expect(expected(0, null)).toBe(100);
    expect(expected(0.5, null)).toBeGreaterThan(110);
    expect(expected(1, null)).toBeGreaterThan(expected(0.5, null));
    expect(expected(1, 120)).toBe(120);
    expect(expected(1, 100)).toBe(100);
    expect(expected(1, 60)).toBe(60);
  });
});

describe("a calibration", () => {
  const prompts = (frames: number[], texts: number[], reported: (frame: number, text: number) => number) =>
    frames.flatMap((frame) => texts.map((text) => ({ frame, text, reported: reported(frame, text) })));

  test("tells instructions from texts, which may be in different languages", () => {
    const found = calibrate(prompts([50, 60, 80], [10, 40, 90], (frame, text) => 1.1 * frame + 1.6 * text))!;
    expect(found.frame).toBeCloseTo(1.1);
    expect(found.text).toBeCloseTo(1.6);
  });

  test("is one ratio where prompts cannot tell the two apart, or are too few, and none without prompts", () => {
    const same = { frame: expect.closeTo(1.25) as number, text: expect.closeTo(1.25) as number };
    expect(calibrate(prompts([50], Array<number>(20).fill(50), () => 125))).toEqual(same);
    expect(calibrate(prompts([50], [10, 110], (frame, text) => 1.25 * (frame + text)))).toEqual(same);
    // A line through these would say that longer texts have fewer tokens.
    expect(calibrate(prompts([10], [20, 22, 24, 26, 28, 30, 32, 34], (_, text) => 100 - text))!.text).toBeGreaterThan(
      0,
    );
    expect(calibrate([])).toBeNull();
    expect(calibrate([{ frame: 0, text: 0, reported: 12 }])).toBeNull();
  });
});

test("a run after a pilot sends only what the pilot has left", async () => {
  await using it = await lab(20);
  const piloted = await it.command(["estimate", "config.json", "--json", "--pilot", "5"]);
  const { calls } = estimateIn(piloted);
  const sent = it.server.requests.length;
  expect(calls.reused).toBe(sent);
  const whole = await it.command(["run", "config.json", "--json", "--no-export"]);
  expect(whole.code, whole.stderr).toBe(0);
  expect(it.server.requests.length - sent).toBe(calls.to_send);
});
