import OpenAI from "openai";
import Together from "together-ai";
import { getEncoding } from "js-tiktoken";
import { describe, expect, test, vi } from "vitest";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { type Decision, decide, NO_TRIES } from "../src/execute/retry.ts";
import { toCallError } from "../src/providers/refusal.ts";
import type { FailureReason } from "../src/providers/provider.ts";
import {
  type Config,
  configFor,
  type ConfigOverrides,
  datagen,
  environmentFor,
  expectedDataset,
  openDatabase,
  promptOf,
  type Row,
  rows,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { answerTo, type Fault, type IncomingCall, promptHashOf, shortened, startServer } from "./support/server.ts";

const PLAIN = { condition: "Plain", reading: null, strategy: "Translate the German text into English." };

/** The providers' APIs, each by a model that uses it. */
const APIS = [
  ["openai", "chat", "gpt-4o-mini"],
  ["openai", "completions", "davinci-002"],
  ["together", "chat", "meta-llama/Llama-3.3-70B-Instruct-Turbo"],
] as const;
const CHATS = APIS.filter(([, endpoint]) => endpoint === "chat");

/** One call for each row: a single perspective without a reading. */
function oneCallEach(model_name: string, overrides: ConfigOverrides = {}): Config {
  return configFor({ agent_perspectives: [PLAIN], ...overrides, model_config: { model_name } });
}

/** Delays without jitter: the shortest that there can be, and as long as a Retry-After says. */
const NO_JITTER = { NODE_OPTIONS: "--import=data:text/javascript,Math.random=()=>0" };

interface Attempt {
  outcome: string;
  decision: string;
  http_status: number | null;
  request_id: string | null;
  error_code: string | null;
  message: string | null;
  prompt_tokens: number;
  completion_tokens: number;
  tokens_estimated: number;
}

interface Dataset {
  tasks: { context: string; responses: (string | null)[]; preparations: (string | null)[] }[];
  metadata: { calls: RunSummary["calls"]; token_usage: object; api_calls: { total_calls: number } };
}

/** A server whose faults a test chooses by the row that is asked, and a folder; `await using` removes both. */
async function setUp(config: Config, data: Row[], faultOf: (row: number, call: IncomingCall) => Fault | undefined) {
  const prompts = new Map(data.map(({ input }, row) => [promptOf(PLAIN.strategy, input), row]));
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startServer({ behave: (call) => faultOf(prompts.get(call.prompt) ?? -1, call) }));
  const space = stack.use(await workspace());
  await space.write("config.json", config);
  await space.write("rows.json", data);
  const spawned = { cwd: space.path, env: { ...environmentFor(server), ...NO_JITTER } };
  const common = ["--db", "datagen.db"];
  const toDataset = [...common, "--output", "dataset.json"];
  const query = <T>(sql: string): T[] => {
    const database = openDatabase(space.at("datagen.db"));
    try {
      return database.prepare<[], T>(sql).all();
    } finally {
      database.close();
    }
  };
  return {
    server,
    query,
    run: (flags: string[] = []) => datagen(["run", "config.json", ...toDataset, ...flags], spawned),
    start: () => startDatagen(["run", "config.json", ...toDataset], spawned),
    resume: (args: string[]) => datagen([...args, "--output", "dataset.json"], spawned),
    dataset: () => space.json<Dataset>("dataset.json"),
    print: async (...args: string[]) => (await datagen([...args, ...common], spawned)).stdout,
    /** The attempts that were stored for a row, in their order. */
    attemptsOf: (row: number) =>
      query<Attempt>(
        `select a.* from attempts a join calls c on c.id = a.call_id join tasks t on t.id = c.task_id
         where t.position = ${row} order by a.id`,
      ),
    /** The requests that the server has seen for a row, in their order. */
    requestsOf: (row: number) =>
      server.requests.filter(
        ({ promptHash }) => promptHash === promptHashOf(promptOf(PLAIN.strategy, data[row]!.input)),
      ),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const NOTHING = { prompt_tokens: 0, completion_tokens: 0, tokens_estimated: 0 };
const summaryIn = (stdout: string) => (JSON.parse(stdout) as { run: RunSummary }).run;
const outcomes = (attempts: Attempt[]) => attempts.map(({ outcome, decision }) => [outcome, decision]);

describe("deciding on a failed attempt", () => {
  const ENDS: Record<FailureReason, { attempts: number; action: Decision["action"] }> = {
    rate_limited: { attempts: Number.POSITIVE_INFINITY, action: "retry" },
    server_error: { attempts: 6, action: "fail" },
    timeout: { attempts: 6, action: "fail" },
    connection: { attempts: 6, action: "fail" },
    malformed: { attempts: 6, action: "fail" },
    not_processed: { attempts: 6, action: "fail" },
    broken: { attempts: 3, action: "fail" },
    empty: { attempts: 3, action: "fail" },
    reasoning_exhausted: { attempts: 3, action: "fail" },
    content_filter: { attempts: 1, action: "fail" },
    refusal: { attempts: 1, action: "fail" },
    bad_request: { attempts: 1, action: "fail" },
    context_too_long: { attempts: 1, action: "fail" },
    content_policy: { attempts: 1, action: "fail" },
    key_refused: { attempts: 1, action: "stop" },
    forbidden: { attempts: 1, action: "stop" },
    model_not_found: { attempts: 1, action: "stop" },
    no_quota: { attempts: 1, action: "stop" },
    file_too_large: { attempts: 1, action: "stop" },
    redirected: { attempts: 1, action: "stop" },
    bad_certificate: { attempts: 1, action: "stop" },
    wrong_protocol: { attempts: 1, action: "stop" },
    proxy_refused: { attempts: 1, action: "stop" },
  };

  /** What is decided on one failure after the other, up to the first that is not retried. */
  function decisions(reasons: Iterable<FailureReason>): Decision[] {
    let tries = NO_TRIES;
    const made: Decision[] = [];
    for (const reason of reasons) {
      const next = decide(reason, null, tries, 6, 0.5);
      tries = next.tries;
      made.push(next.decision);
      if (next.decision.action !== "retry") break;
    }
    return made;
  }

  const delay = (retryAfterMs: number | null, random: number, retries = 0): number => {
    const { decision } = decide("server_error", retryAfterMs, { ...NO_TRIES, transient: retries }, 6, random);
    return decision.action === "retry" ? decision.delayMs : Number.NaN;
  };

  test.for(Object.entries(ENDS))("%s: %o", ([reason, { attempts, action }]) => {
    const made = decisions(Array.from({ length: 1_000 }, () => reason as FailureReason));
    expect(made).toHaveLength(Math.min(attempts, 1_000));
    expect(made.at(-1)?.action).toBe(action);
  });

  test("waits for a rate limit use up no attempt", () => {
    const reasons = Array.from({ length: 6 }, (): FailureReason[] => ["rate_limited", "rate_limited", "timeout"]);
    expect(decisions(reasons.flat())).toHaveLength(18);
  });

  test("answers without a text count among all the attempts", () => {
    expect(decisions(["server_error", "empty", "timeout", "connection", "reasoning_exhausted", "malformed"])).toEqual([
      ...Array.from({ length: 5 }, () => ({ action: "retry", delayMs: expect.any(Number) as number })),
      { action: "fail" },
    ]);
    expect(decisions(["empty", "server_error", "reasoning_exhausted", "empty"]).at(-1)).toEqual({ action: "fail" });
  });

  test("what was counted before stays as it is", () => {
    const tries = Object.freeze({ rateLimited: 1, empty: 1, transient: 1 });
    expect(decide("timeout", null, tries, 6, 0).tries).toEqual({ rateLimited: 1, empty: 1, transient: 2 });
    expect(decide("empty", null, tries, 6, 0).tries).toEqual({ rateLimited: 1, empty: 2, transient: 1 });
    expect(decide("rate_limited", null, tries, 6, 0).tries).toEqual({ rateLimited: 2, empty: 1, transient: 1 });
    expect(decide("refusal", null, tries, 6, 0).tries).toEqual(tries);
  });

  test("delays double, and jitter spreads them", () => {
    const shortest = [0, 1, 2, 3, 4].map((retries) => delay(null, 0, retries));
    expect(shortest.map((ms) => ms / shortest[0]!)).toEqual([1, 2, 4, 8, 16]);
    expect(shortest[0]).toBeGreaterThan(0);
    expect(delay(null, 0.5)).toBeGreaterThan(delay(null, 0));
    expect(delay(null, 1)).toBeGreaterThan(delay(null, 0.5));
  });

  test("delays of a rate limit have an upper bound", () => {
    const { decision } = decide("rate_limited", null, { ...NO_TRIES, rateLimited: 10_000 }, 6, 1);
    expect(decision).toEqual({ action: "retry", delayMs: 30_000 });
  });

  test.for([0, 1, 700, 59_000, 600_000])("no call is sent before the provider allows it: %i ms", (asked) => {
    for (const random of [0, 0.5, 0.999]) {
      expect(delay(asked, random)).toBeGreaterThanOrEqual(asked);
      expect(delay(asked, random)).toBeLessThanOrEqual(asked + 500);
    }
  });

  test("a provider that asks to wait for hours is asked again after ten minutes", () => {
    expect(delay(86_400_000, 0)).toBe(600_000);
  });
});

describe("how long a provider asks to wait", () => {
  const generate = {
    openai: (headers: Headers) => OpenAI.APIError.generate(429, { error: { message: "Slowly" } }, undefined, headers),
    together: (headers: Headers) =>
      Together.APIError.generate(429, { error: { message: "Slowly" } }, undefined, headers),
  };
  const asked = (sdk: keyof typeof generate, headers: Record<string, string>) =>
    toCallError(generate[sdk](new Headers(headers)), undefined).details.retryAfterMs;

  describe.for(["openai", "together"] as const)("%s", (sdk) => {
    test.for([
      [{}, null],
      [{ "retry-after-ms": "1500" }, 1_500],
      [{ "retry-after": "2" }, 2_000],
      [{ "retry-after": "0.5" }, 500],
      [{ "retry-after": "7", "retry-after-ms": "6500" }, 6_500],
      [{ "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
      [{ "retry-after": "soon" }, null],
      [{ "retry-after": "3", "retry-after-ms": "soon" }, 3_000],
    ] as [Record<string, string>, number | null][])("%j: %s", ([headers, ms]) => {
      expect(asked(sdk, headers)).toBe(ms);
    });

    test("a date is the time until then", () => {
      const ms = asked(sdk, { "retry-after": new Date(Date.now() + 3_600_000).toUTCString() });
      expect(ms).toBeGreaterThan(3_000_000);
      expect(ms).toBeLessThanOrEqual(3_600_000);
    });
  });
});

describe.concurrent("what passes is sent again, and then kept", () => {
  const soon = () => new Date(Date.now() + 1_000).toUTCString();
  /** The fault, and the attempt that is stored of it; where the SDKs differ, [OpenAI, Together]. */
  const FAULTS: [fault: () => Fault, outcome: FailureReason, status: number | null, code: unknown][] = [
    [() => limited({ "retry-after-ms": "5" }), "rate_limited", 429, ["rate_limit_exceeded", "model_rate_limit"]],
    [() => limited({ "retry-after": "1" }), "rate_limited", 429, ["rate_limit_exceeded", "model_rate_limit"]],
    [() => limited({ "retry-after": soon() }), "rate_limited", 429, ["rate_limit_exceeded", "model_rate_limit"]],
    [() => limited({}), "rate_limited", 429, ["rate_limit_exceeded", "model_rate_limit"]],
    [() => ({ kind: "status", status: 408 }), "timeout", 408, "timeout"],
    [() => ({ kind: "status", status: 409 }), "server_error", 409, "invalid_request_error"],
    [() => ({ kind: "status", status: 500 }), "server_error", 500, "server_error"],
    [() => ({ kind: "status", status: 502 }), "server_error", 502, "server_error"],
    [() => ({ kind: "status", status: 503, code: "overloaded" }), "server_error", 503, "overloaded"],
    [() => ({ kind: "status", status: 529 }), "server_error", 529, "server_error"],
    [() => ({ kind: "reset" }), "connection", null, "ECONNRESET"],
    [() => ({ kind: "close" }), "connection", null, "UND_ERR_SOCKET"],
    [() => ({ kind: "half" }), "connection", 200, "UND_ERR_SOCKET"],
    [() => ({ kind: "malformed" }), "broken", 200, null],
    [() => ({ kind: "html" }), "malformed", 200, null],
    [() => ({ kind: "html", status: 502 }), "server_error", 502, null],
    [() => ({ kind: "error200", code: "overloaded" }), "server_error", 200, "overloaded"],
    [() => ({ kind: "noChoices" }), "malformed", 200, null],
  ];
  const limited = (headers: Record<string, string>): Fault => ({ kind: "status", status: 429, headers });

  test.for(APIS)("%s, %s: every status, every broken connection, every body that is no answer", async (api) => {
    const [provider, , model] = api;
    const config = oneCallEach(model);
    const data = rows(FAULTS.length + 1);
    await using lab = await setUp(config, data, (row, { nth }) => (nth === 1 ? FAULTS[row]?.[0]() : undefined));
    const { code, stdout, stderr } = await lab.run(["--json"]);
    expect(code, stderr).toBe(0);
    for (const [row, [fault, outcome, httpStatus, errorCode]] of FAULTS.entries()) {
      const [first, second, ...more] = lab.requestsOf(row);
      const { kind } = fault();
      const cost = first?.usage;
      expect([row, first?.fault, second?.status, more.length]).toEqual([row, kind, 200, 0]);
      expect(lab.attemptsOf(row), kind).toMatchObject([
        {
          outcome,
          decision: "retry",
          http_status: httpStatus,
          request_id: httpStatus === null || kind === "half" ? null : first?.requestId,
          error_code: Array.isArray(errorCode) ? (errorCode[provider === "openai" ? 0 : 1] as string) : errorCode,
          prompt_tokens: cost?.prompt ?? 0,
          completion_tokens: cost?.completion ?? 0,
          tokens_estimated: 0,
        },
        {
          outcome: "succeeded",
          decision: "kept",
          http_status: 200,
          request_id: second?.requestId,
          error_code: null,
          message: null,
          prompt_tokens: second?.usage?.prompt,
          completion_tokens: second?.usage?.completion,
          tokens_estimated: 0,
        },
      ]);
      expect(lab.attemptsOf(row)[0]?.message, kind).toMatch(/\w/);
    }
    const { answers, ...served } = lab.server.served;
    expect(answers).toBe(data.length);
    const { calls, tokens } = summaryIn(stdout);
    expect(calls).toMatchObject({ total: data.length, succeeded: data.length, failed: 0, pending: 0, truncated: 0 });
    expect(tokens).toEqual({ ...served, estimated: false });
    const { tasks, metadata } = await lab.dataset();
    expect(tasks).toEqual(expectedDataset(config, data).tasks);
    expect(metadata.api_calls.total_calls).toBe(lab.server.requests.length);
  });

  test.for(CHATS)("%s, %s: no answer, or half of one, within timeout_s", async ([, , model]) => {
    const config = oneCallEach(model, { timeout_s: 1 });
    const faults: Fault[] = [{ kind: "hang" }, { kind: "slowBody", ms: 30_000 }];
    await using lab = await setUp(config, rows(2), (row, { nth }) => (nth === 1 ? faults[row] : undefined));
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    for (const row of [0, 1]) {
      const [first, ...more] = lab.attemptsOf(row);
      expect(first).toMatchObject({ outcome: "timeout", decision: "retry", http_status: null, ...NOTHING });
      expect(more.at(-1)).toMatchObject({ outcome: "succeeded", decision: "kept" });
    }
    expect((await lab.dataset()).tasks).toEqual(expectedDataset(config, rows(2)).tasks);
  });

  test("a rate limit that lasts fails no call", async () => {
    await using lab = await setUp(oneCallEach("gpt-4o-mini"), rows(1), (_, { nth }) =>
      nth <= 12 ? limited({ "retry-after-ms": "1" }) : undefined,
    );
    expect((await lab.run()).code).toBe(0);
    expect(outcomes(lab.attemptsOf(0))).toEqual([
      ...Array.from({ length: 12 }, () => ["rate_limited", "retry"]),
      ["succeeded", "kept"],
    ]);
  });

  test("a call that has to wait ten minutes is not sent before, and holds up no other", async () => {
    const waits = [
      { "retry-after": "600" },
      { "retry-after-ms": "600000" },
      { "retry-after": new Date(Date.now() + 600_000).toUTCString() },
    ];
    const data = rows(8);
    await using lab = await setUp(oneCallEach("gpt-4o-mini"), data, (row, { nth }) => {
      if (row < waits.length) return limited(waits[row]!);
      return nth === 1 ? { kind: "status", status: 503 } : undefined;
    });
    await using running = lab.start();
    await vi.waitFor(() => expect(lab.server.served.answers).toBe(data.length - waits.length), 30_000);
    running.kill("SIGINT");
    expect((await running.done).code).toBe(130);
    for (const row of waits.keys()) expect(outcomes(lab.attemptsOf(row))).toEqual([["rate_limited", "retry"]]);
    expect(lab.server.requests).toHaveLength(3 + 2 * 5);
  });
});

describe.concurrent("what does not pass fails with its reason, and the run goes on", () => {
  test.for(CHATS)("%s, %s: six attempts of a failure that lasts", async ([, , model]) => {
    const lasting: [Fault, FailureReason][] = [
      [{ kind: "status", status: 503, headers: { "retry-after-ms": "1" } }, "server_error"],
      [{ kind: "reset" }, "connection"],
      [{ kind: "html" }, "malformed"],
      [{ kind: "noChoices" }, "malformed"],
      [{ kind: "error200" }, "server_error"],
    ];
    // One call after the other, and an answer before each that fails: however slow the machine, there is no outage.
    const config = oneCallEach(model, { concurrency: 1 });
    const data = rows(2 * lasting.length);
    await using lab = await setUp(config, data, (row) => (row % 2 === 1 ? lasting[row >> 1]?.[0] : undefined));
    const { code, stdout, stderr } = await lab.run(["--json"]);
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/Warning: 5 calls failed.*null.*--retry-failed/);
    const [retry, fail] = ["retry", "fail"];
    for (const [at, [, reason]] of lasting.entries()) {
      const row = 2 * at + 1;
      expect(outcomes(lab.attemptsOf(row))).toEqual(
        [retry, retry, retry, retry, retry, fail].map((decision) => [reason, decision]),
      );
      expect(lab.requestsOf(row)).toHaveLength(6);
    }
    expect(lab.query("select failure from calls where state = 'failed' order by id")).toEqual(
      lasting.map(([, failure]) => ({ failure })),
    );
    const { answers: _, ...served } = lab.server.served;
    expect(summaryIn(stdout)).toMatchObject({
      status: "failed",
      calls: { total: 10, succeeded: 5, failed: 5, pending: 0 },
      tokens: { ...served, estimated: false },
    });
    const { tasks, metadata } = await lab.dataset();
    const expected = expectedDataset(config, data).tasks;
    expect(tasks).toEqual(expected.map((task, row) => (row % 2 === 1 ? { ...task, responses: [null] } : task)));
    expect(metadata.calls).toMatchObject({ succeeded: 5, failed: 5 });
    const { failures } = JSON.parse(await lab.print("runs", "show", "latest", "--json")) as { failures: object[] };
    expect(failures).toMatchObject([
      { reason: "connection", attempts: 6, calls: 1 },
      { reason: "malformed", attempts: 12, calls: 2 },
      { reason: "server_error", attempts: 12, calls: 2 },
    ]);
  });

  test.for<[Fault, attempts: number]>([
    [{ kind: "half" }, 4],
    [{ kind: "malformed" }, 3],
  ])(
    "half of an answer is paid, and no outage, however many calls it is the answer to: %j",
    async ([fault, attempts]) => {
      const data = rows(6);
      const config = oneCallEach("gpt-4o-mini", { max_attempts: 4, give_up_after_s: 6 });
      await using lab = await setUp(config, data, () => fault);
      expect((await lab.run()).code).toBe(1);
      expect(data.map((_, row) => lab.requestsOf(row).length)).toEqual(data.map(() => attempts));
      expect(lab.query("select count(*) as n from attempts where reserved_prompt_tokens is null")).toEqual([{ n: 0 }]);
    },
  );

  test.for(APIS)(
    "%s, %s: an answer without a text is asked for twice more, and what it cost is counted",
    async (api) => {
      const [, , model] = api;
      const wordless: [Fault, FailureReason][] = [
        [{ kind: "empty" }, "empty"],
        [{ kind: "null" }, "empty"],
        [{ kind: "text", text: " \n\t" }, "empty"],
        [{ kind: "reasoningOnly" }, "reasoning_exhausted"],
      ];
      const config = oneCallEach(model);
      const data = rows(wordless.length + 2);
      await using lab = await setUp(config, data, (row, { nth }) =>
        row === wordless.length && nth <= 2 ? { kind: "empty" } : wordless[row]?.[0],
      );
      const { code, stdout, stderr } = await lab.run(["--json"]);
      expect(code, stderr).toBe(1);
      for (const [row, [, reason]] of wordless.entries()) {
        const attempts = lab.attemptsOf(row);
        expect(outcomes(attempts)).toEqual(["retry", "retry", "fail"].map((decision) => [reason, decision]));
        const costs = lab.requestsOf(row).map(({ usage, requestId }) => [usage?.prompt, usage?.completion, requestId]);
        expect(attempts.map((at) => [at.prompt_tokens, at.completion_tokens, at.request_id])).toEqual(costs);
      }
      expect(outcomes(lab.attemptsOf(wordless.length))).toEqual([
        ["empty", "retry"],
        ["empty", "retry"],
        ["succeeded", "kept"],
      ]);
      const { answers: _, ...served } = lab.server.served;
      const { calls, tokens } = summaryIn(stdout);
      expect(calls).toMatchObject({ succeeded: 2, failed: 4 });
      expect(tokens).toEqual({ ...served, estimated: false });
      const expected = expectedDataset(config, data).tasks;
      const { tasks, metadata } = await lab.dataset();
      expect(tasks).toEqual(expected.map((task, row) => (row < 4 ? { ...task, responses: [null] } : task)));
      expect(metadata.token_usage).toMatchObject({
        prompt_tokens: served.prompt,
        completion_tokens: served.completion,
      });
    },
  );

  test.for(CHATS)("%s, %s: what would fail again is sent once", async ([, , model]) => {
    const status = (of: number, code: string | null = null): Fault => ({ kind: "status", status: of, code });
    const final: [Fault, FailureReason][] = [
      [{ kind: "contentFilter" }, "content_filter"],
      [{ kind: "refusal" }, "refusal"],
      [status(400), "bad_request"],
      [status(422), "bad_request"],
      [status(400, "context_length_exceeded"), "context_too_long"],
      [status(400, "content_policy_violation"), "content_policy"],
    ];
    const config = oneCallEach(model);
    const data = rows(final.length + 1);
    await using lab = await setUp(config, data, (row) => final[row]?.[0]);
    const { code, stdout, stderr } = await lab.run(["--json"]);
    expect(code, stderr).toBe(1);
    expect(lab.server.requests).toHaveLength(data.length);
    for (const [row, [, reason]] of final.entries()) {
      const [request] = lab.requestsOf(row);
      expect(lab.attemptsOf(row)).toMatchObject([
        {
          outcome: reason,
          decision: "fail",
          http_status: request?.status,
          request_id: request?.requestId,
          prompt_tokens: request?.usage?.prompt ?? 0,
          completion_tokens: request?.usage?.completion ?? 0,
        },
      ]);
    }
    const { answers: _, ...served } = lab.server.served;
    expect(summaryIn(stdout).tokens).toEqual({ ...served, estimated: false });
    const { tasks } = await lab.dataset();
    expect(tasks.map(({ responses }) => responses)).toEqual([
      ...final.map(() => [null]),
      expectedDataset(config, data).tasks.at(-1)?.responses,
    ]);
  });
});

describe.concurrent("answers that are unusual are kept", () => {
  test.for(APIS)("%s, %s: one that the token limit cut off is kept and counted as truncated", async ([, , model]) => {
    const config = oneCallEach(model);
    await using lab = await setUp(config, rows(3), (row) => (row === 1 ? { kind: "length" } : undefined));
    const { code, stdout, stderr } = await lab.run(["--json"]);
    expect(code, stderr).toBe(0);
    expect(lab.server.requests).toHaveLength(3);
    const cut = promptOf(PLAIN.strategy, rows(3)[1]!.input);
    const expected = expectedDataset(config, rows(3), (asked) =>
      asked.prompt === cut ? shortened(answerTo(asked)) : answerTo(asked),
    );
    const { tasks, metadata } = await lab.dataset();
    expect(tasks).toEqual(expected.tasks);
    expect(metadata.calls).toMatchObject({ succeeded: 3, truncated: 1 });
    const { calls, tokens } = summaryIn(stdout);
    expect(calls).toMatchObject({ succeeded: 3, failed: 0, truncated: 1 });
    expect(tokens).toEqual({ ...expected.usage, estimated: false });
    expect(lab.query("select count(*) n from answers where finish_reason = 'length'")).toEqual([{ n: 1 }]);
  });

  test.for(APIS)("%s, %s: one that does not say what it used is counted here, and marked", async (api) => {
    const [, endpoint, model] = api;
    const config = oneCallEach(model);
    const data: Row[] = [...rows(1), { input: "Straßenbahn 12 fährt, 東京 nicht. <|endoftext|> 🚋" }];
    await using lab = await setUp(config, data, (row) => (row === 1 ? { kind: "noUsage" } : undefined));
    const { code, stdout, stderr } = await lab.run(["--json"]);
    expect(code, stderr).toBe(0);
    const encoding = getEncoding(model === "davinci-002" ? "cl100k_base" : "o200k_base");
    const count = (text: string) => encoding.encode(text, [], []).length;
    const { tasks, metadata } = await lab.dataset();
    expect(tasks).toEqual(expectedDataset(config, data).tasks);
    // A message of a chat has 3 tokens around it and one for its role; 3 begin the answer.
    const prompt = count(promptOf(PLAIN.strategy, data[1]!.input)) + (endpoint === "chat" ? 7 : 0);
    const completion = count(tasks[1]!.responses[0]!);
    expect(lab.attemptsOf(1)).toMatchObject([
      { outcome: "succeeded", prompt_tokens: prompt, completion_tokens: completion, tokens_estimated: 1 },
    ]);
    expect(lab.attemptsOf(0)).toMatchObject([{ outcome: "succeeded", tokens_estimated: 0 }]);
    const { served } = lab.server;
    expect(summaryIn(stdout).tokens).toMatchObject({
      prompt: served.prompt + prompt,
      completion: served.completion + completion,
      total: served.total + prompt + completion,
      estimated: true,
    });
    expect(metadata.token_usage).toMatchObject({ prompt_tokens: served.prompt + prompt, estimated: true });
  });
});

describe.concurrent("what only a person can mend stops the run", () => {
  const STOPS: [fault: Fault, reason: FailureReason, advice: RegExp][] = [
    [{ kind: "status", status: 401 }, "key_refused", /refused the API key.*\n.*valid key.*\.env/],
    [{ kind: "status", status: 403 }, "forbidden", /forbids.*\n.*account/],
    [{ kind: "status", status: 404 }, "model_not_found", /does not know the model.*\n.*model_name.*base_url/],
    [{ kind: "status", status: 429, code: "insufficient_quota" }, "no_quota", /no quota.*\n.*credit/],
    [{ kind: "status", status: 402 }, "no_quota", /no quota.*\n.*credit/],
    [{ kind: "error200", code: "insufficient_quota" }, "no_quota", /no quota.*\n.*credit/],
  ];
  const cases = STOPS.flatMap((stop) => CHATS.map(([provider, , model]) => [provider, model, ...stop] as const));

  test.for(cases)("%s, %s, %o: after five requests at most, and what it prints goes on", async (stop) => {
    const [, model, fault, reason, advice] = stop;
    const config = oneCallEach(model);
    const data = rows(70);
    await using lab = await setUp(config, data, () => fault);
    const { code, stdout, stderr } = await lab.run(["--concurrency", "64"]);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toMatch(advice);
    const refused = lab.server.requests.length;
    expect(refused).toBeLessThanOrEqual(5);
    expect(lab.query("select outcome, count(*) n from attempts group by 1")).toEqual([{ outcome: reason, n: refused }]);
    expect(lab.query("select state, count(*) n from calls group by 1")).toEqual([{ state: "pending", n: 70 }]);

    lab.server.behave = undefined;
    const [, command] = /^Go on with: datagen (.*)$/m.exec(stderr) ?? [];
    const resumed = await lab.resume([...(command?.replaceAll('"', "").split(" ") ?? []), "--json"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(summaryIn(resumed.stdout)).toMatchObject({ status: "completed", calls: { succeeded: 70, pending: 0 } });
    expect(lab.server.requests).toHaveLength(refused + 70);
    expect((await lab.dataset()).tasks).toEqual(expectedDataset(config, data).tasks);
  });

  test("when the quota ends in the middle, every answer is kept and none is asked for again", async () => {
    const config = oneCallEach("gpt-4o-mini");
    const data = rows(60);
    await using lab = await setUp(config, data, (_, { index }) =>
      index >= 30 ? { kind: "status", status: 429, code: "insufficient_quota" } : undefined,
    );
    const { code, stderr } = await lab.run(["--concurrency", "8"]);
    expect(code, stderr).toBe(3);
    expect(lab.server.requests.length).toBeLessThanOrEqual(30 + 8);
    expect(lab.query("select state, count(*) n from calls group by 1 order by 1")).toEqual([
      { state: "pending", n: 30 },
      { state: "succeeded", n: 30 },
    ]);

    lab.server.behave = undefined;
    const resumed = await lab.resume(["resume", "latest", "--db", "datagen.db", "--json"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const { answers, ...served } = lab.server.served;
    expect(answers).toBe(60);
    expect(summaryIn(resumed.stdout).tokens).toEqual({ ...served, estimated: false });
    expect((await lab.dataset()).tasks).toEqual(expectedDataset(config, data).tasks);
  });
});
