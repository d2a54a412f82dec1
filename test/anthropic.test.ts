import { LLMock } from "@copilotkit/aimock";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Parameters } from "../src/config/parameters.ts";
import type { Message } from "../src/models/prompt.ts";
import { providers } from "../src/providers/index.ts";
import type { CallError, FailureReason, Provider, Question } from "../src/providers/provider.ts";
import { batchLab, PLAIN } from "./support/batch-lab.ts";
import { rows } from "./support/harness.ts";
import { openLab } from "./support/lab.ts";
import {
  batchesLab,
  connectionTo,
  ended,
  requests,
  resultsOf,
  send,
  signal,
  submission,
  submit,
  userPrompt,
} from "./support/provider-batches.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";
import { reportedUsage } from "./support/usage.ts";

const { anthropic } = providers;
const MODEL = "claude-sonnet-4-6";

/** The body of a request, as a batch would have it. */
async function bodyOf(question: Partial<Question>): Promise<Record<string, unknown>> {
  const connection = { model: MODEL, baseUrl: "http://127.0.0.1:1", apiKey: "k", isTrusted: true, maxAnswerBytes: 1 };
  const batches = await anthropic.batches!.connect(connection, "");
  const asked = { endpoint: "chat", model: MODEL, prompt: userPrompt("Hello."), parameters: {}, ...question } as const;
  return (JSON.parse(batches.line({ ...asked, customId: "1" }, "a.jsonl")) as { params: Record<string, unknown> })
    .params;
}

const promptOf = (...messages: Message[]): Question["prompt"] => ({ messages, pieces: [] });

describe("a body for Anthropic", () => {
  test("has the system message beside the others, and the model's limit where the config has none", async () => {
    const prompt = promptOf(
      { role: "system", content: "Be careful." },
      { role: "user", content: "Hallo." },
      { role: "assistant", content: "Hello." },
      { role: "user", content: "Danke." },
    );
    expect(await bodyOf({ prompt, model: "claude-opus-4-5-20251101" })).toEqual({
      model: "claude-opus-4-5-20251101",
      max_tokens: 64_000,
      system: "Be careful.",
      messages: prompt.messages.slice(1),
    });
  });

  const SENT: [model: string, parameters: Parameters, sent: object][] = [
    [
      "claude-haiku-4-5",
      { max_tokens: 5, temperature: 1, stop: "END", seed: 7 },
      { max_tokens: 5, temperature: 1, stop_sequences: ["END"] },
    ],
    ["claude-sonnet-4-6", { max_tokens: 5, max_completion_tokens: 9, top_p: 0.5 }, { max_tokens: 9, top_p: 0.5 }],
    // Models since 4.7 take no sampling parameters.
    ["claude-opus-4-7", { max_tokens: 5, temperature: 0.5, top_p: 0.5 }, { max_tokens: 5 }],
    ["claude-haiku-5-5", { max_tokens: 5, temperature: 0.5 }, { max_tokens: 5 }],
    // How a model thinks.
    ["claude-haiku-4-5", { max_tokens: 5, reasoning_effort: "low" }, { max_tokens: 5 }],
    ["claude-haiku-4-5", { max_tokens: 5, reasoning_effort: "none" }, { max_tokens: 5 }],
    [
      "claude-opus-4-5",
      { max_tokens: 5, temperature: 0, reasoning_effort: "low" },
      { max_tokens: 5, temperature: 0, output_config: { effort: "low" } },
    ],
    [
      "claude-opus-4-6",
      { max_tokens: 5, temperature: 0, reasoning_effort: "high" },
      { max_tokens: 5, thinking: { type: "adaptive" }, output_config: { effort: "high" } },
    ],
    [
      "claude-opus-4-8",
      { max_tokens: 5, reasoning_effort: "xhigh" },
      { max_tokens: 5, thinking: { type: "adaptive" }, output_config: { effort: "xhigh" } },
    ],
    ["claude-opus-4-8", { max_tokens: 5, reasoning_effort: "none" }, { max_tokens: 5 }],
    [
      "claude-opus-5",
      { max_tokens: 5, reasoning_effort: "medium" },
      { max_tokens: 5, output_config: { effort: "medium" } },
    ],
    ["claude-opus-5", { max_tokens: 5, reasoning_effort: "none" }, { max_tokens: 5, thinking: { type: "disabled" } }],
    [
      "claude-sonnet-5-5",
      { max_tokens: 5, reasoning_effort: "none" },
      { max_tokens: 5, thinking: { type: "between_tools" } },
    ],
    [
      "claude-haiku-5-5",
      { max_tokens: 5, reasoning_effort: "none" },
      { max_tokens: 5, thinking: { type: "disabled" } },
    ],
    [
      "claude-sonnet-4-5",
      { max_tokens: 5_000, extra_body: { thinking: { type: "enabled", budget_tokens: 2_000 }, top_k: 3 } },
      { max_tokens: 5_000, thinking: { type: "enabled", budget_tokens: 2_000 }, top_k: 3 },
    ],
  ];

  test.for(SENT)("for %s with %j", async ([model, parameters, sent]) => {
    const { messages: _, model: __, ...others } = await bodyOf({ model, parameters });
    expect(others).toEqual(sent);
  });

  const cached = { cache_control: { type: "ephemeral" } };
  const text = (of: string) => ({ type: "text", text: of });
  const CUTS: [content: string, length: number, blocks: unknown][] = [
    ["Shared. Own.", 8, [{ ...text("Shared. "), ...cached }, text("Own.")]],
    ["Shared.", 7, [{ ...text("Shared."), ...cached }]],
    // A block must have more than white space, and a character stays whole.
    ["Shared.\n\n", 7, [{ ...text("Shared.\n\n"), ...cached }]],
    ["  Own.", 2, "  Own."],
    ["a😀b", 2, [{ ...text("a"), ...cached }, text("😀b")]],
  ];

  test.for(CUTS)("marks what calls share in %j up to %i", async ([content, length, blocks]) => {
    const prompt = promptOf({ role: "system", content }, { role: "user", content });
    const system = await bodyOf({ prompt, cachedPrefix: { message: 0, length } });
    expect([system["system"], system["messages"]]).toEqual([blocks, [{ role: "user", content }]]);
    const user = await bodyOf({ prompt, cachedPrefix: { message: 1, length } });
    expect([user["system"], user["messages"]]).toEqual([content, [{ role: "user", content: blocks }]]);
  });
});

describe("what Anthropic would refuse", () => {
  const sonnet = { model: MODEL };
  const WRONG: [settings: { model: string; parameters: Parameters }, before: Message[], key: string, said: RegExp][] = [
    [{ ...sonnet, parameters: { temperature: 1.2 } }, [], "temperature", /at most 1, .* found 1\.2/],
    [{ ...sonnet, parameters: { temperature: 1, top_p: 0.5 } }, [], "top_p", /none beside temperature/],
    [{ ...sonnet, parameters: { stop: ["END", " \n"] } }, [], "stop", /more than white space/],
    [{ model: "claude-opus-5-5", parameters: { reasoning_effort: "none" } }, [], "reasoning_effort", /always thinks/],
    [{ ...sonnet, parameters: { reasoning_effort: "xhigh" } }, [], "reasoning_effort", /"low", "medium", "high" for/],
    [{ model: "claude-next", parameters: {} }, [], "max_tokens", /requires a limit/],
    [{ ...sonnet, parameters: { extra_body: { system: "x" } } }, [], "extra_body", /system_prompt/],
    [{ ...sonnet, parameters: {} }, [{ role: "system", content: " \n" }], "system_prompt", /more than white space/],
    [{ ...sonnet, parameters: {} }, [{ role: "assistant", content: "Hello." }], "messages", /"user" as the role/],
  ];

  test.for(WRONG)("%j after %j is a problem of %s", ([settings, before, key, said]) => {
    expect(anthropic.problems!(settings, before)).toEqual([{ key, text: expect.stringMatching(said) }]);
  });

  test("is an error of the config at its place, and nothing is sent", async () => {
    await using lab = await openLab({
      config: {
        model_config: { model_name: MODEL, temperature: 2 },
        agent_perspectives: [PLAIN, { ...PLAIN, condition: "Own", model_config: { temperature: 1.5 } }] as never,
      },
    });
    const { code, stderr } = await lab.runConfig();
    expect([code, lab.server.requests.length], stderr).toEqual([2, 0]);
    expect(stderr).toContain("model_config.temperature: expected at most 1, Anthropic's highest, found 2");
    expect(stderr).toContain("agent_perspectives[1].model_config.temperature: expected at most 1");
  });

  test("is sent in another way or not at all, and a run says so once", async () => {
    const parameters = { max_tokens: undefined as never, temperature: 0.5, seed: 1 };
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], model_config: { model_name: "claude-opus-4-8", ...parameters } },
      data: rows(2),
      server: { keepBodies: true },
    });
    const { code, stderr } = await lab.runConfig();
    expect(code, stderr).toBe(0);
    expect(stderr.match(/Anthropic requires max_tokens, and the config sets none: 128000/g)).toHaveLength(1);
    expect(stderr.match(/claude-opus-4-8 does not take temperature, seed: not sent/g)).toHaveLength(1);
    expect(lab.server.requests.map((one) => one.parameters)).toEqual([
      { max_tokens: 128_000, stream: false },
      { max_tokens: 128_000, stream: false },
    ]);
  });
});

describe("an answer of Anthropic", () => {
  let server: LoopbackServer;
  let provider: Provider;
  beforeAll(async () => {
    server = await startServer();
    provider = await anthropic.connect(connectionTo(server, "anthropic", { model: MODEL }));
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  /** What a status and a body lead to. */
  async function read(status: number, body: object, headers = {}) {
    server.behave = () => ({ kind: "status", status, body, headers });
    const question = {
      endpoint: "chat",
      model: MODEL,
      prompt: userPrompt("Hello."),
      parameters: { max_tokens: 9 },
    } as const;
    return await provider.complete({ ...question, timeoutMs: 20_000 }).then(
      (completion) => ({ completion, error: null }),
      (error: unknown) => ({ completion: null, error: error as CallError }),
    );
  }
  const usage = { input_tokens: 10, output_tokens: 5 };
  const message = (more: object) => ({
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: MODEL,
    content: [{ type: "text", text: "Hello." }],
    stop_reason: "end_turn",
    usage,
    ...more,
  });

  test.for<[stop: string, word: string]>([
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["pause_turn", "length"],
    ["tool_use", "tool_calls"],
    ["something_new", "something_new"],
    ["refusal", "content_filter"],
  ])("that ends with %s is %s", async ([stop, word]) => {
    const { completion, error } = await read(200, message({ stop_reason: stop }));
    expect(completion?.finishReason ?? error?.reason).toBe(word);
    if (completion) expect(completion).toMatchObject({ text: "Hello.", finishReasonRaw: word === stop ? null : stop });
  });

  test("is its blocks with text; thoughts and tools are none of it", async () => {
    const content = [
      { type: "thinking", thinking: "Hm.", signature: "x" },
      { type: "text", text: "One, " },
      { type: "redacted_thinking", data: "x" },
      { type: "text", text: "two." },
      { type: "tool_use", id: "toolu_1", name: "f", input: {} },
    ];
    expect((await read(200, message({ content }))).completion?.text).toBe("One, two.");
    const [thought, , , , tool] = content;
    expect((await read(200, message({ content: [thought], stop_reason: "max_tokens" }))).error?.reason).toBe(
      "reasoning_exhausted",
    );
    expect((await read(200, message({ content: [tool], stop_reason: "tool_use" }))).error).toMatchObject({
      reason: "empty",
      message: expect.stringContaining("called a tool"),
    });
    expect((await read(200, message({ content: [] }))).error?.reason).toBe("empty");
    expect((await read(200, { type: "message" })).error?.reason).toBe("malformed");
  });

  test("counts what was read from the cache and written to it beside its input", async () => {
    const counted = {
      ...usage,
      cache_read_input_tokens: 100,
      cache_creation_input_tokens: 1_000,
      cache_creation: { ephemeral_5m_input_tokens: 600, ephemeral_1h_input_tokens: 400 },
      output_tokens_details: { thinking_tokens: 3 },
    };
    expect((await read(200, message({ usage: counted }))).completion?.usage).toEqual({
      promptTokens: 1_110,
      completionTokens: 5,
      cachedTokens: 100,
      cacheWriteTokens: 1_000,
      cacheWrite1hTokens: 400,
      reasoningTokens: 3,
    });
    expect(
      (await read(200, message({ usage: { ...usage, cache_read_input_tokens: null } }))).completion?.usage,
    ).toEqual(reportedUsage(10, 5));
  });

  const refusal = (type: string, text: string, details?: object) => ({
    type: "error",
    error: { type, message: text, ...(details && { details }) },
    request_id: "req_body",
  });

  test.for<[status: number, body: object, reason: FailureReason, code: string]>([
    [
      400,
      refusal("invalid_request_error", "max_tokens: 99 > 8, which is the maximum"),
      "bad_request",
      "invalid_request_error",
    ],
    [
      400,
      refusal("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
      "no_quota",
      "invalid_request_error",
    ],
    [
      400,
      refusal(
        "invalid_request_error",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
      ),
      "no_quota",
      "invalid_request_error",
    ],
    [
      400,
      refusal("invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum"),
      "context_too_long",
      "invalid_request_error",
    ],
    [
      400,
      refusal("invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
      "context_too_long",
      "invalid_request_error",
    ],
    [
      400,
      refusal("invalid_request_error", "Output blocked by content filtering policy"),
      "content_policy",
      "invalid_request_error",
    ],
    [401, refusal("authentication_error", "invalid x-api-key"), "key_refused", "authentication_error"],
    [402, refusal("billing_error", "Check your payment details."), "no_quota", "billing_error"],
    [403, refusal("permission_error", "Your API key may not use this."), "forbidden", "permission_error"],
    [404, refusal("not_found_error", "model: claude-none"), "model_not_found", "not_found_error"],
    [413, refusal("request_too_large", "Request exceeds the maximum size"), "context_too_long", "request_too_large"],
    [
      429,
      refusal("rate_limit_error", "This request would exceed your rate limit."),
      "rate_limited",
      "rate_limit_error",
    ],
    [
      429,
      refusal("rate_limit_error", "Spend limit reached.", { error_code: "enforced_spend_limit_reached" }),
      "no_quota",
      "enforced_spend_limit_reached",
    ],
    [500, refusal("api_error", "Internal server error"), "server_error", "api_error"],
    [504, refusal("timeout_error", "Request timeout"), "server_error", "timeout_error"],
    [529, refusal("overloaded_error", "Overloaded"), "server_error", "overloaded_error"],
    [200, refusal("overloaded_error", "Overloaded"), "server_error", "overloaded_error"],
    [200, refusal("rate_limit_error", "Slow down."), "rate_limited", "rate_limit_error"],
    [200, refusal("authentication_error", "invalid x-api-key"), "key_refused", "authentication_error"],
  ])("%i %j is %s", async ([status, body, reason, code]) => {
    const { error } = await read(status, body, { "retry-after": "3", "request-id": "req_header" });
    expect(error).toMatchObject({ reason, details: { code, requestId: "req_header" } });
    expect(error?.details.retryAfterMs).toBe(status === 200 ? null : 3_000);
  });

  test("brings its limits with it, for input and output apart", async () => {
    const reset = new Date(Date.now() + 20_000).toISOString();
    const headers = Object.fromEntries(
      ["requests", "tokens", "input-tokens", "output-tokens"].flatMap((of, at) => [
        [`anthropic-ratelimit-${of}-limit`, String(1_000 * (at + 1))],
        [`anthropic-ratelimit-${of}-remaining`, String(at + 1)],
        [`anthropic-ratelimit-${of}-reset`, reset],
      ]),
    );
    const { completion } = await read(200, message({}), headers);
    expect(completion?.rateLimits).toMatchObject({
      requests: { limit: 1_000, remaining: 1 },
      tokens: { limit: 2_000, remaining: 2 },
      inputTokens: { limit: 3_000, remaining: 3, isTime: true },
      outputTokens: { limit: 4_000, remaining: 4, isTime: true },
    });
  });
});

describe("a submission to Anthropic, whose batches have no names,", () => {
  test("arrives whole in one request, whatever its size", async () => {
    const lab = await batchesLab("anthropic");
    const long = `${"Straße 😀 \u2028".repeat(20_000)}\n"quoted"`;
    const all = [...requests(3), ...requests(2, { prompt: userPrompt(long) })].map((one, at) => ({
      ...one,
      customId: `c${at}`,
    }));
    const { id } = await submit(lab, all);
    const state = await ended(lab.batches, id);
    expect(state.counts).toEqual({ total: 5, completed: 5, failed: 0 });
    const results = await resultsOf(lab.batches, state.outputFileId);
    expect(new Set(results.map(({ customId }) => customId))).toEqual(new Set(all.map(({ customId }) => customId)));
  });

  test("is looked for among batches of its size and its time alone", async () => {
    const lab = await batchesLab("anthropic", {
      behaveBatch: () => ({ states: Array(99).fill("in_progress") as never }),
    });
    await lab.batches.create(await send(lab, requests(3), "three.jsonl"), { endpoint: "chat", name: "" }, signal);
    expect(await lab.batches.find(submission("wave.jsonl"), signal)).toEqual({ fileId: null, batch: null });
    await lab.batches.create(await send(lab, requests(2), "two.jsonl"), { endpoint: "chat", name: "" }, signal);
    const before = { ...submission("wave.jsonl"), createdAt: Date.now() + 7 * 3_600_000 };
    expect(await lab.batches.find(before, signal)).toEqual({ fileId: null, batch: null });
    const found = await lab.batches.find(submission("wave.jsonl"), signal);
    expect(found).toMatchObject({ batch: null, candidate: { id: lab.server.batches[1]!.id } });
  });

  test("stays unknown where the results of the other are gone", async () => {
    const lab = await batchesLab("anthropic", {
      behaveApi: ({ operation }) =>
        operation === "content" ? { kind: "status", status: 404, message: "gone" } : undefined,
    });
    const { id } = await submit(lab, requests(2), "other.jsonl");
    await ended(lab.batches, id);
    expect(await lab.batches.find(submission("wave.jsonl"), signal)).toMatchObject({ batch: null, candidate: { id } });
  });

  test("and that was lost is sent again only when the other batch is known to be somebody else's", async () => {
    await using lab = await batchLab({ model_config: { model_name: MODEL }, agent_perspectives: [PLAIN] }, 2);
    const { server, space } = lab;
    server.behaveBatch = ({ index }) => ({ states: index === 0 ? ["in_progress", "in_progress", "in_progress"] : [] });
    const other = await anthropic.batches!.connect(connectionTo(server, "anthropic", { model: MODEL }), "");
    await submit({ batches: other, space }, requests(2), "other.jsonl");
    const created: number[] = [];
    server.behaveApi = ({ operation, nth }) => {
      if (operation === "create")
        created.push(server.batchRequests.filter((one) => one.operation === "listBatches").length);
      return operation === "create" && nth === 2 ? { kind: "reset" } : undefined;
    };
    const { code, stderr } = await lab.run("run", "config.json", "--batch");
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(
      /not known yet whether batch datagen-\w+\.jsonl has arrived .*: batch msgbatch_\w+ may be it/,
    );
    // It is not sent again before the other one has ended, which takes four looks.
    expect(created).toHaveLength(2);
    expect(created[1]).toBeGreaterThanOrEqual(4);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expect(Math.max(...server.charged().values())).toBe(1);
    lab.expectSound();
  });
});

test("a mock that others keep takes what is sent, and its answers are read", async () => {
  const mock = new LLMock({ port: 0, host: "127.0.0.1" });
  mock.onMessage(/.*/, { content: "An answer.", usage: { input_tokens: 12, output_tokens: 3 } });
  await mock.start();
  try {
    const connection = { model: MODEL, baseUrl: mock.url, apiKey: "k", isTrusted: true, maxAnswerBytes: 8_000_000 };
    const provider = await anthropic.connect(connection);
    const completion = await provider.complete({
      endpoint: "chat",
      model: MODEL,
      prompt: promptOf({ role: "system", content: "Be careful." }, { role: "user", content: "Hello." }),
      parameters: { max_tokens: 9, temperature: 0.5, stop: "END" },
      timeoutMs: 20_000,
    });
    expect(completion).toMatchObject({ text: "An answer.", finishReason: "stop", finishReasonRaw: "end_turn" });
    expect(mock.getRequests()).toHaveLength(1);
  } finally {
    await mock.stop();
  }
});
