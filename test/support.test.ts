import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import Together from "together-ai";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  configFor,
  datagen,
  environmentFor,
  expectedDataset,
  openDatabase,
  promptOf,
  rows,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import type { Running } from "./support/harness.ts";
import { answerTo, promptHashOf, shortened, startServer, TOKEN_LIMIT, usageFor } from "./support/server.ts";
import type { Fault, LineFault, LoopbackServer, ServerOptions } from "./support/server.ts";

/** Waits until a claim holds, looking often enough to see what lasts a moment. */
const soon = (claim: () => void) => vi.waitFor(claim, { interval: 5 });

const KEY = "sk-proj-abcdefghijklmnop-WXYZ";
const PROVIDERS = ["openai", "together"] as const;

interface Reply {
  data: Completion;
  text: string | null | undefined;
  finish: string | null | undefined;
  usage: object | null | undefined;
  headers: Headers;
}

interface AskOptions {
  prompt?: string;
  legacy?: boolean;
  timeout?: number;
  max_tokens?: number;
}

/** Asks through the real SDK of a provider, without its retries. */
async function ask(server: LoopbackServer, provider: "openai" | "together", options: AskOptions = {}): Promise<Reply> {
  const { prompt = "Sag etwas.", legacy = false, timeout = 5000, max_tokens = 200 } = options;
  const settings = { apiKey: KEY, maxRetries: 0, timeout };
  const body = { model: "gpt-4o-mini", max_tokens, temperature: 0.7 };
  const messages = [{ role: "user" as const, content: prompt }];
  if (provider === "openai") {
    const client = new OpenAI({ ...settings, baseURL: server.openaiUrl, organization: "org-loop" });
    return legacy
      ? replyOf(await client.completions.create({ ...body, prompt }).withResponse())
      : replyOf(await client.chat.completions.create({ ...body, messages }).withResponse());
  }
  const client = new Together({ ...settings, baseURL: server.togetherUrl });
  return legacy
    ? replyOf(await client.completions.create({ ...body, prompt }).withResponse())
    : replyOf(await client.chat.completions.create({ ...body, messages }).withResponse());
}

type Completion = OpenAI.ChatCompletion | OpenAI.Completion | Together.Chat.ChatCompletion | Together.Completion;

function replyText({ choices }: Completion): string | null | undefined {
  const choice = choices?.[0];
  return choice && ("message" in choice ? choice.message?.content : choice.text);
}

function replyOf({ data, response }: { data: Completion; response: Response }): Reply {
  const choice = data.choices?.[0];
  return { data, text: replyText(data), finish: choice?.finish_reason, usage: data.usage, headers: response.headers };
}

const asked = (prompt: string, more: object = {}) => ({
  model: "gpt-4o-mini",
  prompt,
  max_tokens: 200,
  temperature: 0.7,
  ...more,
});

/** What the errors of both SDKs may have. */
interface Failure extends Error {
  type?: string;
  headers: Headers;
  error: { id?: string };
  cause: { cause: { code: string } };
}

/** The error that asking ends with. */
function failure(server: LoopbackServer, provider: "openai" | "together", options?: AskOptions): Promise<Failure> {
  return ask(server, provider, options).then(
    () => expect.fail("it was answered"),
    (error: unknown) => error as Failure,
  );
}

async function serverWith(fault: Fault, options: ServerOptions = {}): Promise<LoopbackServer> {
  const server = await startServer({ ...options, behave: () => fault });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

describe("answers", () => {
  test("are a function of what decides them, and of nothing else", () => {
    const text = answerTo(asked("a"));
    expect(answerTo(asked("a"))).toBe(text);
    expect(answerTo(asked("a", { provider: "together", endpoint: "chat", index: 7 }))).toBe(text);
    expect(answerTo({ ...asked("a"), max_tokens: undefined, max_completion_tokens: 200 })).toBe(text);
    const others = [
      asked("b"),
      asked("a", { model: "gpt-4o" }),
      asked("a", { endpoint: "completions" }),
      asked("a", { max_tokens: 201 }),
      asked("a", { temperature: 0 }),
      asked("a", { temperature: undefined }),
      asked("\ud800"),
      asked("\ud801"),
    ].map((other) => answerTo(other));
    expect(new Set([text, ...others]).size).toBe(9);
  });

  test("begin with the hash and have 5 to 120 words, within the limit", () => {
    const words = (more: object) =>
      Array.from({ length: 3000 }, (_, i) => answerTo(asked(`prompt ${i}`, more)).split(/\s+/).length);
    expect(answerTo(asked("a"))).toMatch(/^[0-9a-f]{16} \S.*\.$/s);
    expect([Math.min(...words({})), Math.max(...words({}))]).toEqual([5, 120]);
    expect([Math.min(...words({ max_tokens: 30 })), Math.max(...words({ max_tokens: 30 }))]).toEqual([5, 30]);
    expect(Math.max(...words({ max_tokens: 1 }))).toBe(1);
    const all = Array.from({ length: 3000 }, (_, i) => answerTo(asked(`prompt ${i}`)));
    expect(new Set(all.map((text) => text.slice(0, 16))).size).toBe(3000);
  });

  test("use tokens that add up", () => {
    const usages = Array.from({ length: 2000 }, (_, i) => usageFor(asked(`${i} `.repeat(400))));
    for (const { prompt, completion, total, cached, reasoning } of usages) {
      expect(total).toBe(prompt + completion);
      expect(cached % 128 === 0 && cached < prompt && reasoning <= completion).toBe(true);
    }
    expect(usages.some(({ cached }) => cached > 128)).toBe(true);
    expect(usages.some(({ cached }) => cached === 0)).toBe(true);
    expect(usages.some(({ reasoning }) => reasoning > 0)).toBe(true);
    expect(usageFor(asked("ü".repeat(8)))).toMatchObject({ prompt: 11, cached: 0 });
    expect(usageFor(asked("x".repeat(8000), { provider: "together" }))).toMatchObject({
      cached: 0,
      reasoning: 0,
    });
    expect(usageFor(asked("a"), "three small words").completion).toBe(3);
  });
});

describe("what is served", () => {
  const prompt = "Übersetze: \ud800 \u0000 „Straße“ ".repeat(60);

  test("OpenAI chat", async () => {
    await using server = await startServer();
    const reply = await ask(server, "openai", { prompt });
    const usage = usageFor(asked(prompt));
    expect(reply).toMatchObject({
      text: answerTo(asked(prompt)),
      finish: "stop",
      usage: {
        prompt_tokens: usage.prompt,
        completion_tokens: usage.completion,
        total_tokens: usage.total,
        prompt_tokens_details: { cached_tokens: usage.cached },
        completion_tokens_details: { reasoning_tokens: usage.reasoning },
      },
      data: {
        object: "chat.completion",
        model: "gpt-4o-mini-2024-07-18",
        id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
        system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{10}$/),
      },
    });
    expect(reply.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    expect(server.served).toEqual({ answers: 1, ...usage });
  });

  test("OpenAI completions", async () => {
    await using server = await startServer();
    const reply = await ask(server, "openai", { prompt, legacy: true });
    const {
      prompt: prompt_tokens,
      completion: completion_tokens,
      total: total_tokens,
    } = usageFor(asked(prompt, { endpoint: "completions" }));
    expect(reply).toMatchObject({
      text: answerTo(asked(prompt, { endpoint: "completions" })),
      finish: "stop",
      data: {
        object: "text_completion",
        id: expect.stringMatching(/^cmpl-/),
        model: "gpt-4o-mini:20230824-v2",
      },
    });
    expect(reply.usage).toEqual({ prompt_tokens, completion_tokens, total_tokens });
  });

  test.for([false, true])("Together, legacy %s", async (legacy) => {
    await using server = await startServer();
    const reply = await ask(server, "together", { prompt, legacy });
    const call = asked(prompt, { provider: "together", endpoint: legacy ? "completions" : "chat" });
    const { prompt: prompt_tokens, completion: completion_tokens, total: total_tokens } = usageFor(call);
    expect(reply).toMatchObject({
      text: answerTo(call),
      finish: expect.stringMatching(/^(stop|eos)$/),
      data: {
        object: legacy ? "text.completion" : "chat.completion",
        model: "gpt-4o-mini",
        id: reply.headers.get("x-request-id"),
        prompt: [],
      },
    });
    expect(reply.usage).toEqual({ prompt_tokens, completion_tokens, total_tokens });
  });

  test("Together ends with both stop and eos", async () => {
    await using server = await startServer();
    const replies = await Promise.all(rows(20).map(({ input }) => ask(server, "together", { prompt: input })));
    expect(new Set(replies.map(({ finish }) => finish))).toEqual(new Set(["stop", "eos"]));
  });

  test("anything else is a 404 and a stray", async () => {
    await using server = await startServer();
    expect((await fetch(`${server.openaiUrl}/engines`)).status).toBe(404);
    expect((await fetch(`${server.togetherUrl}/engines`)).status).toBe(404);
    const bad = await fetch(`${server.openaiUrl}/chat/completions`, { method: "POST", body: "[]" });
    expect([bad.status, server.requests.length, server.inFlight]).toEqual([400, 0, 0]);
    expect(server.strays).toEqual([
      "GET /openai/v1/engines",
      "GET /together/v1/engines",
      "POST /openai/v1/chat/completions",
    ]);
  });
});

describe("what is recorded", () => {
  test("a request without its prompt", async () => {
    await using server = await startServer();
    await ask(server, "openai", { prompt: "eins" });
    const before = performance.now();
    const reply = await ask(server, "openai", { prompt: "eins" });
    await ask(server, "openai", { prompt: "eins", max_tokens: 7 });
    await ask(server, "together", { prompt: "eins" });
    expect(server.requests.map(({ nth }) => nth)).toEqual([1, 2, 1, 1]);
    const { at, ended, ...second } = server.requests[1]!;
    expect(at).toBeGreaterThanOrEqual(before);
    expect(ended).toBeGreaterThanOrEqual(at);
    expect(second).toEqual({
      index: 1,
      nth: 2,
      path: "/openai/v1/chat/completions",
      provider: "openai",
      endpoint: "chat",
      authorization: `Bearer ${KEY}`,
      organization: "org-loop",
      promptHash: promptHashOf("eins"),
      model: "gpt-4o-mini",
      parameters: { max_tokens: 200, temperature: 0.7 },
      body: undefined,
      fault: undefined,
      status: 200,
      requestId: reply.headers.get("x-request-id"),
      usage: usageFor(asked("eins")),
      aborted: false,
    });
    expect(server.requests[3]).toMatchObject({
      path: "/together/v1/chat/completions",
      organization: undefined,
    });
    expect(server.served.answers).toBe(4);
  });

  test("the bodies, where they are wanted", async () => {
    await using server = await startServer({ keepBodies: true });
    await ask(server, "openai", { prompt: "eins" });
    expect(server.requests[0]!.body).toMatchObject({ messages: [{ role: "user", content: "eins" }] });
  });

  test("how many are in flight", async () => {
    await using server = await startServer({ latency: ({ index }) => 300 + (index % 3) * 20 });
    const all = Promise.all(rows(30).map(({ input }) => ask(server, "openai", { prompt: input })));
    await soon(() => expect(server.inFlight).toBe(30));
    await all;
    expect([server.inFlight, server.maxInFlight]).toEqual([0, 30]);
    for (const { at, ended, index } of server.requests) {
      expect(ended! - at).toBeGreaterThanOrEqual(299 + (index % 3) * 20);
    }
  });

  test("never more in flight than a client has", async () => {
    await using server = await startServer({ latency: 3 });
    const work = rows(400);
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let row = work.pop(); row; row = work.pop()) await ask(server, "openai", { prompt: row.input });
      }),
    );
    expect([server.served.answers, server.maxInFlight]).toEqual([400, 4]);
  });

  test("a client that gives up", async () => {
    await using server = await startServer({ latency: 500 });
    const error = await failure(server, "openai", { timeout: 50 });
    expect(error).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await soon(() => expect(server.inFlight).toBe(0));
    expect(server.requests[0]).toMatchObject({ aborted: true, status: undefined, usage: undefined });
    await sleep(500);
    expect(server.served.answers).toBe(0);
  });
});

describe("faults", () => {
  const statuses = [
    [{ status: 401 }, "AuthenticationError", "invalid_api_key", "invalid_api_key"],
    [{ status: 404 }, "NotFoundError", "model_not_found", "model_not_available"],
    [{ status: 429 }, "RateLimitError", "rate_limit_exceeded", null],
    [{ status: 429, code: "insufficient_quota" }, "RateLimitError", "insufficient_quota", "insufficient_quota"],
    [
      { status: 400, code: "context_length_exceeded" },
      "BadRequestError",
      "context_length_exceeded",
      "context_length_exceeded",
    ],
    [
      { status: 400, code: "content_policy_violation" },
      "BadRequestError",
      "content_policy_violation",
      "content_policy_violation",
    ],
    [{ status: 403 }, "PermissionDeniedError", null, null],
    [{ status: 402 }, "APIError", null, null],
    [{ status: 408 }, "APIError", null, null],
    [{ status: 409 }, "ConflictError", null, null],
    [{ status: 500 }, "InternalServerError", null, null],
    [{ status: 503 }, "InternalServerError", null, null],
    [{ status: 529 }, "InternalServerError", null, null],
  ] as const;

  test.for(statuses)("%j as OpenAI words it", async ([parts, name, code]) => {
    const server = await serverWith({ kind: "status", ...parts });
    const error = await failure(server, "openai");
    expect(error).toBeInstanceOf(OpenAI[name]);
    expect(error).toMatchObject({ status: parts.status, code, requestID: expect.stringMatching(/^req_/) });
    expect(error.type).toEqual(expect.any(String));
    expect(server.requests[0]).toMatchObject({ status: parts.status, fault: "status", usage: undefined });
    expect(server.served).toMatchObject({ answers: 0, total: 0 });
    expect(JSON.stringify(error.error)).not.toContain(KEY);
  });

  test.for(statuses)("%j as Together words it", async ([parts, name, , code]) => {
    const server = await serverWith({ kind: "status", ...parts });
    const error = await failure(server, "together");
    expect(error).toBeInstanceOf(Together[name]);
    expect(error).toMatchObject({
      status: parts.status,
      error: { error: { code, type: expect.any(String) } },
    });
    expect(error.headers.get("x-request-id")).toBe(error.error.id);
  });

  test.for(PROVIDERS)("headers, a body and a message of its own: %s", async (provider) => {
    const headers = { "retry-after": "7", "retry-after-ms": "7100", "x-request-id": "mine" };
    const server = await serverWith({ kind: "status", status: 429, headers, message: "Slowly, please" });
    const error = await failure(server, provider);
    expect([...error.headers]).toEqual(expect.arrayContaining(Object.entries(headers)));
    expect(error.message).toContain("Slowly, please");
    server.behave = () => ({
      kind: "status",
      status: 502,
      body: "upstream gone",
      headers: { "content-type": "text/plain" },
    });
    expect((await failure(server, provider)).message).toContain("upstream gone");
  });

  test.for(PROVIDERS)("reset and close: %s", async (provider) => {
    const server = await serverWith({ kind: "reset" });
    const reset = await failure(server, provider);
    expect(reset.constructor.name).toBe("APIConnectionError");
    expect(reset.cause.cause.code).toBe("ECONNRESET");
    server.behave = () => ({ kind: "close" });
    expect((await failure(server, provider)).cause.cause.code).toBe("UND_ERR_SOCKET");
    expect(server.requests.map(({ fault, status, aborted }) => [fault, status, aborted])).toEqual([
      ["reset", undefined, false],
      ["close", undefined, false],
    ]);
    expect(server.inFlight).toBe(0);
  });

  test.for(PROVIDERS)("hang: %s", async (provider) => {
    const server = await serverWith({ kind: "hang" });
    const error = await failure(server, provider, { timeout: 80 });
    expect(error.constructor.name).toBe("APIConnectionTimeoutError");
    await soon(() => expect(server.requests[0]!.aborted).toBe(true));
  });

  test.for(PROVIDERS)("half: %s", async (provider) => {
    const server = await serverWith({ kind: "half" });
    expect(await failure(server, provider)).toMatchObject({ name: "TypeError", message: "terminated" });
    expect(server.requests[0]).toMatchObject({ status: 200, usage: undefined, aborted: false });
    expect(server.served.answers).toBe(0);
  });

  test.for(PROVIDERS)("malformed: %s", async (provider) => {
    const server = await serverWith({ kind: "malformed" });
    expect(await failure(server, provider)).toBeInstanceOf(SyntaxError);
    expect(server.served).toMatchObject({ answers: 0, total: 0 });
  });

  test.for(PROVIDERS)("html: %s", async (provider) => {
    const server = await serverWith({ kind: "html" });
    const response = await fetch(`${server[`${provider}Url`]}/chat/completions`, {
      method: "POST",
      body: "{}",
    });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    server.behave = () => ({ kind: "html", status: 502 });
    expect(await failure(server, provider)).toMatchObject({
      status: 502,
      message: expect.stringContaining("<html>"),
    });
  });

  test.for(PROVIDERS)("error200: %s", async (provider) => {
    const server = await serverWith({ kind: "error200", code: "overloaded", message: "Busy" });
    const { data, text } = await ask(server, provider);
    expect(data).toMatchObject({ error: { code: "overloaded", message: "Busy", type: "server_error" } });
    expect(text).toBeUndefined();
  });

  test.for(PROVIDERS)("content that is not an answer: %s", async (provider) => {
    const server = await serverWith({ kind: "noChoices" });
    const call = asked("Sag etwas.", { provider });
    expect(await ask(server, provider)).toMatchObject({
      data: { choices: [] },
      usage: { completion_tokens: 0 },
    });
    server.behave = () => ({ kind: "empty" });
    expect(await ask(server, provider)).toMatchObject({ text: "" });
    server.behave = () => ({ kind: "null" });
    expect(await ask(server, provider)).toMatchObject({ text: null });
    server.behave = () => ({ kind: "reasoningOnly" });
    const detailed = provider === "openai" && { completion_tokens_details: { reasoning_tokens: 200 } };
    expect(await ask(server, provider)).toMatchObject({
      text: "",
      finish: "length",
      usage: { completion_tokens: 200, ...detailed },
    });
    server.behave = () => ({ kind: "contentFilter" });
    expect(await ask(server, provider)).toMatchObject({
      finish: "content_filter",
      text: shortened(answerTo(call)),
    });
    server.behave = () => ({ kind: "refusal" });
    const refused = { message: { content: null, refusal: expect.stringContaining("cannot") } };
    expect(await ask(server, provider)).toMatchObject({ text: null, data: { choices: [refused] } });
    expect(server.served).toMatchObject({ answers: 0, prompt: 6 * usageFor(call).prompt });
  });

  test.for(PROVIDERS)("answers that are unusual: %s", async (provider) => {
    const server = await serverWith({ kind: "length" });
    const call = asked("Sag etwas.", { provider });
    const cut = shortened(answerTo(call));
    expect(answerTo(call).startsWith(cut)).toBe(true);
    expect(await ask(server, provider)).toMatchObject({
      text: cut,
      finish: "length",
      usage: { completion_tokens: usageFor(call, cut).completion },
    });
    server.behave = () => ({ kind: "noUsage" });
    const { text, usage } = await ask(server, provider);
    expect([text, usage]).toEqual([answerTo(call), undefined]);
    const odd = "a\u0000b \ud800 \u001b[31m \udfff ../../etc";
    server.behave = () => ({ kind: "text", text: odd });
    expect(await ask(server, provider)).toMatchObject({ text: odd });
    expect(server.served).toMatchObject({ answers: 3, prompt: 2 * usageFor(call).prompt });
  });

  test.for(PROVIDERS)("slowBody: %s", async (provider) => {
    const server = await serverWith({ kind: "slowBody", ms: 300 });
    const start = performance.now();
    const pending = ask(server, provider);
    await soon(() => expect(server.requests[0]?.status).toBe(200));
    expect([server.inFlight, server.requests[0]!.usage]).toEqual([1, undefined]);
    expect((await pending).text).toBe(answerTo(asked("Sag etwas.")));
    expect(performance.now() - start).toBeGreaterThanOrEqual(299);
    expect(server.served.answers).toBe(1);
  });

  test("a script may look at the call", async () => {
    await using server = await startServer({
      behave: ({ nth, prompt }) => (nth === 1 && prompt.includes("Köln") ? { kind: "status", status: 500 } : undefined),
      headers: ({ index }) => ({ "x-ratelimit-remaining-requests": String(index) }),
    });
    expect(
      (await failure(server, "openai", { prompt: "nach Köln" })).headers.get("x-ratelimit-remaining-requests"),
    ).toBe("0");
    expect((await ask(server, "openai", { prompt: "nach Köln" })).headers.get("x-ratelimit-remaining-requests")).toBe(
      "1",
    );
    await ask(server, "openai", { prompt: "nach Bonn" });
    expect(server.requests.map(({ status }) => status)).toEqual([500, 200, 200]);
  });

  test("an error in the script fails its test", async () => {
    const server = await startServer({
      behave: () => {
        throw new RangeError("mistyped");
      },
    });
    expect(await failure(server, "openai")).toMatchObject({ status: 500 });
    await expect(server[Symbol.asyncDispose]()).rejects.toThrow(RangeError);
  });

  test("a server goes away and comes back", async () => {
    await using server = await startServer({ latency: 200 });
    const cut = failure(server, "openai");
    await soon(() => expect(server.inFlight).toBe(1));
    await server.goDown();
    expect(await cut).toBeInstanceOf(OpenAI.APIConnectionError);
    expect((await failure(server, "openai")).cause.cause.code).toBe("ECONNREFUSED");
    await server.comeUp();
    expect((await ask(server, "openai")).text).toBe(answerTo(asked("Sag etwas.")));
    expect(server.requests.map(({ aborted }) => aborted)).toEqual([true, false]);
  });
});

describe("files and batches", () => {
  const CUSTOM = (index: number) => `row-${index}`;
  const CHAT = "/v1/chat/completions";

  const openaiOf = (server: LoopbackServer) => new OpenAI({ apiKey: KEY, maxRetries: 0, baseURL: server.openaiUrl });
  const togetherOf = (server: LoopbackServer) =>
    new Together({ apiKey: KEY, maxRetries: 0, baseURL: server.togetherUrl });

  /** A file of requests, one for each prompt. */
  function inputFile(prompts: string[], name = "input.jsonl", line: object = {}): File {
    const lines = prompts.map((prompt, index) => {
      const body = {
        model: "gpt-4o-mini",
        max_tokens: 200,
        temperature: 0.7,
        messages: [{ role: "user", content: prompt }],
      };
      return JSON.stringify({ custom_id: CUSTOM(index), method: "POST", url: CHAT, body, ...line });
    });
    return new File([`${lines.join("\n")}\n`], name);
  }

  async function submit(server: LoopbackServer, file: File): Promise<OpenAI.Batch> {
    const client = openaiOf(server);
    const { id: input_file_id } = await client.files.create({ file, purpose: "batch" });
    return client.batches.create({
      input_file_id,
      endpoint: CHAT,
      completion_window: "24h",
      metadata: { mark: file.name },
    });
  }

  async function submitToTogether(server: LoopbackServer, file: File): Promise<Together.BatchJob> {
    const form = new FormData();
    for (const [name, value] of Object.entries({ purpose: "batch-api", file_name: file.name }))
      form.append(name, value);
    form.append("file", file);
    const client = togetherOf(server);
    const { id } = await client.post<Together.FileResponse>("/files/upload", { body: form });
    return (await client.batches.create({ input_file_id: id, endpoint: CHAT })).job!;
  }

  /** Looks at a batch until it has ended. */
  async function ended(server: LoopbackServer, id: string): Promise<OpenAI.Batch> {
    for (;;) {
      const batch = await openaiOf(server).batches.retrieve(id);
      if (/^(completed|failed|expired|cancelled)$/.test(batch.status)) return batch;
    }
  }

  interface Line {
    id: string;
    custom_id: string;
    response: {
      status_code: number;
      request_id: string;
      body: Completion & { error?: { code: string | null } };
    } | null;
    error: { code: string; message: string } | null;
  }

  async function linesOf(server: LoopbackServer, fileId: string | null | undefined): Promise<Line[]> {
    if (!fileId) return [];
    const text = await (await openaiOf(server).files.content(fileId)).text();
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
  }

  const prompts = rows(12).map(({ input }) => input);

  test("OpenAI: a file, a batch, and an output in another order, with the answers of the live server", async () => {
    await using server = await startServer();
    const client = openaiOf(server);
    const created = await submit(server, inputFile(prompts));
    expect(created).toMatchObject({
      id: expect.stringMatching(/^batch_/),
      object: "batch",
      status: "validating",
      endpoint: CHAT,
      completion_window: "24h",
      metadata: { mark: "input.jsonl" },
      output_file_id: null,
      error_file_id: null,
      errors: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      expires_at: created.created_at + 86_400,
    });
    const file = await client.files.retrieve(created.input_file_id);
    expect(file).toMatchObject({
      object: "file",
      filename: "input.jsonl",
      purpose: "batch",
      bytes: inputFile(prompts).size,
    });
    expect(await (await client.files.content(file.id)).text()).toBe(await inputFile(prompts).text());
    const batch = await ended(server, created.id);
    expect(batch).toMatchObject({
      status: "completed",
      error_file_id: null,
      request_counts: { total: 12, completed: 12, failed: 0 },
    });
    expect(batch.completed_at).toBeGreaterThanOrEqual(batch.in_progress_at!);
    const lines = await linesOf(server, batch.output_file_id);
    expect(lines.map(({ custom_id }) => custom_id)).not.toEqual(prompts.map((_, index) => CUSTOM(index)));
    expect(new Map(lines.map(({ custom_id, response }) => [custom_id, replyText(response!.body)]))).toEqual(
      new Map(prompts.map((prompt, index) => [CUSTOM(index), answerTo(asked(prompt))])),
    );
    expect(lines[0]).toMatchObject({
      error: null,
      response: { status_code: 200, request_id: expect.stringMatching(/^req_/) },
    });
    expect(server.served).toMatchObject({
      answers: 12,
      total: prompts.reduce((sum, prompt) => sum + usageFor(asked(prompt)).total, 0),
    });
    expect(server.batches).toMatchObject([{ name: "input.jsonl", fileId: file.id, status: "completed" }]);
    expect(server.batches[0]!.lines[3]).toEqual({
      customId: CUSTOM(3),
      promptHash: promptHashOf(prompts[3]!),
      outcome: "answered",
      fault: undefined,
      usage: usageFor(asked(prompts[3]!)),
    });
  });

  test("Together: the same in its own shapes", async () => {
    await using server = await startServer();
    const client = togetherOf(server);
    const job = await submitToTogether(server, inputFile(prompts));
    expect(job).toMatchObject({ status: "VALIDATING", endpoint: CHAT, progress: 0, output_file_id: "" });
    const { data: files } = await client.files.list();
    expect(files).toMatchObject([
      { id: job.input_file_id, filename: "input.jsonl", purpose: "batch-api", FileType: "jsonl" },
    ]);
    expect((await client.batches.retrieve(job.id!)).status).toBe("IN_PROGRESS");
    const done = await client.batches.retrieve(job.id!);
    expect(done).toMatchObject({ status: "COMPLETED", progress: 100, error_file_id: "" });
    expect(await client.batches.list()).toEqual([done]);
    const text = await (await client.files.content(done.output_file_id!)).text();
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    expect(new Map(lines.map(({ custom_id, response }) => [custom_id, replyText(response!.body)]))).toEqual(
      new Map(prompts.map((prompt, index) => [CUSTOM(index), answerTo(asked(prompt))])),
    );
  });

  test("lists have the newest first, page by page", async () => {
    await using server = await startServer();
    const client = openaiOf(server);
    const ids = [];
    for (const prompt of prompts.slice(0, 5)) ids.unshift((await submit(server, inputFile([prompt]))).id);
    const listed = [];
    for await (const { id } of client.batches.list({ limit: 2 })) listed.push(id);
    expect(listed).toEqual(ids);
    const files = [];
    for await (const { id } of client.files.list({ limit: 2, purpose: "batch" })) files.push(id);
    expect(files).toEqual(server.files.map(({ id }) => id).toReversed());
  });

  test("a line has the faults of a live request, as far as possible, or its own faults", async () => {
    const faults: (LineFault | undefined)[] = [
      { kind: "status", status: 500 },
      { kind: "status", status: 400, code: "context_length_exceeded" },
      { kind: "missing" },
      { kind: "reset" },
      { kind: "noResponse", code: "request_timeout", message: "Too slow." },
      { kind: "empty" },
      undefined,
    ];
    await using server = await startServer({ behaveLine: ({ customId }) => faults[Number(customId!.slice(4))] });
    const batch = await ended(server, (await submit(server, inputFile(prompts.slice(0, 7)))).id);
    expect(batch.request_counts).toEqual({ total: 7, completed: 2, failed: 3 });
    const output = await linesOf(server, batch.output_file_id);
    expect(new Set(output.map(({ custom_id }) => custom_id))).toEqual(new Set(["row-5", "row-6"]));
    const errors = new Map((await linesOf(server, batch.error_file_id)).map((line) => [line.custom_id, line]));
    expect(errors.get("row-0")).toMatchObject({
      response: { status_code: 500, body: { error: { type: "server_error" } } },
      error: null,
    });
    expect(errors.get("row-1")).toMatchObject({
      response: { status_code: 400, body: { error: { code: "context_length_exceeded" } } },
    });
    expect(errors.get("row-4")).toMatchObject({
      response: null,
      error: { code: "request_timeout", message: "Too slow." },
    });
    expect(errors.size).toBe(3);
    expect(server.batches[0]!.lines.map(({ outcome }) => outcome)).toEqual([
      "failed",
      "failed",
      "missing",
      "missing",
      "failed",
      "answered",
      "answered",
    ]);
    expect(server.charged()).toEqual(new Map([5, 6].map((index) => [promptHashOf(prompts[index]!), 1])));
  });

  test("one script serves live requests and lines, and counts both", async () => {
    await using server = await startServer({
      behave: ({ nth }) => (nth === 1 ? { kind: "status", status: 500 } : undefined),
    });
    expect((await failure(server, "openai", { prompt: prompts[0]! })).message).toContain("500");
    const batch = await ended(server, (await submit(server, inputFile(prompts.slice(0, 2)))).id);
    expect((await linesOf(server, batch.output_file_id)).map(({ custom_id }) => custom_id)).toEqual(["row-0"]);
    await ask(server, "openai", { prompt: prompts[0]! });
    expect(server.charged()).toEqual(new Map([[promptHashOf(prompts[0]!), 2]]));
  });

  test("a batch goes as its script says: state by state, and not before its time", async () => {
    const states = ["validating", "validating", "in_progress", "finalizing"] as const;
    await using server = await startServer({ behaveBatch: () => ({ states: [...states], ms: 300 }) });
    const start = performance.now();
    const { id } = await submit(server, inputFile(prompts));
    const seen: string[] = [];
    while (seen.at(-1) !== "completed") {
      seen.push((await openaiOf(server).batches.retrieve(id)).status);
      await sleep(10);
    }
    expect(performance.now() - start).toBeGreaterThanOrEqual(299);
    expect([...new Set(seen)]).toEqual(["validating", "in_progress", "finalizing", "completed"]);
    expect(seen.slice(0, 4)).toEqual(states);
  });

  test("a batch that expires, and one that is cancelled, give what was done and name the others", async () => {
    await using server = await startServer({
      behaveBatch: ({ index }) => (index === 0 ? { expiresAfter: 0.25 } : { doneWhenCancelled: 0.75 }),
    });
    const expired = await ended(server, (await submit(server, inputFile(prompts))).id);
    const { id } = await submit(server, inputFile(prompts));
    expect((await openaiOf(server).batches.cancel(id)).status).toBe("cancelling");
    const cancelled = await ended(server, id);
    expect([expired.status, cancelled.status]).toEqual(["expired", "cancelled"]);
    for (const [batch, done, code] of [
      [expired, 3, "batch_expired"],
      [cancelled, 9, "batch_cancelled"],
    ] as const) {
      expect(await linesOf(server, batch.output_file_id)).toHaveLength(done);
      const errors = await linesOf(server, batch.error_file_id);
      expect(errors).toHaveLength(12 - done);
      for (const line of errors) expect(line).toMatchObject({ response: null, error: { code } });
    }
    expect(server.served.answers).toBe(12);
    await expect(openaiOf(server).batches.cancel(id)).rejects.toBeInstanceOf(OpenAI.ConflictError);
  });

  test("a batch fails whole where the script says so, and charges nothing", async () => {
    await using server = await startServer({ behaveBatch: () => ({ fails: [TOKEN_LIMIT] }) });
    const batch = await ended(server, (await submit(server, inputFile(prompts))).id);
    expect(batch).toMatchObject({
      status: "failed",
      errors: { object: "list", data: [{ code: "token_limit_exceeded", line: null, param: null }] },
      request_counts: { total: 0, completed: 0, failed: 0 },
    });
    const job = await submitToTogether(server, inputFile(prompts));
    expect(await togetherOf(server).batches.retrieve(job.id!)).toMatchObject({
      status: "FAILED",
      error: TOKEN_LIMIT.message,
    });
    expect([server.served.answers, server.charged().size]).toEqual([0, 0]);
  });

  test.for([
    ["duplicate_custom_id", inputFile(prompts, "x.jsonl", { custom_id: "a" })],
    ["url_mismatch", inputFile(prompts, "x.jsonl", { url: "/v1/completions" })],
    ["invalid_custom_id", inputFile(prompts, "x.jsonl", { custom_id: "a".repeat(65) })],
    ["invalid_json_line", new File(['{"custom_id": "a"}\n'], "x.jsonl")],
    ["empty_file", new File([""], "x.jsonl")],
    ["invalid_request", inputFile(prompts, "x.jsonl", { body: { model: "m", messages: [], stream: false } })],
  ] as const)("a file is validated: %s", async ([code, file]) => {
    await using server = await startServer();
    const batch = await ended(server, (await submit(server, file)).id);
    expect([batch.status, batch.errors?.data?.[0]?.code]).toEqual(["failed", code]);
  });

  test("a file above the limits of a test is refused", async () => {
    await using server = await startServer({ limits: { lines: 3 } });
    const batch = await ended(server, (await submit(server, inputFile(prompts))).id);
    expect(batch.errors?.data?.[0]).toMatchObject({ code: "too_many_tasks" });
    server.limits = { bytes: 100 };
    await expect(submit(server, inputFile(prompts))).rejects.toMatchObject({ status: 413 });
  });

  test("what a provider does not know is refused", async () => {
    await using server = await startServer();
    const client = openaiOf(server);
    await expect(client.batches.retrieve("batch_0")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.files.content("file-0")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const batch = { input_file_id: "file-0", endpoint: CHAT, completion_window: "24h" } as const;
    await expect(client.batches.create(batch)).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(submit(server, inputFile(prompts, "input.txt"))).rejects.toThrow("Must be .jsonl");
    const file = await client.files.create({ file: inputFile(prompts), purpose: "batch" });
    const completions = { input_file_id: file.id, endpoint: "/v1/completions" as typeof CHAT };
    await expect(togetherOf(server).batches.create(completions)).rejects.toBeInstanceOf(Together.BadRequestError);
    expect(server.strays).toEqual([]);
  });

  test("a fault may come before a request has its effect, or after", async () => {
    await using server = await startServer({
      behaveApi: ({ operation, nth }) =>
        operation === "upload" && nth < 3
          ? { kind: nth === 1 ? "status" : "reset", status: 500, isTaken: nth === 2 }
          : undefined,
    });
    await expect(submit(server, inputFile(prompts))).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    expect(server.files).toEqual([]);
    await expect(submit(server, inputFile(prompts))).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
    expect(server.files).toHaveLength(1);
    await submit(server, inputFile(prompts));
    expect(server.batchRequests.map(({ operation, nth, path }) => [operation, nth, path])).toEqual([
      ["upload", 1, "/openai/v1/files"],
      ["upload", 2, "/openai/v1/files"],
      ["upload", 3, "/openai/v1/files"],
      ["create", 1, "/openai/v1/batches"],
    ]);
  });

  test("a client can be killed at each of its requests, before or after it has its effect", async () => {
    await using dir = await workspace();
    const bin = await dir.write(
      "bin.mjs",
      `
      const form = new FormData();
      form.append("purpose", "batch");
      form.append("file", new File(["{}"], "x.jsonl"));
      await fetch(process.argv[2] + "/files", { method: "POST", body: form });
    `,
    );
    let run: Running | undefined;
    await using server = await startServer({
      behaveApi: ({ nth }) => {
        run?.kill();
        return { kind: "hang", isTaken: nth === 2 };
      },
    });
    for (const files of [0, 1]) {
      await using process = startDatagen([server.openaiUrl], { cwd: dir.path, bin });
      run = process;
      expect(await process.done).toMatchObject({ signal: "SIGKILL" });
      await soon(() => expect(server.files).toHaveLength(files));
    }
  });

  test("an error in the script for a line fails its test", async () => {
    const server = await startServer({
      behaveLine: () => {
        throw new RangeError("mistyped");
      },
    });
    await ended(server, (await submit(server, inputFile(prompts))).id);
    await expect(server[Symbol.asyncDispose]()).rejects.toThrow(RangeError);
  });

  test("the files are gone with the server", async () => {
    const server = await startServer();
    await submit(server, inputFile(prompts));
    const { path } = server.files[0]!;
    expect(existsSync(path)).toBe(true);
    await server[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(false);
  });
});

describe("the harness", () => {
  const SCRIPT = `
    process.stdout.write("args " + JSON.stringify(process.argv.slice(2)) + "\\n");
    if (process.argv[2] === "env") process.stdout.write(JSON.stringify(process.env));
    if (process.argv[2] === "cat") process.stdin.pipe(process.stdout);
    if (process.argv[2] === "wait") {
      process.on("SIGINT", () => { process.stderr.write("stopping\\n"); process.exit(130); });
      process.stderr.write("run id abc123\\n");
      setInterval(() => {}, 1000);
    }
    if (process.argv[2] === "fail") { process.stderr.write("näh"); process.exitCode = 2; }
  `;

  test("a workspace is a new folder, and is removed", async () => {
    let path = "";
    {
      await using dir = await workspace();
      path = dir.path;
      expect(await dir.write("a/b.json", { x: ["ü"] })).toBe(`${path}/a/b.json`);
      await dir.write("c.txt", "plain");
      expect([await dir.json("a/b.json"), await dir.read("c.txt")]).toEqual([{ x: ["ü"] }, "plain"]);
    }
    expect(existsSync(path)).toBe(false);
  });

  test("a run gives its code and its output", async () => {
    await using dir = await workspace();
    const bin = await dir.write("bin.mjs", SCRIPT);
    const failed = await datagen(["fail", "--x"], { cwd: dir.path, bin });
    expect(failed).toEqual({ code: 2, signal: null, stdout: 'args ["fail","--x"]\n', stderr: "näh" });
    const { stdout } = await datagen(["cat"], { cwd: dir.path, bin, input: "from stdin" });
    expect(stdout).toContain("from stdin");
  });

  test("a process sees nothing of the user's environment", async () => {
    vi.stubEnv("OPENAI_API_KEY", "secret").stubEnv("HTTPS_PROXY", "http://proxy").stubEnv("DATAGEN_DB", "/x");
    onTestFinished(() => void vi.unstubAllEnvs());
    await using dir = await workspace();
    const bin = await dir.write("bin.mjs", SCRIPT);
    const { stdout } = await datagen(["env"], { cwd: dir.path, bin, env: { MORE: "1", PATH: undefined } });
    const { XDG_CACHE_HOME: cache, ...seen } = JSON.parse(stdout.split("\n")[1]!) as Record<string, string>;
    // Compiled code is kept between tests.
    expect(cache).toMatch(/node_modules.\.cache$/);
    expect(seen).toEqual({ HOME: dir.path, NO_COLOR: "1", TZ: "UTC", LC_ALL: "C.UTF-8", MORE: "1" });
  });

  test("a process can be waited for, interrupted and killed", async () => {
    await using dir = await workspace();
    const bin = await dir.write("bin.mjs", SCRIPT);
    const options = { cwd: dir.path, bin };
    expect(await datagen(["wait"], { ...options, signalAfter: { stderr: /run id/ } })).toMatchObject({
      code: 130,
    });
    expect(await datagen(["wait"], { ...options, signalAfter: { ms: 500, signal: "SIGKILL" } })).toMatchObject({
      code: null,
      signal: "SIGKILL",
    });
    await using run = startDatagen(["wait"], options);
    expect((await run.waitFor(/run id (\w+)/))[1]).toBe("abc123");
    await run.waitFor(/args/, "stdout");
    run.kill("SIGINT");
    await run.waitFor(/stopping/);
    await expect(run.waitFor(/never/)).rejects.toThrow(/has no \/never\/ and the process has ended[^]*stopping/);
    expect((await run.done).code).toBe(130);
    await expect(datagen(["wait"], { ...options, timeoutMs: 200 })).rejects.toThrow("took more than 200 ms");
  });

  test("rows are all different", () => {
    expect(new Set(rows(5000).map(({ input }) => input)).size).toBe(5000);
    expect(rows(3)).toEqual(rows(5000).slice(0, 3));
  });

  test("a dataset is what the server answers", async () => {
    await using server = await startServer();
    const config = configFor({ add_references: true, data_config: { sample_size: 3 } });
    const { tasks, calls, usage } = expectedDataset(config, rows(5));
    expect(calls).toHaveLength(3 * 6);
    expect(tasks.map(({ context }) => context)).toEqual(rows(3).map(({ input }) => input));
    const chain = calls.filter(({ task, perspective }) => task === 1 && perspective === 2);
    expect(chain.map(({ step }) => step)).toEqual(["reading", "strategy"]);
    const { reading, strategy } = config.agent_perspectives[1]!;
    const notes = await ask(server, "openai", { prompt: promptOf(reading!, rows(2)[1]!.input) });
    const answer = await ask(server, "openai", { prompt: promptOf(strategy, notes.text!) });
    expect([tasks[1]!.preparations[2], tasks[1]!.responses[2]]).toEqual([notes.text, answer.text]);
    expect(tasks[1]!.responses[0]).toBe(rows(2)[1]!.reference);
    expect(tasks[1]!.preparations.map((text) => text === null)).toEqual([true, true, false, true, false]);
    await Promise.all(calls.map(({ asked: { prompt } }) => ask(server, "openai", { prompt })));
    expect(server.served.total).toBe(usage.total + usageFor(chain[0]!.asked).total + usageFor(chain[1]!.asked).total);
    const failing = expectedDataset(config, rows(1), ({ prompt }) => (prompt.startsWith(reading!) ? null : "x"));
    expect(failing.tasks[0]!.responses.slice(1)).toEqual(["x", null, "x", "x"]);
  });

  test("the environment for a server is accepted by the SDKs", async () => {
    await using server = await startServer();
    const env = environmentFor(server);
    const client = new OpenAI({ apiKey: env.OPENAI_API_KEY, baseURL: env.OPENAI_BASE_URL, maxRetries: 0 });
    await client.chat.completions.create({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: "x" }],
    });
    expect(server.requests[0]!.authorization).toBe(`Bearer ${env.OPENAI_API_KEY}`);
  });

  test("a database is opened for reading only", async () => {
    await using dir = await workspace();
    expect(() => openDatabase(dir.at("none.db"))).toThrow();
    await dir.write("empty.db", "");
    const db = openDatabase(dir.at("empty.db"));
    expect(() => db.exec("CREATE TABLE t (x)")).toThrow(/readonly/);
    db.close();
  });

  test("hashes are SHA-256 of the prompt as JSON", () => {
    expect(promptHashOf("ä")).toBe(hash("sha256", '"ä"', "hex"));
  });
});
