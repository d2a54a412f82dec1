import { afterEach, describe, expect, test, vi } from "vitest";
import type { RunDetails } from "../src/app/runs/show-run.ts";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { renderError } from "../src/cli/render/error.ts";
import type { Estimate } from "../src/estimate/estimate.ts";
import { renderEstimate, renderEstimateDetails } from "../src/cli/render/estimate.ts";
import { renderOutcome } from "../src/cli/render/lines.ts";
import { createPullProgress } from "../src/cli/render/data/pull.ts";
import { createProgress } from "../src/cli/render/progress.ts";
import { progressLine } from "../src/cli/render/progress-line.ts";
import { widthOf } from "../src/cli/render/width.ts";
import { renderRuns } from "../src/cli/render/runs/list.ts";
import { renderDetails } from "../src/cli/render/runs/show.ts";
import { counted, duration, number, oneLine, printable, usd } from "../src/cli/render/text.ts";
import { DatagenError, InterruptedError, StoppedError, UsageError } from "../src/errors.ts";

const ESC = "\u001b";

/** What a terminal would obey: control characters other than line breaks, and marks that turn a line around. */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** Names that somebody may give, or find in somebody else's config. */
const HOSTILE = [
  { what: "clears the screen", text: `${ESC}[2J${ESC}[1;1Hgone` },
  { what: "sets the window's title", text: `${ESC}]0;title\u0007` },
  { what: "breaks the line", text: "first\nsecond\r\nthird" },
  { what: "turns the line around", text: "\u202egnorw\u202c" },
  { what: "sets a colour without an escape character", text: "\u009b31mred" },
  { what: "goes back over the line", text: "over\rwritten\b\b\b" },
  { what: "has NUL and DEL", text: "nul\u0000del\u007f" },
  { what: "has Unicode's own line breaks", text: "line\u2028paragraph\u2029" },
];

function summary(overrides: Partial<RunSummary> = {}): RunSummary {
  return {
    id: "abcd2345",
    experiment: null,
    name: null,
    status: "completed",
    task_type: "translation",
    model: "gpt-4o-mini",
    provider: "openai",
    tasks: 40,
    perspectives: 20,
    cost_usd: null,
    created_at: "2026-03-04T05:06:07.000Z",
    finished_at: "2026-03-04T05:16:07.000Z",
    ...overrides,
    calls: { total: 800, succeeded: 800, failed: 0, pending: 0, reused: 0, truncated: 0, ...overrides.calls },
    tokens: {
      prompt: 120_000,
      completion: 30_456,
      total: 150_456,
      cached: 0,
      reasoning: 0,
      estimated: false,
      ...overrides.tokens,
    },
  };
}

function details(overrides: Partial<RunDetails> = {}): RunDetails {
  return {
    run: summary(),
    base_url: "https://api.openai.com/v1",
    attempts: 812,
    estimated_tokens: { prompt: 119_000, completion: null },
    estimated_cost_usd: 0.0425,
    prices: null,
    max_cost_usd: null,
    possibly_billed: { requests: 0, cost_usd: 0 },
    saved_usd: 0,
    dataset_name: "translation_gpt_4o_mini_20260304_050607",
    input_sha256: "ab".repeat(32),
    sources: null,
    imported: null,
    datagen_version: "0.1.0",
    git_commit: null,
    steps: [
      {
        condition: "Plain",
        step: "strategy",
        total: 40,
        succeeded: 38,
        failed: 2,
        truncated: 1,
        reused: 0,
        prompt_tokens: 6_000,
        completion_tokens: 1_500,
        cached_tokens: 0,
        reasoning_tokens: 0,
        cost_usd: null,
      },
    ],
    batches: [],
    failures: [],
    config: {
      task_type: "translation",
      task_description: "German to English translation task",
      model_config: { model_name: "gpt-4o-mini" },
      agent_perspectives: [{ condition: "Plain", reading: null, strategy: "Translate." }],
      data_config: { input_data_path: "data/rows.json", sample_size: 100 },
      add_references: false,
      concurrency: 32,
      timeout_s: 120,
      max_attempts: 6,
      give_up_after_s: 600,
    },
    ...overrides,
  };
}

function estimate(overrides: Partial<Estimate> = {}): Estimate {
  const range = { low: 1_000, expected: 1_234, high: 1_600 };
  const [live, batch] = [
    { low: 0.01, expected: 0.0425, high: 1.5 },
    { low: 0.005, expected: 0.02125, high: 0.75 },
  ];
  const step = {
    condition: "Plain",
    step: "strategy" as const,
    calls: 8,
    reused: 2,
    prompt_tokens: { low: 12_345, expected: 12_345, high: 12_345 },
    completion_tokens: range,
    cost_usd: { live, batch },
    basis: { level: "instruction" as const, calls: 40, runs: ["abcd2345"] },
  };
  return {
    inputs: 4,
    calls: { total: 8, readings: 2, strategies: 6, reused: 2, to_send: 6 },
    prompt_tokens: step.prompt_tokens,
    completion_tokens: range,
    cost_usd: step.cost_usd,
    steps: [step],
    basis: {
      prompt_tokens: { encoding: "o200k_base", is_exact: true, calibration: null },
      completion_tokens: [{ ...step.basis, steps: 1 }],
    },
    prices: {
      input: 0.15,
      cached_input: 0.075,
      cache_write: 0.15,
      output: 0.6,
      long_prompts: [],
      batch_factor: 0.5,
      source: "the config",
      date: "2026-11-22",
    },
    ...overrides,
  };
}

/** The places of a terminal that a text of the scripts used here takes. */
function places(text: string): number {
  return [...text].reduce(
    (sum, character) => sum + (/[\p{Script=Han}\p{Emoji_Presentation}]/u.test(character) ? 2 : 1),
    0,
  );
}

describe("the list of runs", () => {
  const runs = [
    summary(),
    summary({
      id: "wxyz6789",
      name: "a name that somebody wrote with much love for detail, on a long evening",
      status: "interrupted",
      task_type: "a_task_with_a_name_of_its_own",
      model: "meta-llama/Llama-3.3-70B-Instruct-Turbo-with-a-suffix",
      provider: "together",
      calls: { total: 1_234_567, succeeded: 1_000_000, failed: 1234, pending: 233_333, reused: 0, truncated: 99 },
    }),
    summary({ id: "mnpq4444", status: "running", provider: "offline", cost_usd: 0 }),
  ];

  test.for([40, 60, 79, 80, 100, 120, 200])("fits %i columns and keeps id, status and calls", (width) => {
    const [, ...lines] = renderRuns(runs, width).split("\n");
    expect(lines).toHaveLength(runs.length + 1);
    for (const [at, run] of runs.entries()) {
      expect(lines[at]!.length).toBeLessThanOrEqual(width);
      expect(lines[at]).toContain(run.id);
      expect(lines[at]).toContain(run.status);
      expect(lines[at]).toContain(`${run.calls.succeeded}/${run.calls.total}`);
    }
  });

  test("drops the names last", () => {
    const named = runs.map((run) => ({ ...run, name: "pilot" }));
    const titles = (width: number) => renderRuns(named, width).split("\n")[0];
    expect(titles(200)).toMatch(/NAME.*MODEL.*COST/);
    expect(titles(60)).toMatch(/^RUN +NAME +STATUS +CALLS$/);
  });

  test("has in its total what deleted runs have cost, also where one run or none is left", () => {
    const paid = summary({ cost_usd: 1 });
    const last = (...given: Parameters<typeof renderRuns>) =>
      renderRuns(...given)
        .split("\n")
        .at(-1);
    expect(last([paid, paid], 200, { runs: 2, cost_usd: 0.5 })).toMatch(/^2 runs \+ 2 deleted .*\$2\.50/);
    expect(last([paid], 200, { runs: 1, cost_usd: 0.5 })).toMatch(/^1 run \+ 1 deleted .*\$1\.50/);
    expect(last([paid], 200, { runs: 1, cost_usd: null })).toMatch(/\$1\.00 \+ unknown/);
    expect(last([paid], 200)).toContain(paid.id);
    expect(last([], 200, { runs: 1, cost_usd: 0.5 })).toBe("1 deleted run cost $0.50.");
  });

  test("cuts nothing where there is room", () => {
    const text = renderRuns(runs, Number.POSITIVE_INFINITY);
    expect(text).not.toContain("…");
    for (const { name, model, task_type } of runs) {
      for (const value of [name ?? "", model, task_type]) expect(text).toContain(value);
    }
    expect(text).toContain("2026-03-04 05:06");
  });

  test("shows a cost that is unknown as unknown, that of an offline run as nothing, and counts of ours as about", () => {
    const unknown = renderRuns([summary()], 200);
    expect(unknown).toContain("unknown");
    expect(unknown).not.toContain("$");
    const offline = summary({ provider: "offline", cost_usd: 0, tokens: { ...summary().tokens, estimated: true } });
    const text = renderRuns([offline], 200);
    expect(text).toContain("$0.00");
    expect(text).toContain("~150,456");
    expect(text).toContain("offline (gpt-4o-mini)");
  });

  test("has no column in which no run has anything", () => {
    expect(renderRuns([summary()], 200)).not.toMatch(/NAME|CUT/);
    expect(renderRuns([summary({ name: "pilot" })], 200)).toMatch(/NAME[^]*pilot/);
    expect(renderRuns([summary({ calls: { ...summary().calls, truncated: 7 } })], 200)).toMatch(/CUT[^]* 7 /);
  });

  test("says how to begin where there is no run", () => {
    expect(renderRuns([], 80)).toContain("datagen run");
  });

  test.for(HOSTILE)("shows a text that $what on one line, as text", ({ text: value }) => {
    const text = renderRuns([summary({ name: value, task_type: value, model: value }), summary()], 200);
    expect(text).not.toMatch(OBEYED);
    expect(text.split(/[\n\u2028\u2029]/)).toHaveLength(4);
  });

  test.for([80, 100, 120])("fits %i columns with characters that take two places each", (width) => {
    const wide = summary({ name: "翻译实验第一次试运行带有很长的名字".repeat(3), model: "本地模型".repeat(12) });
    for (const line of renderRuns([wide, summary()], width).split("\n")) {
      expect(places(line)).toBeLessThanOrEqual(width);
    }
  });

  test("never cuts a character in two", () => {
    for (let width = 70; width < 130; width += 1) {
      const text = renderRuns([summary({ name: `a${"🦜".repeat(60)}`, model: "🪶".repeat(60) })], width);
      expect(text.isWellFormed()).toBe(true);
    }
  });
});

describe("a run in detail", () => {
  test("names server, size, requests, tokens, estimate, dataset and input, and each step", () => {
    const text = renderDetails(details(), 120);
    for (const shown of [
      "https://api.openai.com/v1",
      "40 inputs × 20 perspectives",
      "812",
      "150,456 tokens (120,000 prompt, 30,456 completion)",
      "119,000 prompt, unknown completion, cost $0.043",
      "translation_gpt_4o_mini_20260304_050607",
      `data/rows.json (SHA-256 ${"ab".repeat(32)})`,
    ]) {
      expect(text).toContain(shown);
    }
    expect(text).toMatch(/Plain +strategy +38\/40 +2 +1 +0 +6,000 +1,500/);
    expect(text).not.toContain("FAILURE");
  });

  test("names what failed, how often, and an example", () => {
    const failures = [{ reason: "bad_request", attempts: 3, calls: 2, example: "the prompt is too long" }];
    expect(renderDetails(details({ failures }), 120)).toMatch(/bad_request +3 +2 +the prompt is too long/);
  });

  test.for([60, 80, 120])("has tables that fit %i columns", (width) => {
    const [step] = details().steps;
    const text = renderDetails(
      details({
        steps: [{ ...step!, condition: "A condition with a label that goes on and on and on for a whole paragraph" }],
        failures: [
          { reason: "context_too_long", attempts: 12_345, calls: 12_345, example: "so long a text ".repeat(30) },
        ],
      }),
      width,
    );
    const tables = text.slice(text.indexOf("CONDITION")).split("\n");
    expect(tables.length).toBeGreaterThan(4);
    for (const line of tables) expect(line.length).toBeLessThanOrEqual(width);
  });

  test.for(HOSTILE)("shows a text that $what on one line, as text", ({ text: value }) => {
    const shown = details();
    const [step] = shown.steps;
    const clean = renderDetails({ ...shown, failures: [{ reason: "x", attempts: 1, calls: 1, example: "y" }] }, 300);
    const text = renderDetails(
      {
        ...shown,
        run: summary({ name: value, task_type: value, model: value }),
        base_url: value,
        dataset_name: value,
        config: { ...shown.config, data_config: { input_data_path: value, sample_size: 1 } },
        steps: [{ ...step!, condition: value }],
        failures: [{ reason: value, attempts: 1, calls: 1, example: value }],
      },
      300,
    );
    expect(text).not.toMatch(OBEYED);
    expect(text.split(/[\n\u2028\u2029]/)).toHaveLength(clean.split("\n").length);
  });
});

describe("text for a terminal", () => {
  test("writes every control character but line breaks and tabs as an escape", () => {
    const codes = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, at) => 0x7f + at)];
    for (const code of codes) {
      const shown = printable(String.fromCodePoint(code));
      if (code === 0x09 || code === 0x0a) expect(shown).toBe(String.fromCodePoint(code));
      else expect(shown).toBe(`\\x${code.toString(16).padStart(2, "0")}`);
    }
  });

  test("writes marks that turn a line around, and halves of characters, as escapes", () => {
    expect(printable("\u202eabc\u2066")).toBe("\\u202eabc\\u2066");
    expect(printable("a\ud83db")).toBe("a\\ud83db");
  });

  test("leaves everything else as it is", () => {
    const text = "Grüße, 世界 🦜 — “naïve” e\u0301 שלום\n\tend";
    expect(printable(text)).toBe(text);
  });

  test("puts a text of several lines on one", () => {
    expect(oneLine("  a\r\n\tb \u2028 c ")).toBe("a b c");
    expect(oneLine(`a${ESC}[31m`)).toBe("a\\x1b[31m");
  });

  test("groups thousands, and counts with the right word", () => {
    expect([0, 7, 999, 1000, 123_456, 1_234_567].map(number)).toEqual([
      "0",
      "7",
      "999",
      "1,000",
      "123,456",
      "1,234,567",
    ]);
    expect([counted(1, "call"), counted(0, "call"), counted(2000, "strategy", "strategies")]).toEqual([
      "1 call",
      "0 calls",
      "2,000 strategies",
    ]);
  });

  test("writes dollars with two digits that say something", () => {
    expect([0, 0.00000123, 0.0425, 0.5, 0.996, 1, 12.345, 1_234_567.8].map(usd)).toEqual([
      "$0.00",
      "$0.0000012",
      "$0.043",
      "$0.50",
      "$1.00",
      "$1.00",
      "$12.35",
      "$1,234,567.80",
    ]);
  });

  test("writes durations as minutes and seconds, with hours where there are some", () => {
    expect([0, 59.6, 61, 3599, 3600, 36_061].map(duration)).toEqual([
      "0:00",
      "1:00",
      "1:01",
      "59:59",
      "1:00:00",
      "10:01:01",
    ]);
  });
});

describe("an error", () => {
  test("that the user can act on is its message and its hint, with its own exit code", () => {
    expect(renderError(new UsageError("the file is empty", "Write something."))).toEqual({
      text: "Error: the file is empty\nWrite something.",
      exitCode: 2,
    });
    expect(renderError(new StoppedError("no quota")).exitCode).toBe(3);
    expect(renderError(new InterruptedError("stopped")).exitCode).toBe(130);
    expect(renderError(new DatagenError("none", { exitCode: 1 })).text).toBe("Error: none");
  });

  test("of a database that another process keeps locked is no bug", () => {
    const error = Object.assign(new Error("database is locked"), { code: "SQLITE_BUSY" });
    expect(renderError(error)).toEqual({
      text: "Error: another process keeps the database locked (SQLITE_BUSY)\nTry again once it is done.",
      exitCode: 2,
    });
  });

  test("that nobody foresaw shows its stack, and exits with 4", () => {
    const { text, exitCode } = renderError(new TypeError("no such thing"));
    expect(exitCode).toBe(4);
    expect(text).toMatch(/bug of datagen[^]*TypeError: no such thing\n +at /);
    expect(renderError("thrown text")).toMatchObject({ exitCode: 4, text: expect.stringContaining("thrown text") });
  });

  test.for(HOSTILE)("shows a text that $what as text", ({ text: value }) => {
    expect(renderError(new UsageError(value, value)).text).not.toMatch(OBEYED);
    expect(renderError(new Error(value)).text).not.toMatch(OBEYED);
  });
});

describe("what a run will do", () => {
  test("is shown in a few lines with its basis", () => {
    expect(renderEstimate(estimate())).toBe(
      [
        "Estimate: 8 calls (2 readings, 6 strategies) for 4 inputs; 2 reused, 6 to send",
        "  prompt      12,345 tokens, counted with o200k_base",
        "  completion  about 1,230 tokens (1,000 to 1,600); from the same instruction (40 calls of run abcd2345)",
        "  cost        $0.043 ($0.010 to $1.50), in batches $0.021 ($0.0050 to $0.75)",
      ].join("\n"),
    );
  });

  test("names what is unknown, what is not the model's own, and every level that it rests on", () => {
    const text = renderEstimate(
      estimate({
        calls: { total: 1, readings: 0, strategies: 1, reused: 0, to_send: 1 },
        inputs: 1,
        prompt_tokens: { low: 10_000, expected: 12_345, high: 15_000 },
        cost_usd: { live: null, batch: null },
        prices: null,
        price_unknown_because: "nobody has said it",
        basis: {
          prompt_tokens: {
            encoding: "o200k_base",
            is_exact: false,
            calibration: { calls: 100, runs: ["a", "b", "c", "d", "e"] },
          },
          completion_tokens: [
            { level: "condition", steps: 3, calls: 30, runs: ["a", "b"] },
            { level: "assumed", steps: 2, calls: 0, runs: [] },
          ],
        },
      }),
    );
    expect(text.split("\n")).toEqual([
      "Estimate: 1 call for 1 input",
      "  prompt      about 12,300 tokens (10,000 to 15,000), counted with o200k_base, " +
        "calibrated on 100 calls of runs a, b, c and 2 more",
      "  completion  about 1,230 tokens (1,000 to 1,600); 3 of 5 steps from the same condition " +
        "(30 calls of runs a, b); 2 of 5 steps assumed, because there are no earlier calls",
      "  cost        unknown: nobody has said it",
    ]);
    const uncalibrated = { encoding: "o200k_base", is_exact: false, calibration: null };
    const { completion_tokens } = estimate().basis;
    expect(renderEstimate(estimate({ basis: { prompt_tokens: uncalibrated, completion_tokens } }))).toContain(
      "counted with o200k_base, which is not the model's own tokenizer\n",
    );
    const { live } = estimate().cost_usd;
    expect(renderEstimate(estimate({ cost_usd: { live, batch: null } }))).toContain("in batches unknown");
  });

  test.for([60, 80, 200])("is shown in full with a table of the steps that fits %i columns", (width) => {
    const [step] = estimate().steps;
    const condition = "A condition with a label that goes on and on and on for a whole paragraph";
    const text = renderEstimateDetails(estimate({ steps: [step!, { ...step!, condition }] }), width);
    const [facts, table] = text.split("\n\n");
    expect(facts).toContain("calls       8 (2 readings, 6 strategies); 2 reused, 6 to send\n");
    expect(facts).toContain("prices      $0.15 (cached $0.075) for a million prompt tokens, $0.60 for completion\n");
    expect(table!.split("\n")).toHaveLength(3);
    for (const line of table!.split("\n")) expect(places(line)).toBeLessThanOrEqual(width);
    expect(table).toMatch(/Plain +strategy +8 .*1,230/);
    if (width === 200) expect(table).toMatch(/ 1,230 +1,000 +1,600 +\$0\.043 +instruction +40$/m);
  });

  test("shows conditions as text", () => {
    for (const { text: condition } of HOSTILE) {
      const [step] = estimate().steps;
      const text = renderEstimateDetails(estimate({ steps: [{ ...step!, condition }] }), 80);
      expect(text.replaceAll("\n", "")).not.toMatch(OBEYED);
    }
  });
});

describe("how a run ended", () => {
  test("is shown with the calls that failed, are pending or were cut off", () => {
    const calls = { total: 1000, succeeded: 990, failed: 6, pending: 4, reused: 0, truncated: 3 };
    const tokens = { prompt: 1200, completion: 34, total: 1234, cached: 128, reasoning: 5, estimated: true };
    expect(renderOutcome(summary({ status: "interrupted", calls, tokens }))).toBe(
      "Run abcd2345 interrupted: 990 of 1,000 succeeded, 6 failed, 4 pending, 3 cut off by the token limit; " +
        "1,234 tokens, partly estimated " +
        "(1,200 prompt, 34 completion, 128 of the prompt cached, 5 of the completion reasoning); cost unknown",
    );
  });
});

describe("progress", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Draws a run of 100 calls that stores one call each `every` milliseconds. */
  function draw(stream: { isTTY?: boolean; columns?: number }, every: number): string[] {
    vi.useFakeTimers({ now: 0 });
    const written: string[] = [];
    const { onEvent, end } = createProgress({ ...stream, write: (text) => written.push(text) });
    const calls = { total: 100, succeeded: 0, failed: 0, pending: 100, reused: 0, truncated: 0 };
    const zero = { prompt: 0, completion: 0, total: 0, cached: 0, reasoning: 0, estimated: false };
    onEvent({ type: "started", run: summary({ calls, tokens: zero }), baseUrls: ["http://localhost:11434/v1"] });
    expect(written.splice(0)).toEqual([expect.stringMatching(/100 of 100 calls pending\n$/)]);
    onEvent({ type: "retrying", reason: "timeout", message: "slow", delayMs: 500 });
    for (let stored = 0; stored < 100; stored += 1) {
      vi.advanceTimersByTime(every);
      const failed = stored % 50 === 0 ? 1 : 0;
      onEvent({
        type: "stored",
        delta: {
          callsSucceeded: 1 - failed,
          callsFailed: failed,
          callsTruncated: 0,
          callsReopened: 0,
          callsReused: 0,
          attempts: 1,
          promptTokens: 90,
          completionTokens: 10,
          cachedTokens: 0,
          cacheWriteTokens: 0,
          reasoningTokens: 0,
          costNanoUsd: 0,
          attemptsUnpriced: 1,
        },
      });
    }
    end();
    return written;
  }

  test("is a line now and then, without any escape code, where nobody watches", () => {
    const lines = draw({}, 1000);
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.length).toBeLessThanOrEqual(10);
    expect(lines.join("")).not.toMatch(OBEYED);
    expect(lines[0]).toBe(
      "9/100 calls (9%), 0.9/s, 1:41 left, cost unknown, 1 failed, 1 retry (timeout), 900 tokens\n",
    );
  });

  test("of a long count is one line on a terminal, which gives way to the next, and elsewhere a line now and then", () => {
    for (const [stream, every, lines] of [
      [{ isTTY: true, columns: 80 }, 150, 10],
      [{}, 1000, 1],
    ] as const) {
      const written: string[] = [];
      vi.useFakeTimers();
      const { onEvent, end } = createProgress({ ...stream, write: (text) => written.push(text) });
      for (let inputs = 1_000; inputs <= 10_000; inputs += 1_000) {
        vi.advanceTimersByTime(every);
        onEvent({ type: "counting", inputs });
      }
      const counts = written.filter((text) => text.includes("Counting tokens: "));
      expect(counts).toHaveLength(lines);
      expect(counts.at(-1)).toContain("10,000 inputs");
      onEvent({ type: "warning", message: "hm" });
      end();
      const screen = written.join("").split(`\r${ESC}[2K`).at(-1);
      expect(screen).toBe("isTTY" in stream ? "Warning: hm\n" : "Counting tokens: 10,000 inputs\nWarning: hm\n");
    }
  });

  test("is one bar on a terminal, never wider than it, and gone at the end", () => {
    for (const columns of [30, 60, 200]) {
      const drawn = draw({ isTTY: true, columns }, 150);
      const erase = `\r${ESC}[2K`;
      expect(drawn.at(-1)).toBe(erase);
      expect(drawn.length).toBeGreaterThan(50);
      for (const text of drawn) {
        expect(text.startsWith(erase)).toBe(true);
        const line = text.slice(erase.length);
        expect(line).not.toMatch(/\n/);
        expect(line.length).toBeLessThan(columns);
      }
    }
  });

  const state = { total: 1_000, succeeded: 99, failed: 1, tokens: 1_234, cost: 0.12, retries: 0, reason: "" };
  const rates = { rate: 3.25, lasting: 3.25 };
  const BAR = /^[█░]+ /u;

  test("shows done, rate, time left and cost first, and makes the bar narrower before it leaves out words", () => {
    const line = (width: number) => progressLine({ ...state, waiting: null }, rates, width);
    const first = "100/1,000 calls (10%), 3.3/s, 4:37 left, $0.12";
    expect(line(120)).toBe(`██${"░".repeat(22)} ${first}, 1 failed, 1,234 tokens`);
    for (const width of [119, 99, 79, 74, 70, 59, 50]) {
      const shown = line(width);
      expect(widthOf(shown)).toBeLessThanOrEqual(width);
      expect(shown.replace(BAR, "").startsWith(first)).toBe(true);
      if (BAR.test(shown)) expect(shown).toContain("1,234 tokens");
    }
    expect(line(79)).toMatch(BAR);
    expect(line(74)).not.toMatch(BAR);
    expect(line(59)).toBe(`${first}, 1 failed`);
    expect(line(40)).toBe("100/1,000, 3.3/s, 4:37 left, $0.12");
    expect(line(20)).toBe("100/1,000, 3.3/s, 4…");
  });

  test("says what a run waits for and until when, in 60 columns too, and no longer than that", () => {
    vi.useFakeTimers({ now: 0 });
    const line = (untilMs: number, width: number | null) =>
      progressLine({ ...state, waiting: { for: "stated_limit", untilMs } }, rates, width);
    const time = new Date(90_000).toTimeString().slice(0, 8);
    expect(line(90_000, null)).toContain(`, $0.12, waiting for the provider's limit until ${time}, 1 failed`);
    expect(line(90_000, 99)).toContain(`, $0.12, waiting for the provider's limit until ${time}`);
    expect(line(90_000, 59)).toBe(`100/1,000, 3.3/s, 4:37 left, $0.12, limit until ${time}`);
    expect(line(0, 99)).not.toContain("until");
  });

  test("says until when an outage is waited for, until the provider answers again", () => {
    vi.useFakeTimers({ now: 0 });
    const written: string[] = [];
    const { onEvent, end } = createProgress({ isTTY: true, columns: 140, write: (text) => written.push(text) });
    const calls = { total: 100, succeeded: 0, failed: 0, pending: 100, reused: 0, truncated: 0 };
    onEvent({ type: "started", run: summary({ calls }), baseUrls: [] });
    onEvent({ type: "outage", reason: "connection", message: "it is down", untilMs: 600_000 });
    const time = new Date(600_000).toTimeString().slice(0, 8);
    expect(written.at(-1)).toBe(
      `The provider answers nothing (connection: it is down). Trying again until ${time}; Ctrl-C stops the run, and it can be resumed.\n`,
    );
    vi.advanceTimersByTime(200);
    expect(written.at(-1)).toContain(`waiting for the provider to answer until ${time}`);
    onEvent({ type: "recovered" });
    vi.advanceTimersByTime(200);
    expect(written.at(-1)).not.toContain("until");
    end();
  });

  test("of several runs has a line for each, with its count on a narrow terminal, too", () => {
    vi.useFakeTimers({ now: 0 });
    const label = "a model with a very long name";
    for (const [columns, beginning] of [
      [40, "abcd2345  0/100, "],
      [100, `${label}  0/100 calls (0%), `],
    ] as const) {
      const written: string[] = [];
      const progress = createProgress({ isTTY: true, columns, write: (text) => written.push(text) });
      const calls = { total: 100, succeeded: 0, failed: 0, pending: 100, reused: 0, truncated: 0 };
      progress.label(new Map([["abcd2345", label]]));
      progress.onEvent({ type: "started", run: summary({ calls }), baseUrls: [] }, "abcd2345");
      vi.advanceTimersByTime(200);
      const line = written.at(-1)!.replace(`\r${ESC}[2K`, "");
      expect(line.replace(/[█░]+ /u, "").startsWith(beginning), line).toBe(true);
      expect(widthOf(line)).toBeLessThan(columns);
      progress.end();
    }
  });

  test("of several runs says of each that its provider is away and back, and warnings once", () => {
    const written: string[] = [];
    const { onEvent, label } = createProgress({ write: (text) => written.push(text) });
    label(new Map(["one", "two"].map((run) => [run, `model ${run}`])));
    for (let time = 0; time < 2; time += 1) {
      for (const run of ["one", "two"]) {
        onEvent({ type: "warning", message: "the log grows" }, run);
        onEvent({ type: "server", server: "http://a", isAway: true, message: "connection: refused" }, run);
        onEvent({ type: "recovered" }, run);
      }
    }
    const about = (run: string) => [
      `model ${run}: http://a does not answer (connection: refused). It is probed, and gets no other requests until it answers.`,
      `model ${run}: The provider answers again.`,
    ];
    const lines = written.join("").trimEnd().split("\n");
    expect(lines.filter((line) => line.includes("Warning"))).toEqual(["model one: Warning: the log grows"]);
    for (const run of ["one", "two"]) {
      const own = lines.filter((line) => line.startsWith(`model ${run}: `) && !line.includes("Warning"));
      expect(own).toEqual([...about(run), ...about(run)]);
    }
  });

  test("says again that the queue is away, or that no worker is there", () => {
    const written: string[] = [];
    const { onEvent } = createProgress({ write: (text) => written.push(text) });
    for (let time = 0; time < 2; time += 1) onEvent({ type: "warning", message: "the queue does not answer" }, "one");
    expect(written.join("")).toBe("Warning: the queue does not answer\n".repeat(2));
  });

  test("says whom a run asks, and shows what a config calls its model as text", () => {
    const written: string[] = [];
    const { onEvent } = createProgress({ write: (text) => written.push(text) });
    const created = { type: "created", id: "abcd2345", estimate: estimate() } as const;
    onEvent({ ...created, provider: "openai", model: `${ESC}[2Jx`, baseUrls: ["http://127.0.0.1:1/v1"] });
    onEvent({ ...created, provider: "offline", model: "gpt-4o-mini", baseUrls: [] });
    onEvent({ type: "warning", message: `${ESC}[31mhm` });
    const text = written.join("");
    expect(text).not.toMatch(OBEYED);
    expect(text).toContain("Run abcd2345: \\x1b[2Jx at http://127.0.0.1:1/v1\n");
    expect(text).toContain("no model is asked");
    expect(text).toContain("Warning: \\x1b[31mhm\n");
  });
});

describe("the progress of a pull", () => {
  const MB = 1024 * 1024;

  /** What is written while a file of 100 MB arrives at 10 MB in a second, after one of 50 MB that was there. */
  function written(stream: { isTTY?: boolean; columns?: number }, total: number | null): string[] {
    vi.useFakeTimers({ now: 0 });
    const texts: string[] = [];
    const { onEvent, end } = createPullProgress({ ...stream, write: (text) => texts.push(text) });
    for (let at = 0; at <= 100; at += 1) {
      vi.advanceTimersByTime(100);
      onEvent({ type: "progress", bytes: (50 + at) * MB, total, files: 2, done: 1 });
    }
    end();
    vi.useRealTimers();
    return texts;
  }

  test("is one line on a terminal, and a line now and then elsewhere", () => {
    const line = "150.0 MB of 250.0 MB (60%), 10.0 MB/s, 0:10 left, file 2 of 2";
    expect(written({ isTTY: true, columns: 100 }, 250 * MB).slice(-2)).toEqual([`\r${ESC}[2K${line}`, `\r${ESC}[2K`]);
    for (const text of written({ isTTY: true, columns: 40 }, 250 * MB))
      expect(widthOf(text.replace(/^.*2K/, ""))).toBeLessThan(40);
    expect(written({}, 250 * MB)).toEqual(["149.0 MB of 250.0 MB (59%), 10.0 MB/s, 0:10 left, file 2 of 2\n"]);
    expect(written({ isTTY: true, columns: 100 }, null).at(-2)).toBe(`\r${ESC}[2K150.0 MB, 10.0 MB/s, file 2 of 2`);
  });

  test.for(HOSTILE)("escapes what a terminal would obey: text that $what", ({ text }) => {
    const texts: string[] = [];
    const { onEvent } = createPullProgress({ write: (said) => texts.push(said) });
    onEvent({ type: "warning", message: text });
    onEvent({ type: "waiting", reason: text, ms: 1_000 });
    onEvent({
      type: "listed",
      dataset: "a/b",
      commit: text,
      license: text,
      endpoint: "http://127.0.0.1",
      folder: text,
    });
    expect(texts.join("").replaceAll("\n", "")).not.toMatch(OBEYED);
    expect(texts.join("").split("\n")).toHaveLength(4);
  });
});
