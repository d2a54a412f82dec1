import { getEncoding } from "js-tiktoken";
import { describe, expect, test } from "vitest";
import type { FailureReason } from "../../src/providers/provider.ts";
import { failureLab, NOTHING, oneCallEach, outcomes } from "../support/failure-lab.ts";
import { expectedDataset, promptOf, type Row, rows } from "../support/harness.ts";
import { PLAIN } from "../support/lab.ts";
import { APIS, fakes } from "../support/providers/index.ts";
import { answerTo, type Fault, shortened } from "../support/server.ts";

const CHATS = APIS.filter(([, endpoint]) => endpoint === "chat");

/** Stands for the code with which each provider refuses for its rate limit. */
const RATE_LIMIT = Symbol("rate limit");

describe.concurrent("what passes is sent again, and then kept", () => {
  const soon = () => new Date(Date.now() + 1_000).toUTCString();
  /** The fault, and the attempt that is stored of it. An answer that does not say what it used is possibly billed. */
  const FAULTS: [
    fault: () => Fault,
    outcome: FailureReason,
    status: number | null,
    code: string | typeof RATE_LIMIT | null,
    billed?: "possibly",
  ][] = [
    [() => limited({ "retry-after-ms": "5" }), "rate_limited", 429, RATE_LIMIT],
    [() => limited({ "retry-after": "1" }), "rate_limited", 429, RATE_LIMIT],
    [() => limited({ "retry-after": soon() }), "rate_limited", 429, RATE_LIMIT],
    [() => limited({}), "rate_limited", 429, RATE_LIMIT],
    [() => ({ kind: "status", status: 408 }), "timeout", 408, "timeout", "possibly"],
    [() => ({ kind: "status", status: 409 }), "server_error", 409, "invalid_request_error"],
    [() => ({ kind: "status", status: 500 }), "server_error", 500, "server_error"],
    [() => ({ kind: "status", status: 502 }), "server_error", 502, "server_error"],
    [() => ({ kind: "status", status: 503, code: "overloaded" }), "server_error", 503, "overloaded"],
    [() => ({ kind: "status", status: 529 }), "server_error", 529, "server_error"],
    [() => ({ kind: "reset" }), "connection", null, "ECONNRESET", "possibly"],
    [() => ({ kind: "close" }), "connection", null, "UND_ERR_SOCKET", "possibly"],
    [() => ({ kind: "half" }), "connection", 200, "UND_ERR_SOCKET", "possibly"],
    [() => ({ kind: "malformed" }), "broken", 200, null, "possibly"],
    [() => ({ kind: "html" }), "malformed", 200, null, "possibly"],
    [() => ({ kind: "html", status: 502 }), "server_error", 502, null],
    [() => ({ kind: "error200", code: "overloaded" }), "server_error", 200, "overloaded", "possibly"],
    [() => ({ kind: "noChoices" }), "malformed", 200, null],
  ];
  const limited = (headers: Record<string, string>): Fault => ({ kind: "status", status: 429, headers });

  test.for(APIS)("%s, %s: every status, every broken connection, every body that is no answer", async (api) => {
    const { errors, namesRequests } = fakes[api[0]];
    const { rateLimit, nameOf, haveStatus } = errors;
    const codeOf = ({ kind }: Fault, status: number | null, code: string | typeof RATE_LIMIT | null) => {
      if (code === null || (kind !== "status" && kind !== "error200")) return code;
      const said = code === RATE_LIMIT ? (rateLimit.code ?? rateLimit.type) : code;
      return nameOf?.(kind === "error200" ? 500 : (status ?? 500), said) ?? said;
    };
    const config = oneCallEach(api);
    const data = rows(FAULTS.length + 1);
    await using lab = await failureLab(config, data, (row, { nth }) => (nth === 1 ? FAULTS[row]?.[0]() : undefined));
    const { code, run, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    for (const [row, [fault, outcome, httpStatus, errorCode, billed]] of FAULTS.entries()) {
      const [first, second, ...more] = lab.requestsOf(row);
      const { kind } = fault();
      const cost = first?.usage;
      const isNamed = namesRequests === "all" ? httpStatus !== null && kind !== "half" : kind === "noChoices";
      const status = kind === "error200" && haveStatus ? 500 : httpStatus;
      const isUnclear = billed !== undefined && status !== 500;
      expect([row, first?.fault, second?.status, more.length]).toEqual([row, kind, 200, 0]);
      expect(lab.attemptsOf(row), kind).toMatchObject([
        {
          outcome,
          decision: "retry",
          http_status: status,
          request_id: isNamed ? first?.requestId : null,
          error_code: codeOf(fault(), status, errorCode),
          prompt_tokens: cost?.prompt ?? 0,
          completion_tokens: cost?.completion ?? 0,
          tokens_estimated: 0,
          reserved_prompt_tokens: isUnclear ? expect.any(Number) : null,
          cost_nano_usd: isUnclear ? null : expect.any(Number),
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
    const { calls, tokens } = run!;
    expect(calls).toMatchObject({ total: data.length, succeeded: data.length, failed: 0, pending: 0, truncated: 0 });
    expect(tokens).toEqual({ ...served, estimated: false });
    const { tasks, metadata } = await lab.dataset();
    expect(tasks).toEqual(expectedDataset(lab.config, data).tasks);
    expect(metadata.api_calls.total_calls).toBe(lab.server.requests.length);
    const [{ unclear }] = lab.query("select count(reserved_prompt_tokens) unclear from attempts") as [
      { unclear: number },
    ];
    const shown = JSON.parse((await lab.datagen("runs", "show", "latest", "--json")).stdout) as object;
    expect(shown).toMatchObject({ possibly_billed: { requests: unclear, cost_usd: expect.any(Number) } });
  });

  test.for(CHATS)("%s, %s: no answer, or half of one, within timeout_s", async (api) => {
    const config = oneCallEach(api, { timeout_s: 1 });
    const faults: Fault[] = [{ kind: "hang" }, { kind: "slowBody", ms: 30_000 }];
    await using lab = await failureLab(config, rows(2), (row, { nth }) => (nth === 1 ? faults[row] : undefined));
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    for (const row of [0, 1]) {
      const [first, ...more] = lab.attemptsOf(row);
      expect(first).toMatchObject({ outcome: "timeout", decision: "retry", http_status: null, ...NOTHING });
      expect(more.at(-1)).toMatchObject({ outcome: "succeeded", decision: "kept" });
    }
    expect((await lab.dataset()).tasks).toEqual(expectedDataset(lab.config, rows(2)).tasks);
  });
});

describe.concurrent("what does not pass fails with its reason, and the run goes on", () => {
  test.for(CHATS)("%s, %s: six attempts of a failure that lasts", async (api) => {
    const lasting: [Fault, FailureReason][] = [
      [{ kind: "status", status: 503, headers: { "retry-after-ms": "1" } }, "server_error"],
      [{ kind: "reset" }, "connection"],
      [{ kind: "html" }, "malformed"],
      [{ kind: "noChoices" }, "malformed"],
      [{ kind: "error200" }, "server_error"],
    ];
    // One call after the other, and an answer before each that fails: however slow the machine, there is no outage.
    const config = oneCallEach(api, { concurrency: 1 });
    const data = rows(2 * lasting.length);
    await using lab = await failureLab(config, data, (row) => (row % 2 === 1 ? lasting[row >> 1]?.[0] : undefined));
    const { code, run, stderr } = await lab.run();
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
    expect(run).toMatchObject({
      status: "failed",
      calls: { total: 10, succeeded: 5, failed: 5, pending: 0 },
      tokens: { ...served, estimated: false },
    });
    const { tasks, metadata } = await lab.dataset();
    const expected = expectedDataset(lab.config, data).tasks;
    expect(tasks).toEqual(expected.map((task, row) => (row % 2 === 1 ? { ...task, responses: [null] } : task)));
    expect(metadata.calls).toMatchObject({ succeeded: 5, failed: 5 });
    const { failures } = JSON.parse((await lab.datagen("runs", "show", "latest", "--json")).stdout) as {
      failures: object[];
    };
    expect(failures).toMatchObject([
      { reason: "connection", attempts: 6, calls: 1 },
      { reason: "malformed", attempts: 12, calls: 2 },
      { reason: "server_error", attempts: 12, calls: 2 },
    ]);
  });

  test.for(APIS)(
    "%s, %s: an answer without a text is asked for twice more, and what it cost is counted",
    async (api) => {
      const wordless: [Fault, FailureReason][] = [
        [{ kind: "empty" }, "empty"],
        [{ kind: "null" }, "empty"],
        [{ kind: "text", text: " \n\t" }, "empty"],
        [{ kind: "reasoningOnly" }, "reasoning_exhausted"],
      ];
      const config = oneCallEach(api);
      const data = rows(wordless.length + 2);
      await using lab = await failureLab(config, data, (row, { nth }) =>
        row === wordless.length && nth <= 2 ? { kind: "empty" } : wordless[row]?.[0],
      );
      const { code, run, stderr } = await lab.run();
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
      const { calls, tokens } = run!;
      expect(calls).toMatchObject({ succeeded: 2, failed: 4 });
      expect(tokens).toEqual({ ...served, estimated: false });
      const expected = expectedDataset(lab.config, data).tasks;
      const { tasks, metadata } = await lab.dataset();
      expect(tasks).toEqual(expected.map((task, row) => (row < 4 ? { ...task, responses: [null] } : task)));
      expect(metadata.token_usage).toMatchObject({
        prompt_tokens: served.prompt,
        completion_tokens: served.completion,
      });
    },
  );

  test.for(CHATS)("%s, %s: what would fail again is sent once", async (api) => {
    const status = (of: number, code: string | null = null): Fault => ({ kind: "status", status: of, code });
    const final: [Fault, FailureReason][] = [
      [{ kind: "contentFilter" }, "content_filter"],
      [{ kind: "refusal" }, fakes[api[0]].refusalReason],
      [status(400), "bad_request"],
      [status(422), "bad_request"],
      [status(400, "context_length_exceeded"), "context_too_long"],
      [status(400, "content_policy_violation"), "content_policy"],
    ];
    const config = oneCallEach(api);
    const data = rows(final.length + 1);
    await using lab = await failureLab(config, data, (row) => final[row]?.[0]);
    const { code, run, stderr } = await lab.run();
    expect(code, stderr).toBe(1);
    expect(lab.server.requests).toHaveLength(data.length);
    for (const [row, [, reason]] of final.entries()) {
      const [request] = lab.requestsOf(row);
      const isNamed = fakes[api[0]].namesRequests === "all" || final[row]?.[0].kind !== "status";
      expect(lab.attemptsOf(row)).toMatchObject([
        {
          outcome: reason,
          decision: "fail",
          http_status: request?.status,
          request_id: isNamed ? request?.requestId : null,
          prompt_tokens: request?.usage?.prompt ?? 0,
          completion_tokens: request?.usage?.completion ?? 0,
        },
      ]);
    }
    const { answers: _, ...served } = lab.server.served;
    expect(run?.tokens).toEqual({ ...served, estimated: false });
    const { tasks } = await lab.dataset();
    expect(tasks.map(({ responses }) => responses)).toEqual([
      ...final.map(() => [null]),
      expectedDataset(lab.config, data).tasks.at(-1)?.responses,
    ]);
  });
});

describe.concurrent("answers that are unusual are kept", () => {
  test.for(APIS)("%s, %s: one that the token limit cut off is kept and counted as truncated", async (api) => {
    const config = oneCallEach(api);
    await using lab = await failureLab(config, rows(3), (row) => (row === 1 ? { kind: "length" } : undefined));
    const { code, run, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    expect(lab.server.requests).toHaveLength(3);
    const cut = promptOf(PLAIN.strategy, rows(3)[1]!.input);
    const expected = expectedDataset(lab.config, rows(3), (asked) =>
      asked.prompt === cut ? shortened(answerTo(asked)) : answerTo(asked),
    );
    const { tasks, metadata } = await lab.dataset();
    expect(tasks).toEqual(expected.tasks);
    expect(metadata.calls).toMatchObject({ succeeded: 3, truncated: 1 });
    const { calls, tokens } = run!;
    expect(calls).toMatchObject({ succeeded: 3, failed: 0, truncated: 1 });
    expect(tokens).toEqual({ ...expected.usage, estimated: false });
    expect(lab.query("select count(*) n from answers where finish_reason = 'length'")).toEqual([{ n: 1 }]);
  });

  test.for(APIS)("%s, %s: one that does not say what it used is counted here, and marked", async (api) => {
    const [, endpoint] = api;
    const config = oneCallEach(api);
    const data: Row[] = [...rows(1), { input: "Straßenbahn 12 fährt, 東京 nicht. <|endoftext|> 🚋" }];
    await using lab = await failureLab(config, data, (row) => (row === 1 ? { kind: "noUsage" } : undefined));
    const { code, run, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    const encoding = getEncoding("o200k_base");
    const count = (text: string) => encoding.encode(text, [], []).length;
    const { tasks, metadata } = await lab.dataset();
    expect(tasks).toEqual(expectedDataset(lab.config, data).tasks);
    // A message of a chat has 3 tokens around it and one for its role; 3 begin the answer.
    const prompt = count(promptOf(PLAIN.strategy, data[1]!.input)) + (endpoint === "chat" ? 7 : 0);
    const completion = count(tasks[1]!.responses[0]!);
    expect(lab.attemptsOf(1)).toMatchObject([
      { outcome: "succeeded", prompt_tokens: prompt, completion_tokens: completion, tokens_estimated: 1 },
    ]);
    expect(lab.attemptsOf(0)).toMatchObject([{ outcome: "succeeded", tokens_estimated: 0 }]);
    const { served } = lab.server;
    expect(run?.tokens).toMatchObject({
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
    [
      { kind: "status", status: 404 },
      "model_not_found",
      /does not know the model.*\nCorrect model_name or base_url in the config and `datagen run` it again/,
    ],
    [{ kind: "status", status: 429, code: "insufficient_quota" }, "no_quota", /no quota.*\n.*credit/],
    [{ kind: "status", status: 402 }, "no_quota", /no quota.*\n.*credit/],
    [{ kind: "error200", code: "insufficient_quota" }, "no_quota", /no quota.*\n.*credit/],
  ];
  const cases = STOPS.flatMap((stop) => CHATS.map((api) => [...api, ...stop] as const));

  test.for(cases)("%s, %s, %o: after five requests at most, and what it prints goes on", async (stop) => {
    const [provider, endpoint, fault, reason, advice] = stop;
    const config = oneCallEach([provider, endpoint]);
    const data = rows(70);
    await using lab = await failureLab(config, data, () => fault);
    const { code, stdout, stderr } = await lab.run(["--concurrency", "64"]);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toMatch(advice);
    const refused = lab.server.requests.length;
    expect(refused).toBeLessThanOrEqual(5);
    expect(lab.query("select outcome, count(*) n from attempts group by 1")).toEqual([{ outcome: reason, n: refused }]);
    expect(lab.query("select state, count(*) n from calls group by 1")).toEqual([{ state: "pending", n: 70 }]);

    lab.server.behave = undefined;
    const [, command] = /go on with: datagen (.*)$/im.exec(stderr) ?? [];
    const typed = command?.replaceAll('"', "").split(" ") ?? [];
    const resumed = await lab.datagen(...typed, "--json", "--output", "dataset.json");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(JSON.parse(resumed.stdout)).toMatchObject({
      run: { status: "completed", calls: { succeeded: 70, pending: 0 } },
    });
    expect(lab.server.requests).toHaveLength(refused + 70);
    expect((await lab.dataset()).tasks).toEqual(expectedDataset(lab.config, data).tasks);
  });
});
