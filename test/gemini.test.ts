import { LLMock } from "@copilotkit/aimock";
import { once } from "node:events";
import { mkdtempDisposable, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Parameters } from "../src/config/parameters.ts";
import { completionOf } from "../src/providers/gemini/answer.ts";
import { readBatch } from "../src/providers/gemini/batch-answers.ts";
import { bodyOf } from "../src/providers/gemini/body.ts";
import { gemini } from "../src/providers/gemini/info.ts";
import { readBody } from "../src/providers/json-body.ts";
import type { CallError } from "../src/providers/provider.ts";
import { type ConfigOverrides, environmentFor } from "./support/harness.ts";
import { openLab, PLAIN } from "./support/lab.ts";
import { connectionTo, failure, KEY, userPrompt } from "./support/provider-batches.ts";
import { type Fault, type LoopbackServer, startServer } from "./support/server.ts";
import { reportedUsage } from "./support/usage.ts";

const MODEL = "gemini-3.8-flash";

describe("what is asked of a model of the Gemini API", () => {
  const body = (model: string, parameters: Parameters) =>
    bodyOf({ endpoint: "chat", model, prompt: userPrompt("Hallo."), parameters }) as {
      generationConfig: Record<string, unknown>;
    };

  const level = (thinkingLevel: string) => ({ thinkingLevel });
  const budget = (thinkingBudget: number) => ({ thinkingBudget });
  const EFFORTS: [models: string, effort: Parameters["reasoning_effort"], thinking: object | undefined][] = [
    ["gemini-2.5-flash gemini-2.5-flash-lite models/gemini-2.5-flash", "none", budget(0)],
    ["gemini-2.5-pro gemini-3.8-flash gemini-4-argon gemini-2.0-flash gemma-4-31b-it", "none", undefined],
    ["gemini-2.5-pro gemini-2.5-flash", "minimal", budget(1_024)],
    ["gemini-2.5-pro gemini-2.5-flash", "low", budget(1_024)],
    ["gemini-2.5-pro gemini-2.5-flash", "medium", budget(8_192)],
    ["gemini-2.5-pro gemini-2.5-flash", "high", budget(24_576)],
    [
      "gemini-3-flash-preview gemini-3.1-flash-lite gemini-3.5-flash-lite gemini-3.6-flash",
      "minimal",
      level("MINIMAL"),
    ],
    ["gemini-3-pro-preview gemini-3.1-pro-preview gemini-3.7-flash gemini-4-argon", "minimal", level("LOW")],
    ["gemini-3.8-flash gemini-pro-latest gemini-5-flash gemini-10-pro", "low", level("LOW")],
    ["gemini-3.1-pro-preview gemini-4-argon gemini-flash-latest", "medium", level("MEDIUM")],
    ["gemini-3-pro-preview", "medium", level("HIGH")],
    ["gemini-3-flash-preview gemini-3.1-pro-preview models/gemini-4-argon", "high", level("HIGH")],
    ["gemini-3.8-flash gemini-2.5-flash gemini-4-argon", "xhigh", undefined],
    ["gemini-2.0-flash gemma-4-31b-it", "high", undefined],
  ];

  test.for(EFFORTS)("%s think at %s: %j, or say that they do not take it", ([models, effort, thinking]) => {
    for (const model of models.split(" ")) {
      const parameters = { reasoning_effort: effort };
      expect([model, body(model, parameters).generationConfig]).toEqual([
        model,
        thinking ? { thinkingConfig: thinking } : {},
      ]);
      expect(gemini.refused({ model, endpoint: "chat", parameters })).toEqual(
        thinking ? [] : [`reasoning_effort "${effort}"`],
      );
    }
  });

  test("leaves out what the model refuses or ignores", () => {
    const parameters = { temperature: 1, top_p: 0.5, frequency_penalty: 1, presence_penalty: 1 };
    const penalties = ["frequency_penalty", "presence_penalty"];
    const refused = ["gemini-2.0-flash", MODEL, "gemini-4-argon"].map((model) =>
      gemini.refused({ model, endpoint: "chat", parameters }),
    );
    expect(refused).toEqual([[], penalties, ["temperature", "top_p", ...penalties]]);
    expect(body("gemini-4-argon", parameters).generationConfig).toEqual({});
  });

  test("puts the members of extra_body together with its own", () => {
    const extra_body = { generationConfig: { topK: 4, thinkingConfig: { includeThoughts: true } }, safetySettings: [] };
    expect(body(MODEL, { max_tokens: 9, stop: "END", reasoning_effort: "high", extra_body })).toEqual({
      contents: [{ role: "user", parts: [{ text: "Hallo." }] }],
      generationConfig: {
        maxOutputTokens: 9,
        stopSequences: ["END"],
        thinkingConfig: { thinkingLevel: "HIGH", includeThoughts: true },
        topK: 4,
      },
      safetySettings: [],
    });
  });
});

describe("what datagen does not send to the Gemini API", () => {
  const WRONG: [model: string, extra: Parameters["extra_body"], key: string, said: RegExp][] = [
    [MODEL, { generationConfig: { topK: 4, maxOutputTokens: 60_000 } }, "extra_body", /set max_tokens$/],
    [MODEL, { generationConfig: { max_output_tokens: null } }, "extra_body", /set max_tokens$/],
    [MODEL, { generationConfig: { candidateCount: 8 } }, "extra_body", /set replicates/],
    [MODEL, { generation_config: {} }, "extra_body", /in place of generation_config$/],
    [MODEL, { generationConfig: 5 }, "extra_body", /an object as generationConfig$/],
    ["gemini-../../files/x", {}, "model_name", /name of a model/],
  ];

  test.for(WRONG)("%s with %j is a problem of %s", ([model, extra_body, key, said]) => {
    expect(gemini.problems!({ model, parameters: { extra_body } }, [])).toEqual([
      { key, text: expect.stringMatching(said) },
    ]);
  });

  test("is an error of the config at its place", async () => {
    await using lab = await openLab({
      config: {
        model_config: { model_name: "gemini-x?key=1" },
        agent_perspectives: [
          { ...PLAIN, model_config: { extra_body: { generationConfig: { maxOutputTokens: 9 } } } },
        ] as never,
      },
    });
    const { code, stderr } = await lab.runConfig();
    expect([code, lab.server.requests.length], stderr).toEqual([2, 0]);
    expect(stderr).toContain("model_config.model_name: expected the name");
    expect(stderr).toContain(
      "agent_perspectives[0].model_config.extra_body: expected generationConfig without maxOutput",
    );
  });
});

describe("an answer of the Gemini API", () => {
  const text = (...parts: object[]) => ({ content: { role: "model", parts } });
  const half = text({ text: "Half of an" });
  const usageMetadata = { promptTokenCount: 9, totalTokenCount: 9 };
  const thought = { text: "Let me see.", thought: true };
  const ANSWERS: [name: string, body: object, result: string | [reason: string, message: RegExp]][] = [
    ["a text in parts", of({ ...text({ text: "Hello " }, { text: "world." }) }, "STOP"), "Hello world. stop STOP"],
    ["a text after thoughts", of(text(thought, { text: "Hi.", thoughtSignature: "c2ln" }), "STOP"), "Hi. stop STOP"],
    ["a signature of its own", of(text({ text: "Hi." }, { thoughtSignature: "c2ln" }), "STOP"), "Hi. stop STOP"],
    ["one that was cut off", of(half, "MAX_TOKENS"), "Half of an length MAX_TOKENS"],
    ["one that could go on", { ...of(half, "CONTINUATION"), continuationToken: "t" }, "Half of an length CONTINUATION"],
    ["an ending of another kind", of(half, "OTHER"), "Half of an OTHER null"],
    ["an ending to come", of(half, "FINISH_REASON_UNSPECIFIED"), "Half of an null FINISH_REASON_UNSPECIFIED"],
    ["nothing but thoughts", of(text(thought), "MAX_TOKENS"), ["reasoning_exhausted", /limit/]],
    ["no content", of({}, "STOP"), ["empty", /empty/]],
    ...["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "ESCALATION"].map(
      (reason): (typeof ANSWERS)[number] => [
        `half of one, ${reason}`,
        of(half, reason),
        ["content_filter", new RegExp(reason)],
      ],
    ),
    ["a broken call", of(half, "MALFORMED_FUNCTION_CALL"), ["broken", /MALFORMED_FUNCTION_CALL/]],
    ["a call of a function", of(text({ functionCall: { name: "f" } }), "STOP"), ["broken", /functionCall/]],
    ["a limited account", of({}, "PUP_LIMITED_DISABLED"), ["forbidden", /Prohibited Use Policy/]],
    [
      "a blocked prompt",
      { promptFeedback: { blockReason: "SAFETY" }, usageMetadata },
      ["content_policy", /\(SAFETY\)/],
    ],
    [
      "a blocked prompt with words",
      { promptFeedback: { blockReason: "OTHER", blockReasonMessage: "Not this." }, usageMetadata },
      ["content_policy", /\(OTHER\): Not this\./],
    ],
    ["no candidates", { usageMetadata, modelVersion: MODEL }, ["malformed", /no choices/]],
    ["an error", { error: { code: 503, message: "Busy", status: "UNAVAILABLE" } }, ["server_error", /Busy/]],
  ];

  function of(candidate: object, finishReason: string) {
    return { candidates: [{ ...candidate, finishReason }], usageMetadata };
  }

  const read = (body: object) => {
    const details = { httpStatus: 200, requestId: null, rateLimits: null };
    return completionOf(readBody(JSON.stringify(body)), MODEL, details, undefined);
  };

  test.for(ANSWERS)("%s", ([, body, result]) => {
    for (const one of [body, [body], { response: body }]) {
      if (typeof result === "string") {
        const { text: answer, finishReason, finishReasonRaw } = read(one);
        expect(`${answer} ${finishReason} ${finishReasonRaw}`).toBe(result);
        continue;
      }
      const [reason, message] = result;
      expect(() => read(one)).toThrow(expect.objectContaining({ reason, message: expect.stringMatching(message) }));
    }
  });

  test("counts thoughts as a part of the completion, and what tools gave as a part of the prompt", () => {
    const counts = { promptTokenCount: 1_000, candidatesTokenCount: 30, thoughtsTokenCount: 70 };
    const more = { cachedContentTokenCount: 600, toolUsePromptTokenCount: 5 };
    const answer = { ...of(half, "STOP"), modelVersion: "gemini-3.8-flash-001", responseId: "r1" };
    expect(read({ ...answer, usageMetadata: { ...counts, ...more } })).toMatchObject({
      usage: reportedUsage(1_005, 100, { cachedTokens: 600, reasoningTokens: 70 }),
      servedModel: "gemini-3.8-flash-001",
      requestId: "r1",
    });
    const blocked = { promptFeedback: { blockReason: "SAFETY" }, usageMetadata };
    expect(() => read(blocked)).toThrow(
      expect.objectContaining({
        details: expect.objectContaining({ usage: expect.objectContaining({ promptTokens: 9 }) }),
      }),
    );
  });
});

describe.concurrent("a run on the Gemini API", () => {
  const asking = (more: object = {}): ConfigOverrides => ({
    agent_perspectives: [PLAIN],
    model_config: { model_name: MODEL, ...more },
  });

  test("keeps to the wait that an error states", async () => {
    const details = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "31.5s" }];
    const fault: Fault = { kind: "status", status: 429, body: { error: { code: 429, message: "Slow down", details } } };
    await using server = await startServer({ behave: () => fault });
    const provider = await gemini.connect(connectionTo(server, "gemini"));
    const question = { endpoint: "chat" as const, model: MODEL, prompt: userPrompt("Hi."), parameters: {} };
    const error: CallError = await failure(provider.complete({ ...question, timeoutMs: 5_000 }));
    expect(error).toMatchObject({ reason: "rate_limited", details: { retryAfterMs: 31_500, code: "429" } });
  });

  test("takes GOOGLE_API_KEY before GEMINI_API_KEY, and needs no version in the base URL", async () => {
    await using lab = await openLab({ config: asking() });
    const base = lab.server.geminiUrl.replace(/\/v1beta$/, "");
    const keys = [{ GOOGLE_API_KEY: "google-key" }, { GOOGLE_API_KEY: "google-key", GEMINI_API_KEY: "gemini-key" }];
    for (const env of keys) {
      const { code, stderr } = await lab.runConfig(["--fresh"], { ...env, GEMINI_BASE_URL: base });
      expect(code, stderr).toBe(0);
      expect(stderr).not.toContain("API_KEY");
    }
    const seen = lab.server.requests.map(({ path, authorization }) => [path, authorization]);
    const wanted = [`/gemini/v1beta/models/${MODEL}:generateContent`, "google-key"];
    expect(seen).toEqual([wanted, wanted]);
  });

  test("stops when the quota of a day is used up, whatever wait that states", async () => {
    const fault: Fault = { kind: "status", status: 429, code: "insufficient_quota", headers: { "retry-after": "20" } };
    await using lab = await openLab({ config: asking(), server: { behave: () => fault } });
    const { code, stderr } = await lab.runConfig();
    expect(code).toBe(3);
    expect(stderr).toMatch(/no quota left.*\n.*daily quota is free again/);
    expect(lab.server.requests).toHaveLength(1);
  });

  test("asks once for an answer that could go on in another request", async () => {
    const content = { role: "model", parts: [{ text: "Half of an" }] };
    const candidates = [{ content, finishReason: "CONTINUATION" }];
    const usageMetadata = { promptTokenCount: 9, candidatesTokenCount: 3, totalTokenCount: 12 };
    const body = { candidates, usageMetadata, continuationToken: "go-on", modelVersion: MODEL };
    await using lab = await openLab({
      config: asking(),
      server: { behave: () => ({ kind: "status", status: 200, body }) },
    });
    const { code, stderr, run } = await lab.runConfig();
    expect(code, stderr).toBe(0);
    expect(run).toMatchObject({ calls: { succeeded: 1, truncated: 1 } });
    expect(lab.server.requests).toHaveLength(1);
  });

  test("understands the answers of a mock that others have written", async () => {
    const mock = new LLMock({ port: 0, host: "127.0.0.1" });
    const usage = { promptTokenCount: 9, candidatesTokenCount: 3 };
    mock.onMessage(/Guten Morgen/, { content: "Good morning.", reasoning: "Let me see.", usage });
    mock.onMessage(/Gute Nacht/, { content: "Good", finishReason: "length", usage });
    mock.onMessage(/Verboten/, { content: "No", finishReason: "content_filter", usage });
    mock.onMessage(/Falsch/, { error: { message: "Bad", type: "INVALID_ARGUMENT" }, status: 400 });
    await mock.start();
    try {
      const data = ["Guten Morgen", "Gute Nacht", "Verboten", "Falsch"].map((input) => ({ input }));
      await using lab = await openLab({ config: { ...asking(), concurrency: 1 }, data });
      const env = { ...environmentFor(lab.server), GEMINI_BASE_URL: `${mock.url}/v1beta` };
      const { code, run, stderr } = await lab.runConfig([], env);
      expect(code, stderr).toBe(1);
      expect(run).toMatchObject({
        calls: { succeeded: 2, failed: 2, truncated: 1 },
        tokens: { prompt: 27, completion: 9, estimated: false },
      });
      const responses = (await lab.dataset()).tasks.flatMap((task) => task.responses);
      expect(responses).toEqual(["Good morning.", "Good", null, null]);
      expect(lab.query("select outcome, http_status from attempts order by id")).toEqual([
        { outcome: "succeeded", http_status: 200 },
        { outcome: "succeeded", http_status: 200 },
        { outcome: "content_filter", http_status: 200 },
        { outcome: "bad_request", http_status: 400 },
      ]);
    } finally {
      await mock.stop();
    }
  });
});

describe.concurrent("batches of the Gemini API", () => {
  test("go up in parts, to the server itself", async () => {
    await using server = await startServer({});
    await using folder = await mkdtempDisposable(join(tmpdir(), "datagen-gemini-"));
    const path = join(folder.path, "requests.jsonl");
    const content = "The fake says that the parts go to another host.\n".repeat(400_000);
    await writeFile(path, content);
    const provider = await gemini.batches!.connect(connectionTo(server, "gemini"), "unused");
    const id = await provider.upload!(path, "requests.jsonl", new AbortController().signal);
    const [stored] = server.files;
    expect(stored).toMatchObject({ id, name: "requests.jsonl", bytes: content.length });
    expect((await readFile(stored!.path, "utf8")) === content).toBe(true);
    const asked = server.batchRequests.map(({ operation, method }) => `${method} ${operation}`);
    expect(asked).toEqual(["POST beginUpload", "POST upload", "POST upload", "POST upload"]);
  });

  test.for([
    [{ "x-goog-upload-url": "::::", "x-goog-upload-status": "active" }],
    [{ "x-goog-upload-url": "/upload/x", "x-goog-upload-status": "active" }],
    [{}],
  ])("that answer an upload with what the SDK cannot use are told so: %j", async ([headers]) => {
    const http = createServer(
      (request, response) => void request.resume().on("end", () => response.writeHead(200, headers).end()),
    );
    await once(http.listen({ port: 0, host: "127.0.0.1" }), "listening");
    onTestFinished(() => http.close().closeAllConnections());
    await using folder = await mkdtempDisposable(join(tmpdir(), "datagen-gemini-"));
    const path = join(folder.path, "requests.jsonl");
    await writeFile(path, "{}\n");
    const baseUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const provider = await gemini.batches!.connect(connectionTo({} as LoopbackServer, "gemini", { baseUrl }), "unused");
    expect(await failure(provider.upload!(path, "a.jsonl", new AbortController().signal))).toMatchObject({
      reason: "malformed",
    });
  });

  test("are completed though they give no file, and have no id with the key in it", () => {
    const batch = (name: string, responsesFile?: string) => ({
      name,
      metadata: { state: "BATCH_STATE_SUCCEEDED", ...(responsesFile && { output: { responsesFile } }) },
    });
    expect(readBatch(batch("batches/a"), KEY)).toMatchObject({ status: "completed", outputFileId: null });
    const withStats = (batchStats: object) =>
      readBatch({ ...batch("a"), name: "batches/a", metadata: { state: "BATCH_STATE_SUCCEEDED", batchStats } }, KEY);
    expect(withStats({ requestCount: "2", failedRequestCount: "2" }).counts).toEqual({
      total: 2,
      completed: 0,
      failed: 2,
    });
    // Counts that lag behind do not say that nothing was answered.
    expect(withStats({ requestCount: "2", pendingRequestCount: "2" }).counts).toBeNull();
    expect(() => readBatch(batch(`batches/${KEY}`), KEY)).toThrow(/did not answer with a batch/);
    expect(() => readBatch(batch("batches/a", `files/${KEY}`), KEY)).toThrow(/did not answer with a file/);
  });

  test("have ids that lead nowhere else", async () => {
    await using server = await startServer({});
    const provider = await gemini.batches!.connect(connectionTo(server, "gemini"), "unused");
    const { signal } = new AbortController();
    for (const id of ["batches/../files/a", "files/a?key=b", "https://elsewhere.invalid/files/a", ""]) {
      expect(await failure(provider.get(id, signal))).toMatchObject({ reason: "bad_request" });
      expect(await failure(provider.remove(id, signal))).toMatchObject({ reason: "bad_request" });
    }
    expect(server.batchRequests).toEqual([]);
  });
});
