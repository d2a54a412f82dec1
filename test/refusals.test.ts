import { createServer, type RequestListener } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import OpenAI from "openai";
import Together from "together-ai";
import { describe, expect, test } from "vitest";
import { Doubts } from "../src/execute/doubts.ts";
import { LoneRefusals } from "../src/execute/lone-refusals.ts";
import { readRateLimits, readWait, retryAfterOf } from "../src/providers/rate-limits.ts";
import { cleaned, refusalBody, statusError, toCallError } from "../src/providers/refusal.ts";
import { shownAddress } from "../src/network/redirects.ts";
import { unfold } from "../src/providers/refusal-text.ts";
import type { FailureReason } from "../src/providers/provider.ts";
import { configFor, type ConfigOverrides, queryRows, rows, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

describe("what a status and its words mean", () => {
  const of = (message: string, more: object = {}) => ({ error: { message, ...more } });
  const google = (details: object[]) => of("You exceeded your current quota", { code: 429, details });
  const quotaOf = (...ids: string[]) => ({ violations: ids.map((quotaId) => ({ quotaId, quotaValue: "20" })) });
  const RETRY = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "31s" };
  const MEANINGS: [status: number, body: unknown, reason: FailureReason][] = [
    [302, of("moved"), "redirected"],
    [400, of("no"), "bad_request"],
    [400, of("litellm.RateLimitError: RateLimitError: OpenAIException - slow down", { code: "400" }), "rate_limited"],
    [400, of("litellm.Timeout: APITimeoutError"), "server_error"],
    [
      400,
      of("the request exceeds the available context size", { code: 400, type: "exceed_context_size_error" }),
      "context_too_long",
    ],
    [400, of("x", { code: "context_length_exceeded" }), "context_too_long"],
    [400, of("This model's maximum context length is 8192 tokens"), "context_too_long"],
    [400, of("litellm.ContextWindowExceededError: no"), "context_too_long"],
    [422, of("Input is too long for requested model"), "context_too_long"],
    [
      400,
      of("The input token count (9720000) exceeds the maximum number of tokens allowed (1048576)."),
      "context_too_long",
    ],
    [
      400,
      of("/chat/completions: Invalid model name passed in model=nope. Call `/v1/models` to view"),
      "model_not_found",
    ],
    [400, of("The model `nope` does not exist"), "model_not_found"],
    [400, of("nope is not a valid model ID"), "model_not_found"],
    [400, of("no such thing", { code: "model_not_found" }), "model_not_found"],
    [400, of("Unsupported parameter for this model: temperature"), "bad_request"],
    [400, of("x", { code: "content_policy_violation" }), "content_policy"],
    [400, "<html><center>The plain HTTP request was sent to HTTPS port</center></html>", "wrong_protocol"],
    [400, "Client sent an HTTP request to an HTTPS server.", "wrong_protocol"],
    [400, of("User location is not supported for the API use."), "forbidden"],
    [401, of("no"), "key_refused"],
    [402, of("no"), "no_quota"],
    [403, of("no"), "forbidden"],
    [403, of("Your chosen model requires moderation and your input was flagged", { code: 403 }), "content_policy"],
    [403, of("This account has been flagged"), "forbidden"],
    [403, of("Your API key was reported as leaked. Please use another API key."), "key_refused"],
    [403, of("Method doesn't allow unregistered callers"), "key_refused"],
    [403, of("Rate limit exceeded"), "rate_limited"],
    [404, of("no"), "model_not_found"],
    [405, of("no"), "bad_request"],
    [407, "", "proxy_refused"],
    [408, of("no"), "timeout"],
    [409, of("no"), "server_error"],
    [413, "", "context_too_long"],
    [413, of("Request too large for model", { code: "rate_limit_exceeded" }), "context_too_long"],
    [422, of("no"), "bad_request"],
    [424, of("Request failed during generation"), "server_error"],
    [425, of("no"), "server_error"],
    [429, of("no"), "rate_limited"],
    [429, of("no", { code: "insufficient_quota" }), "no_quota"],
    [429, of("Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000."), "context_too_long"],
    [429, of("on tokens per min: Limit 10,000, Requested 12,000"), "context_too_long"],
    [429, of("on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000"), "rate_limited"],
    [429, of("Too many tokens, please wait before trying again"), "rate_limited"],
    [429, of("You exceeded your current quota", { status: "RESOURCE_EXHAUSTED" }), "rate_limited"],
    [429, google([quotaOf("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), RETRY]), "rate_limited"],
    [429, google([{ links: [] }, RETRY, quotaOf("GenerateRequestsPerDayPerProjectPerModel-FreeTier")]), "no_quota"],
    [429, [google([quotaOf("TokensPerModelPerMinute", "TokensPerModelPerDay")])], "no_quota"],
    [451, of("no"), "forbidden"],
    [451, of("flagged by moderation"), "content_policy"],
    [498, of("no"), "server_error"],
    [499, of("no"), "server_error"],
    [500, of("no"), "server_error"],
    [520, of("no"), "server_error"],
    [530, of("no"), "server_error"],
  ];

  test.for(MEANINGS)("%i %j: %s", ([status, body, reason]) => {
    expect(statusError(status, body, "fallback", {}).reason).toBe(reason);
    const handedOver = JSON.parse(refusalBody(status, JSON.stringify(body), null)) as unknown;
    expect(statusError(status, handedOver, "fallback", {}).reason).toBe(reason);
  });

  test("the wait that Google's servers state in an error is kept, unless a header states one", () => {
    const body = google([quotaOf("RequestsPerMinute"), RETRY]);
    const handedOver = JSON.parse(refusalBody(429, JSON.stringify([body]), null)) as unknown;
    for (const one of [body, handedOver]) expect(statusError(429, one, "", {}).details.retryAfterMs).toBe(31_000);
    expect(statusError(429, body, "", { retryAfterMs: 5 }).details.retryAfterMs).toBe(5);
    expect(statusError(429, of("no", { retryDelay: "soon" }), "", {}).details.retryAfterMs).toBeNull();
  });
});

describe("the message of a refusal", () => {
  const SHAPES: [body: unknown, message: string | null, name?: string][] = [
    [{ error: { message: "Slow down", code: 429, type: "requests" } }, "Slow down", "requests"],
    [
      [{ error: { code: 400, message: "API key not valid", status: "INVALID_ARGUMENT" } }],
      "API key not valid",
      "INVALID_ARGUMENT",
    ],
    [{ error: "text" }, "text"],
    [{ error: "invalid_request", message: "long text" }, "long text", "invalid_request"],
    [{ error: "invalid_grant", error_description: "expired" }, "expired", "invalid_grant"],
    [{ detail: "Not found" }, "Not found"],
    [
      {
        detail: [
          { loc: ["body", "max_tokens"], msg: "too small", type: "value_error" },
          { loc: ["body"], msg: "no" },
        ],
      },
      "body.max_tokens: too small; body: no",
      "value_error",
    ],
    [{ message: "plain", code: 7 }, "plain", "7"],
    [{ errors: [{ message: "one" }, { message: "two" }] }, "one; two"],
    [{ error: { error: { message: "deep", code: "inner" } } }, "deep", "inner"],
    [{ error: { message: '{"error":{"message":"in text","code":"c"}}' } }, "in text", "c"],
    ['{"error":{"message":"as text"}}', "as text"],
    ["just words", "just words"],
    ['"in quotes"', '"in quotes"'],
    [
      "<html>\r\n<head><title>401 Authorization &amp; more</title></head>\r\n<body>x</body></html>",
      "401 Authorization & more",
    ],
    ["<!doctype html><style>p{}</style><p>Access\r\n denied</p>", "Access denied"],
    ["", null],
    [{}, null],
    [null, null],
    [7, null],
    [{ error: {} }, null],
  ];

  test.for(SHAPES)("%j: %s", ([body, message, name]) => {
    expect(unfold(body)).toEqual({
      message,
      names: name === undefined ? expect.any(Array) : expect.arrayContaining([name]),
    });
    if (name !== undefined) expect(unfold(body).names[0]).toBe(name);
    // As it comes from a server, through an SDK.
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const said = message ?? (text === "" ? "it answered 400, without a reason" : text);
    expect(unfold(refusalBody(400, text, null)).message).toBe(said);
  });

  test("nothing that is nested deep or long takes long, and control characters are taken out", () => {
    const deep = `${'{"error":'.repeat(100_000)}1${"}".repeat(100_000)}`;
    const bodies = [
      deep,
      "[".repeat(500_000),
      "<script>".repeat(120_000),
      "<".repeat(900_000),
      " ".repeat(900_000),
      `{"error":"${"x".repeat(900_000)}"}`,
    ];
    const since = performance.now();
    for (const body of bodies) statusError(400, JSON.parse(refusalBody(400, body, null)), "", {});
    expect(performance.now() - since).toBeLessThan(3_000);
    const error = OpenAI.APIError.generate(
      400,
      { error: { message: "a\u001b]0;x\u0007\r\n\u009bb key" } },
      undefined,
      new Headers(),
    );
    expect(toCallError(error, "key").message).toBe("a ]0;x b [key]");
    expect(cleaned(`${"x".repeat(998)}secret-key`, "secret-key")).not.toContain("se");
  });

  test.for([
    ["openai", OpenAI.APIError],
    ["together", Together.APIError],
  ] as const)("%s's SDK reads it as it is handed over", ([name, sdk]) => {
    const body = JSON.parse(refusalBody(404, '{"detail":"no such model"}', null)) as object;
    const error = toCallError(sdk.generate(404, body, undefined, new Headers()), undefined);
    expect([name, error.reason, error.message]).toEqual([name, "model_not_found", "no such model"]);
  });
});

describe("numbers of headers", () => {
  const NOW = Date.parse("2026-11-25T12:00:00Z");
  const DAY = 86_400_000;
  const WAITS: [text: string, ms: number | null][] = [
    ["0", 0],
    ["2", 2_000],
    ["0.5", 500],
    ["-5", 0],
    ["-5s", 0],
    ["60s", 60_000],
    [" 60s ", 60_000],
    ["120ms", 120],
    ["1h2m3.5s", 3_723_500],
    ["1h 2m", 3_720_000],
    ["5 min", 300_000],
    ["99999999h", DAY],
    ["30d", DAY],
    ["2592000", DAY],
    ["1e400", DAY],
    [String(NOW / 1_000 + 60), 60_000],
    [String(NOW + 60_000), 60_000],
    [String(NOW / 1_000 - 60), 0],
    ["Wed, 25 Nov 2026 12:01:00 GMT", 60_000],
    ["2026-11-25T12:01:00Z", 60_000],
    ["2026-11-25T13:01:00.5+01:00", 60_500],
    ["Wed, 21 Oct 2015 07:28:00 GMT", 0],
    ["soon", null],
    ["", null],
    ["12 monkeys", null],
    ["1s2", null],
    ["May 5", null],
    ["9".repeat(200), null],
  ];

  test.for(WAITS)("%j: %s", ([text, ms]) => {
    expect(readWait(text, 1_000, NOW)).toBe(ms);
  });

  test("are read with the prefix of LiteLLM, too", () => {
    expect(retryAfterOf(new Headers({ "llm_provider-retry-after": "7" }))).toBe(7_000);
    expect(retryAfterOf(new Headers({ "retry-after-ms": String(Date.now() + 5_000) }))).toBeGreaterThan(4_000);
    const limits = { limit: "100", remaining: "3", reset: "1795631280" };
    const named = Object.entries(limits).map(([part, value]) => [`llm_provider-x-ratelimit-${part}-requests`, value]);
    expect(readRateLimits(new Headers(named as [string, string][]))).toEqual({
      requests: { limit: 100, remaining: 3, resetMs: expect.any(Number) as number, isTime: true },
      tokens: null,
      inputTokens: null,
      outputTokens: null,
    });
  });
});

describe("what may mean one call or all of them", () => {
  const many = () => 10;
  const none = () => 0;

  test("where nothing was answered others are asked first, and three calls are enough to stop", () => {
    const doubts = new Doubts(false);
    expect([1, 1, 1, 2, 3].map((id) => doubts.refused(id, many))).toEqual(["retry", "retry", "retry", "retry", "stop"]);
    expect(new Doubts(false).refused(1, none)).toBe("stop");
  });

  test("where others are answered the call fails; where a hundred are refused in a row the run stops", () => {
    const doubts = new Doubts(false);
    expect(doubts.refused(1, many)).toBe("retry");
    doubts.answered();
    expect(doubts.refused(1, many)).toBe("fail");
    const later = new Doubts(true);
    expect(later.refused(1, none)).toBe("fail");
    expect(Array.from({ length: 99 }, (_, id) => later.refused(id + 2, many)).at(-1)).toBe("stop");
  });

  test("a call that is always refused for its rate while others are answered is at fault itself", () => {
    const lone = new LoneRefusals();
    const refusals: boolean[] = [];
    for (let n = 0; n < 6; n += 1) {
      refusals.push(lone.refused(0));
      for (let id = 1; id <= 20; id += 1) lone.answered(id);
    }
    expect(refusals).toEqual([false, false, false, false, false, true]);
  });

  test("one that has bad luck, or that is alone, is not", () => {
    const lone = new LoneRefusals();
    const refusals = Array.from({ length: 25 }, (_, n) => {
      lone.answered(1_000 + n);
      lone.refused(2_000 + n);
      return lone.refused(0);
    });
    expect(refusals).not.toContain(true);
    const alone = new LoneRefusals();
    for (let id = 1; id < 400; id += 1) alone.answered(id);
    expect(Array.from({ length: 40 }, () => alone.refused(0))).not.toContain(true);
  });
});

/** A run against a server of the test's own, whose answers it chooses by the input that is asked. */
async function setUp(
  behave: (row: number, ...http: Parameters<RequestListener>) => boolean,
  overrides: ConfigOverrides = {},
) {
  const stack = new AsyncDisposableStack();
  const space = stack.use(await workspace());
  const count = 12;
  const data = rows(count).map((_, row) => ({ input: `row-${row}.` }));
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    let body = "";
    request.setEncoding("utf8").on("data", (piece: string) => (body += piece));
    request.on("end", () => answer(body, request, response));
  });
  function answer(body: string, ...[request, response]: Parameters<RequestListener>): void {
    const row = Number(/row-(\d+)\./.exec(body)?.[1] ?? Number.NaN);
    if (behave(row, request, response)) return;
    const choices = [{ index: 0, message: { role: "assistant", content: `answer ${row}` }, finish_reason: "stop" }];
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({ id: "a", choices, usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } }),
    );
  }
  await once(server.listen(0, "127.0.0.1"), "listening");
  stack.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const perspective = { condition: "Plain", reading: null, strategy: "Translate." };
  const { model_config, ...rest } = overrides;
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const config = configFor({
    agent_perspectives: [perspective],
    ...rest,
    model_config: { model_name: "m", max_tokens: 50, base_url, ...model_config },
  });
  await space.write("config.json", config);
  await space.write("rows.json", data);
  const args = ["--db", "datagen.db", "--output", "out.json"];
  return {
    base_url,
    requests: () => requests,
    run: (...flags: string[]) => datagenInTurn(["run", "config.json", ...args, ...flags], { cwd: space.path }),
    resume: (...flags: string[]) => datagenInTurn(["resume", "latest", ...args, ...flags], { cwd: space.path }),
    query: <T>(sql: string) => queryRows<T>(space.at("datagen.db"), sql),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const say = (response: Parameters<RequestListener>[1], status: number, message: string): true => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ error: { message } }));
  return true;
};

describe.concurrent("in a run", () => {
  test.for([
    [0, 1],
    [0, 8],
    [7, 1],
    [11, 8],
  ] as const)("a 403 for row %i alone fails it, with %i in flight", async ([bad, concurrency]) => {
    await using lab = await setUp((row, _, response) => row === bad && say(response, 403, "not for you"), {
      concurrency,
    });
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(1);
    expect(lab.query("select state, failure, count(*) n from calls group by 1, 2 order by 1")).toEqual([
      { state: "failed", failure: "forbidden", n: 1 },
      { state: "succeeded", failure: null, n: 11 },
    ]);
  });

  test("where only calls that are refused are left, a resume ends", async () => {
    let isClosed = false;
    await using lab = await setUp(
      (row, _, response) => {
        if (row === 3 || row === 4) return say(response, isClosed ? 403 : 401, "not for you");
        return false;
      },
      { concurrency: 2 },
    );
    while ((await lab.run("--name", "first")).code === 0) throw new Error("it was answered");
    isClosed = true;
    const { code, stderr } = await lab.resume();
    expect(code, stderr).toBe(1);
    expect(lab.query("select count(*) n from calls where state = 'failed'")).toEqual([{ n: 2 }]);
  });

  test("a redirect elsewhere stops it, with the target", async () => {
    await using lab = await setUp((_, __, response) => {
      response.writeHead(302, { location: "https://login.invalid/start?state=1" }).end();
      return true;
    });
    const { code, stderr } = await lab.run();
    expect([code, lab.requests() <= 5]).toEqual([3, true]);
    expect(stderr).toMatch(/a redirect to https:\/\/login\.invalid\/start\n.*base_url/);
  });

  test("a reset that is a time holds nothing up, and no timer overflows", async () => {
    let left = 6;
    await using lab = await setUp((_, __, response) => {
      left = Math.max(0, left - 1);
      response.setHeader("x-ratelimit-limit-requests", "100");
      response.setHeader("x-ratelimit-remaining-requests", String(left === 0 ? 50 : left));
      response.setHeader("x-ratelimit-reset-requests", String(Math.round(Date.now() / 1_000) + 1));
      return false;
    });
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain("Overflow");
  });

  test("a provider that refuses everything is left after the wait that it asks for and give_up_after_s", async () => {
    await using lab = await setUp(
      (_, __, response) => {
        response.setHeader("retry-after", "1");
        return say(response, 429, "you are over the limit");
      },
      { give_up_after_s: 2 },
    );
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(3);
    expect(stderr).toContain("you are over the limit");
  });

  test("a provider that states when it takes requests again is waited for, before its first answer too", async () => {
    let resetAt: number | undefined;
    let refused = 0;
    await using lab = await setUp(
      (_, __, response) => {
        resetAt ??= Date.now() + 5_000;
        const leftMs = resetAt - Date.now();
        if (leftMs <= 0) return false;
        refused += 1;
        response.setHeader("x-ratelimit-limit-requests", "100");
        response.setHeader("x-ratelimit-remaining-requests", "0");
        response.setHeader("x-ratelimit-reset-requests", `${Math.ceil(leftMs)}ms`);
        return say(response, 429, "you are over the limit");
      },
      { give_up_after_s: 1 },
    );
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
    expect(refused).toBeGreaterThan(1);
  });

  test("what passes is sent again", async () => {
    const statuses = [424, 425, 498, 499, 520, 400];
    const seen = new Set<number>();
    await using lab = await setUp((row, _, response) => {
      const status = statuses[row];
      if (status === undefined || seen.has(row)) return false;
      seen.add(row);
      return say(response, status, status === 400 ? "litellm.RateLimitError: slowly" : "later");
    });
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(0);
  });

  test("an answer that is too large is asked for twice more, and is reported", async () => {
    await using lab = await setUp(
      (row, _, response) => {
        if (row !== 2) return false;
        response.end(" ".repeat(300_000));
        return true;
      },
      { max_answer_mb: 0.2 },
    );
    const { code, stderr } = await lab.run();
    expect(code, stderr).toBe(1);
    expect(lab.query("select outcome, http_status, message from attempts where outcome <> 'succeeded'")).toEqual(
      Array.from({ length: 3 }, () => ({
        outcome: "broken",
        http_status: 200,
        message: "the answer is larger than the 0.2 MB that max_answer_mb in the config allows",
      })),
    );
  });

  test("nothing that never left is billed, held of a cap or counted as an attempt", async () => {
    await using lab = await setUp(() => false, { prices: { input: 1, output: 10 }, max_cost_usd: 0.05 });
    const flags = ["--base-url", lab.base_url.replace("http:", "https:")];
    const { code, stderr } = await lab.run(...flags);
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/does not speak the protocol.*\n.*http or https/);
    expect(lab.query("select count(*) n from attempts where cost_nano_usd is null or cost_nano_usd > 0")).toEqual([
      { n: 0 },
    ]);
    expect(lab.query("select distinct state from calls")).toEqual([{ state: "pending" }]);
  });
});

test("nothing is cut out of the middle of a word before the key is looked for", () => {
  const long = `${"a".repeat(290)}sk-0123456789abcdef`;
  expect(shownAddress(`/${long}`, new URL("http://localhost"))).toContain(long);
  expect(unfold(`<html><body>${long}</body></html>`).message).toBe(long);
});
