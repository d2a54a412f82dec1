import { getEventListeners } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { batchesOf, checkBatches } from "../src/app/run/batches.ts";
import type { Parameters } from "../src/config/parameters.ts";
import type { Endpoint } from "../src/config/schema.ts";
import { type Prompt, promptText } from "../src/models/prompt.ts";
import type { BatchProvider, BatchRequest, BatchResult, BatchState } from "../src/providers/batch.ts";
import { readBatch, readResult } from "../src/providers/batch-protocol.ts";
import { providers } from "../src/providers/index.ts";
import { CallError, type FailureReason } from "../src/providers/provider.ts";
import type { Connection } from "../src/providers/provider-info.ts";
import { rows, workspace } from "./support/harness.ts";
import {
  answerTo,
  type Asked,
  type BatchFault,
  type Fault,
  type LoopbackServer,
  promptHashOf,
  type ServerOptions,
  startServer,
  TOKEN_LIMIT,
  usageFor,
} from "./support/server.ts";

const KEY = "sk-proj-batches-0123456789abcdef";
const MODEL = "gpt-4o-mini";
const REMOTE = ["openai", "together"] as const;
type Remote = (typeof REMOTE)[number];

const signal = new AbortController().signal;

/** A server, a folder, and the batches of a provider; all are removed when the test ends. */
async function setUp(name: Remote, options: ServerOptions = {}, more: Partial<Connection> = {}) {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const server = stack.use(await startServer(options));
  const space = stack.use(await workspace());
  const batches = await batchesOf(name).connect(connectionTo(server, name, more), space.at("batches"));
  return { server, space, batches };
}

function connectionTo(server: LoopbackServer, name: Remote, more: Partial<Connection> = {}): Connection {
  return {
    model: MODEL,
    baseUrl: server[`${name}Url`],
    apiKey: KEY,
    isTrusted: true,
    maxAnswerBytes: 8_000_000,
    ...more,
  };
}

/** A prompt of one user message. */
const userPrompt = (text: string): Prompt => ({ messages: [{ role: "user", content: text }], pieces: [text] });

const PARAMETERS = { max_tokens: 200, temperature: 0.7 };

function requests(count: number, more: Partial<BatchRequest> = {}): BatchRequest[] {
  return rows(count).map(({ input }, index) => ({
    customId: `c${index}`,
    endpoint: "chat",
    model: MODEL,
    prompt: userPrompt(input),
    parameters: PARAMETERS,
    ...more,
  }));
}

const askedBy = (provider: Remote, { prompt, endpoint }: BatchRequest): Asked => ({
  provider,
  endpoint,
  model: MODEL,
  prompt: promptText(prompt),
  ...PARAMETERS,
});

/** Writes the requests to a file, sends it, and creates its batch. */
async function submit(
  { batches, space }: Pick<Awaited<ReturnType<typeof setUp>>, "batches" | "space">,
  all: BatchRequest[],
  name = "wave-1.jsonl",
): Promise<BatchState> {
  const path = await space.write(name, all.map((request) => `${batches.line(request)}\n`).join(""));
  const fileId = await batches.upload(path, name, signal);
  return batches.create(fileId, { endpoint: all[0]?.endpoint ?? "chat", name }, signal);
}

/** Looks at a batch until it has ended. */
async function ended(batches: BatchProvider, id: string): Promise<BatchState> {
  for (;;) {
    const state = await batches.get(id, signal);
    if (["completed", "failed", "expired", "cancelled"].includes(state.status)) return state;
  }
}

async function resultsOf(batches: BatchProvider, fileId: string | null): Promise<BatchResult[]> {
  const results: BatchResult[] = [];
  if (fileId !== null) for await (const line of batches.lines(fileId, signal)) results.push(batches.result(line));
  return results;
}

const textsOf = (results: BatchResult[]) =>
  new Map(results.map((result) => [result.customId, "completion" in result ? result.completion.text : null]));

/** The error that something ends with. */
async function failure(work: Promise<unknown>): Promise<CallError> {
  const error: unknown = await work.then(
    () => expect.fail("it did not fail"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(CallError);
  return error as CallError;
}

function caught(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe.concurrent.each(REMOTE)("batches of %s", (name) => {
  test("give every request its own answer and its usage, in whatever order they come", async () => {
    const lab = await setUp(name);
    const all = requests(60);
    const created = await submit(lab, all);
    expect(created).toMatchObject({ status: "validating", outputFileId: null, errorFileId: null, error: null });
    const state = await ended(lab.batches, created.id);
    expect(state).toMatchObject({ id: created.id, status: "completed", progress: 1, errorFileId: null });
    expect(state.counts).toEqual(name === "openai" ? { total: 60, completed: 60, failed: 0 } : null);
    const results = await resultsOf(lab.batches, state.outputFileId);
    expect(results.map(({ customId }) => customId)).not.toEqual(all.map(({ customId }) => customId));
    expect(textsOf(results)).toEqual(new Map(all.map((one) => [one.customId, answerTo(askedBy(name, one))])));
    const usage = usageFor(askedBy(name, all[7]!));
    expect(results.find(({ customId }) => customId === "c7")).toMatchObject({
      completion: {
        finishReason: expect.stringMatching(/^(stop|eos)$/),
        httpStatus: 200,
        requestId: expect.any(String),
        rateLimits: null,
        usage: {
          promptTokens: usage.prompt,
          completionTokens: usage.completion,
          cachedTokens: usage.cached,
          reasoningTokens: usage.reasoning,
        },
      },
    });
    expect(lab.server.batchRequests.every(({ authorization }) => authorization === `Bearer ${KEY}`)).toBe(true);
    expect(lab.server.strays).toEqual([]);
  });

  test("show every state on the way", async () => {
    const states = ["validating", "in_progress", "finalizing"] as const;
    const lab = await setUp(name, { behaveBatch: () => ({ states: [...states] }) });
    const { id } = await submit(lab, requests(4));
    const seen = [];
    for (let look = 0; look < 5; look += 1) seen.push((await lab.batches.get(id, signal)).status);
    const finalizing = name === "openai" ? "finalizing" : "in_progress";
    expect(seen).toEqual(["validating", "in_progress", finalizing, "completed", "completed"]);
  });

  test("leave what they did not come to when they expire to be asked again, and charge nothing for it", async () => {
    const lab = await setUp(name, { behaveBatch: () => ({ expiresAfter: 0.5 }) });
    const { id } = await submit(lab, requests(20));
    const state = await ended(lab.batches, id);
    expect(state).toMatchObject({ status: "expired", error: null, isTokenLimit: false });
    const done = await resultsOf(lab.batches, state.outputFileId);
    const others = await resultsOf(lab.batches, state.errorFileId);
    expect(done).toHaveLength(10);
    // Together does not say that it writes a line for them.
    expect(others).toHaveLength(name === "openai" ? 10 : 0);
    for (const result of others) {
      expect(result).toMatchObject({
        error: { reason: "not_processed", details: { code: "batch_expired", usage: null } },
      });
    }
    expect(new Set([...done, ...others].map(({ customId }) => customId)).size).toBe(done.length + others.length);
    expect(lab.server.served.answers).toBe(10);
  });

  test("say why one failed whole", async () => {
    const lab = await setUp(name);
    const twice = requests(3, { customId: "same" });
    const { id } = await submit(lab, twice);
    const state = await ended(lab.batches, id);
    expect(state).toMatchObject({ status: "failed", isTokenLimit: false, outputFileId: null, errorFileId: null });
    expect(state.error).toEqual(
      name === "openai"
        ? { code: "duplicate_custom_id", message: "line 2: The custom_id 'same' was used before. (and 1 more)" }
        : { code: null, message: "line 2: The custom_id 'same' was used before." },
    );
  });

  test("tell a limit of waiting tokens from other failures", async () => {
    const lab = await setUp(name, { behaveBatch: () => ({ fails: [TOKEN_LIMIT] }) });
    const { id } = await submit(lab, requests(1));
    expect(await ended(lab.batches, id)).toMatchObject({
      status: "failed",
      isTokenLimit: true,
      error: { message: TOKEN_LIMIT.message },
    });
  });

  test("can be cancelled, which gives what was done; one that has ended stays as it is", async () => {
    const lab = await setUp(name);
    const { id } = await submit(lab, requests(20));
    const { status } = await lab.batches.cancel(id, signal);
    expect(status).toBe(name === "openai" ? "cancelling" : "cancelled");
    const state = await ended(lab.batches, id);
    expect(state.status).toBe("cancelled");
    expect(await resultsOf(lab.batches, state.outputFileId)).toHaveLength(10);
    for (const result of await resultsOf(lab.batches, state.errorFileId)) {
      expect(result).toMatchObject({ error: { reason: "not_processed", details: { code: "batch_cancelled" } } });
    }
    expect(await lab.batches.cancel(id, signal)).toEqual(state);
  });

  test("a file above the provider's limit is refused", async () => {
    const lab = await setUp(name, { limits: { bytes: 500, lines: 2 } });
    expect(await failure(submit(lab, requests(5)))).toMatchObject({
      reason: "file_too_large",
      details: { httpStatus: 413 },
    });
    lab.server.limits = { lines: 2 };
    const { id } = await submit(lab, requests(3), "wave-2.jsonl");
    expect((await ended(lab.batches, id)).error?.message).toContain("the limit is 2");
  });

  const CONTENTS: Fault["kind"][] = ["empty", "null", "reasoningOnly", "contentFilter", "refusal", "noChoices"];
  const GOOD: Fault["kind"][] = ["length", "noUsage"];
  const STATUSES = [
    { status: 400 },
    { status: 400, code: "context_length_exceeded" },
    { status: 400, code: "content_policy_violation" },
    { status: 404 },
    { status: 429 },
    { status: 429, code: "insufficient_quota" },
    { status: 500 },
  ];
  const FAULTS = [
    ...[...CONTENTS, ...GOOD].map((kind) => ({ kind }) as Fault),
    ...STATUSES.map((parts): Fault => ({ kind: "status", ...parts })),
  ];

  test.for(FAULTS)("read %j as a live answer is read", async (fault) => {
    const lab = await setUp(name, { behave: () => fault });
    const [request] = requests(1) as [BatchRequest];
    const live = await providers[name].connect(connectionTo(lab.server, name));
    const wanted = await live.complete({ ...request, timeoutMs: 5_000 }).then(
      (completion) => ({ completion }),
      (error: unknown) => ({ error: error as CallError }),
    );
    const state = await ended(lab.batches, (await submit(lab, [request])).id);
    const [result] = await resultsOf(lab.batches, state.outputFileId ?? state.errorFileId);
    expect(result?.customId).toBe("c0");
    if ("completion" in wanted) {
      expect(result).toMatchObject({ completion: { ...wanted.completion, requestId: expect.any(String) } });
      return;
    }
    const { reason, message, details } = wanted.error;
    const known = { code: details.code, usage: details.usage };
    // Together's lines of errors have no status, and no more than the words to tell what went wrong.
    const isKnown = name === "openai" || fault.kind !== "status";
    expect(result).toMatchObject({
      error: isKnown
        ? { reason, message, details: { ...known, httpStatus: details.httpStatus } }
        : { reason, message, details: { httpStatus: null } },
    });
  });

  test("a request that timed out, or that got no answer for other reasons, can be sent again", async () => {
    const codes = ["request_timeout", "server_error", "batch_expired"];
    const lab = await setUp(name, {
      behaveLine: ({ customId }) => ({ kind: "noResponse", code: codes[Number(customId!.slice(1))]! }),
    });
    const state = await ended(lab.batches, (await submit(lab, requests(3))).id);
    const results = await resultsOf(lab.batches, state.errorFileId);
    const reasons = new Map(results.map((one) => [one.customId, "error" in one && one.error.reason]));
    expect(reasons).toEqual(
      new Map([
        ["c0", "timeout"],
        ["c1", "server_error"],
        ["c2", "not_processed"],
      ]),
    );
  });

  test("a line that was cut off is reported, with its id where it has one", async () => {
    const lab = await setUp(name, { behaveLine: () => ({ kind: "malformed" }) });
    const state = await ended(lab.batches, (await submit(lab, requests(1))).id);
    expect(await resultsOf(lab.batches, state.outputFileId)).toMatchObject([
      { customId: "c0", error: { reason: "malformed" } },
    ]);
  });
});

describe.concurrent.each(REMOTE)("a line of %s", (name) => {
  const SETTINGS: [model: string, endpoint: Endpoint, parameters: Parameters][] = [
    ["gpt-4o-mini", "chat", PARAMETERS],
    ["o3-mini", "chat", { max_tokens: 99, temperature: 0.2, stop: ["x"], extra_body: { reasoning_effort: "low" } }],
    ["davinci-002", "completions", { max_tokens: 5, seed: 7 }],
    ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "chat", { extra_body: { top_k: 4 }, top_p: 0.5 }],
  ];

  test.for(SETTINGS.filter(([, endpoint]) => batchesOf(name).endpoints.includes(endpoint)))(
    "asks %s for the same as a live request does",
    async ([model, endpoint, parameters]) => {
      const lab = await setUp(name, { keepBodies: true }, { model });
      const prompt = userPrompt('Grüße \u2028 \ud800 \u0000 "x"\n');
      const live = await providers[name].connect(connectionTo(lab.server, name));
      await live.complete({ endpoint, model, prompt, parameters, timeoutMs: 5_000 });
      const line = lab.batches.line({ customId: "a-1", endpoint, model, prompt, parameters });
      expect(line).not.toContain("\n");
      const { custom_id, body, ...envelope } = JSON.parse(line) as Record<string, unknown>;
      const { stream, ...asked } = lab.server.requests[0]!.body!;
      expect({ custom_id, body, stream }).toEqual({ custom_id: "a-1", body: asked, stream: false });
      const url = `/v1/${endpoint === "chat" ? "chat/completions" : "completions"}`;
      expect(envelope).toEqual(name === "openai" ? { method: "POST", url } : {});
    },
  );

  test("keeps its characters on the way to the provider", async () => {
    const lab = await setUp(name);
    const prompt = "Zeile\u2028Zeile\u0085 \ud800 „Straße“ 😀\r\n";
    const [request] = requests(1, { prompt: userPrompt(prompt) }) as [BatchRequest];
    await ended(lab.batches, (await submit(lab, [request])).id);
    expect(lab.server.batches[0]!.lines).toMatchObject([{ customId: "c0", promptHash: promptHashOf(prompt) }]);
  });
});

describe.concurrent.each(REMOTE)("a submission to %s that may or may not have arrived", (name) => {
  const nothing = { fileId: null, batch: null };

  test("is not found where it did not", async () => {
    const lab = await setUp(name, {
      behaveApi: ({ operation }) => (operation === "upload" ? { kind: "reset" } : undefined),
    });
    expect(await failure(submit(lab, requests(2)))).toMatchObject({ reason: "connection" });
    expect(await lab.batches.find("wave-1.jsonl", signal)).toEqual(nothing);
  });

  test.for<BatchFault["kind"]>(["reset", "close", "half", "status"])(
    "is found by its name where the answer to the upload was lost: %s",
    async (kind) => {
      const fault = { kind, status: 500, isTaken: true } as BatchFault;
      const lab = await setUp(name, {
        behaveApi: ({ nth, operation }) => (operation === "upload" && nth === 2 ? fault : undefined),
      });
      await submit(lab, requests(2), "other.jsonl");
      await failure(submit(lab, requests(2)));
      const fileId = lab.server.files[1]!.id;
      expect(await lab.batches.find("wave-1.jsonl", signal)).toEqual({ fileId, batch: null });
      const { id } = await lab.batches.create(fileId, { endpoint: "chat", name: "wave-1.jsonl" }, signal);
      expect((await ended(lab.batches, id)).status).toBe("completed");
    },
  );

  test.for<BatchFault["kind"]>(["reset", "close", "half", "status"])(
    "is found with its batch where the answer to that was lost: %s",
    async (kind) => {
      const fault = { kind, status: 503, isTaken: true } as BatchFault;
      const lab = await setUp(name, {
        behaveApi: ({ nth, operation }) => (operation === "create" && nth === 1 ? fault : undefined),
      });
      await failure(submit(lab, requests(2)));
      await submit(lab, requests(2), "other.jsonl");
      const found = await lab.batches.find("wave-1.jsonl", signal);
      expect(found).toMatchObject({ fileId: lab.server.files[0]!.id, batch: { id: lab.server.batches[0]!.id } });
      expect(await lab.batches.find("wave-3.jsonl", signal)).toEqual(nothing);
    },
  );

  test.for(["listFiles", "listBatches"] as const)("is not taken as lost where %s gives no list", async (list) => {
    const lab = await setUp(name, {
      behaveApi: ({ operation }) => (operation === list ? { kind: "status", status: 200, message: "Busy" } : undefined),
    });
    await submit(lab, requests(1));
    expect(await failure(lab.batches.find("wave-1.jsonl", signal))).toMatchObject({
      message: expect.stringContaining("Busy"),
    });
  });

  test("is found among hundreds of newer ones", async () => {
    const lab = await setUp(name);
    const first = await submit(lab, requests(1), "first.jsonl");
    const [file] = lab.server.files;
    for (let more = 0; more < 230; more += 1)
      await lab.batches.create(file!.id, { endpoint: "chat", name: `n${more}` }, signal);
    // Together's batches are told apart by their files alone.
    const wanted = name === "openai" ? first.id : lab.server.batches.at(-1)!.id;
    expect((await lab.batches.find("first.jsonl", signal)).batch?.id).toBe(wanted);
  });
});

describe.concurrent.each(REMOTE)("what goes wrong with %s", (name) => {
  const FAULTS: [BatchFault, object][] = [
    [
      { kind: "status", status: 429, headers: { "retry-after": "7" } },
      { reason: "rate_limited", details: { httpStatus: 429, retryAfterMs: 7_000 } },
    ],
    [
      { kind: "status", status: 500 },
      { reason: "server_error", details: { httpStatus: 500 } },
    ],
    [{ kind: "status", status: 401 }, { reason: "key_refused" }],
    [{ kind: "status", status: 404, code: null, message: "Not here" }, { details: { httpStatus: 404 } }],
    [
      { kind: "html", status: 200 },
      { reason: "malformed", message: expect.stringContaining("HTML") },
    ],
    [{ kind: "reset" }, { reason: "connection", details: { code: "ECONNRESET" } }],
    [{ kind: "half" }, { reason: "connection" }],
  ];

  test.for(FAULTS)("%j is told as that of a live request", async ([fault, error]) => {
    const lab = await setUp(name, { behaveApi: () => fault });
    const path = await lab.space.write("a.jsonl", "{}\n");
    const asked = [
      lab.batches.upload(path, "a.jsonl", signal),
      lab.batches.create("file-1", { endpoint: "chat", name: "a.jsonl" }, signal),
      lab.batches.find("a.jsonl", signal),
      lab.batches.get("batch-1", signal),
    ];
    for (const one of await Promise.all(asked.map(failure))) expect(one).toMatchObject(error);
  });

  test("an error that quotes the key is told without it", async () => {
    const message = `${"x".repeat(990)} ${KEY} is no key`;
    const lab = await setUp(name, { behaveApi: () => ({ kind: "status", status: 401, message, code: KEY }) });
    const error = await failure(lab.batches.get("batch-1", signal));
    expect(JSON.stringify([error.message, error.details])).not.toContain("sk-proj");
  });

  test("a server that is away", async () => {
    const lab = await setUp(name);
    await lab.server.goDown();
    const error = await failure(lab.batches.get("batch-1", signal));
    expect(error).toMatchObject({ reason: "connection", details: { code: "ECONNREFUSED" } });
    expect(error.message).toContain("127.0.0.1");
  });

  test("a download whose connection breaks", async () => {
    const lab = await setUp(name);
    const state = await ended(lab.batches, (await submit(lab, requests(40))).id);
    lab.server.behaveApi = () => ({ kind: "half" });
    let lines = 0;
    const reading = async () => {
      for await (const _ of lab.batches.lines(state.outputFileId!, signal)) lines += 1;
    };
    expect(await failure(reading())).toMatchObject({ reason: "connection" });
    expect(lines).toBeGreaterThan(0);
  });

  test.for(["upload", "get", "content"] as const)("a %s that is aborted ends with the reason", async (operation) => {
    const abort = new AbortController();
    const reason = new Error("stop");
    const lab = await setUp(name, {
      behaveApi: (request) => {
        expect(request.operation).toBe(operation);
        abort.abort(reason);
        return { kind: "hang" };
      },
    });
    const path = await lab.space.write("a.jsonl", "{}\n");
    const work = {
      upload: () => lab.batches.upload(path, "a.jsonl", abort.signal),
      get: () => lab.batches.get("batch-1", abort.signal),
      content: async () => {
        for await (const line of lab.batches.lines("file-1", abort.signal)) expect.fail(line);
      },
    };
    await expect(work[operation]()).rejects.toBe(reason);
  });

  test("requests leave nothing behind on the signal that they are given", async () => {
    const lab = await setUp(name);
    const own = new AbortController().signal;
    const path = await lab.space.write("a.jsonl", "{}\n");
    const fileId = await lab.batches.upload(path, "a.jsonl", own);
    await lab.batches.find("b.jsonl", own);
    await failure(lab.batches.get("none", own));
    for await (const line of lab.batches.lines(fileId, own)) expect(line).toBe("{}");
    expect(getEventListeners(own, "abort")).toEqual([]);
  });

  test("a reader that stops early leaves no connection open", async () => {
    const lab = await setUp(name);
    const path = await lab.space.write("a.jsonl", `${"x".repeat(1_000)}\n`.repeat(20_000));
    const fileId = await lab.batches.upload(path, "a.jsonl", signal);
    for await (const line of lab.batches.lines(fileId, signal)) {
      expect(line).toHaveLength(1_000);
      break;
    }
    await vi.waitFor(() => expect(lab.server.inFlight).toBe(0));
  });
});

test("lines end with line feeds alone, and keep characters that arrive in two pieces", async () => {
  const lab = await setUp("openai");
  const lines = [`a\u2028b\u0085c`, "😀".repeat(50_000), `x${"😀".repeat(50_000)}`, "last"];
  const path = await lab.space.write("a.jsonl", `${lines[0]}\n\n${lines.slice(1).join("\n")}`);
  const fileId = await lab.batches.upload(path, "a.jsonl", signal);
  const read: string[] = [];
  for await (const line of lab.batches.lines(fileId, signal)) read.push(line);
  expect(read).toEqual(lines);
});

test("files go through the proxy of the environment", async () => {
  const targets: string[] = [];
  const proxy = createServer().on("connect", ({ url }: IncomingMessage, socket: Duplex) => {
    targets.push(url ?? "");
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  await new Promise<void>((resolve) => void proxy.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void proxy.close());
  vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const connection = {
    model: MODEL,
    baseUrl: "https://batches.invalid/v1",
    apiKey: KEY,
    isTrusted: true,
    maxAnswerBytes: 1_000,
  };
  const batches = await batchesOf("openai").connect(connection, "unused");
  expect(await failure(batches.get("batch-1", signal))).toMatchObject({ reason: "connection" });
  expect(targets).toEqual(["batches.invalid:443"]);
});

test.for([["a"], ["a", "b"], ["a", "b", "c"]])("a list whose pages come again and again ends: %j", async (ids) => {
  let asked = 0;
  const server = createServer((_, response) => {
    const id = ids[asked % ids.length];
    asked += 1;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ data: [{ id, filename: "other.jsonl" }], has_more: true }));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => server.close().closeAllConnections());
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const connection = { model: MODEL, baseUrl, apiKey: KEY, isTrusted: true, maxAnswerBytes: 8_000_000 };
  const batches = await batchesOf("openai").connect(connection, "unused");
  expect(await batches.find("ours.jsonl", signal)).toEqual({ fileId: null, batch: null });
  expect(asked).toBe(2 * (ids.length + 1));
});

describe("a batch that is not as documented", () => {
  test("a state that is not known is one that goes on; empty ids of files are none", () => {
    const batch = { id: "b", status: "QUEUED", output_file_id: "", error_file_id: "", error: "", progress: 40 };
    expect(readBatch(batch, undefined)).toEqual({
      id: "b",
      status: "in_progress",
      counts: null,
      progress: 0.4,
      outputFileId: null,
      errorFileId: null,
      error: null,
      isTokenLimit: false,
    });
  });

  test.for([
    [{ error: { message: "gone", code: "nowhere" } }, { reason: "server_error", details: { code: "nowhere" } }],
    [{}, { reason: "malformed" }],
    [[], { reason: "malformed" }],
    [null, { reason: "malformed" }],
  ] as const)("%j is no batch", ([value, error]) => {
    expect(caught(() => readBatch(value, undefined))).toMatchObject(error);
  });

  test("a reason that quotes the key is told without it", () => {
    const batch = { id: "b", status: "failed", errors: { data: [{ message: `not with ${KEY}` }] } };
    expect(readBatch(batch, KEY).error).toEqual({ code: null, message: "not with [key]" });
  });
});

describe("a line of results that is not as documented", () => {
  const answer = { choices: [{ message: { content: "yes" }, finish_reason: "stop" }] };
  test.for<[text: string, customId: string | null, reason: FailureReason]>([
    ["nonsense", null, "malformed"],
    ["[]", null, "malformed"],
    ['{"response": {}}', null, "malformed"],
    ['{"custom_id": "a\\"b", "response": {"status_code": 200, "bo', 'a"b', "malformed"],
    ['{"custom_id": "a", "response": null, "error": null}', "a", "malformed"],
    ['{"custom_id": "a", "response": {"status_code": 200, "body": "yes"}}', "a", "malformed"],
    ['{"custom_id": "a", "response": {"status_code": 0, "body": {}}}', "a", "server_error"],
    ['{"custom_id": "a", "response": {"status_code": 504, "body": "<html>"}}', "a", "server_error"],
    [
      '{"custom_id": "a", "response": {"status_code": 200, "body": {"error": {"message": "busy"}}}}',
      "a",
      "server_error",
    ],
    ['{"custom_id": "a", "response": {"status_code": 400, "body": {"error": "no such"}}}', "a", "bad_request"],
    ['{"custom_id": "a", "error": {"code": 429, "message": "slowly"}}', "a", "rate_limited"],
    ['{"custom_id": "a", "error": {"code": "invalid_model", "message": "Invalid model"}}', "a", "bad_request"],
    ['{"custom_id": "a", "error": {"code": "timeout", "message": "Request timeout"}}', "a", "timeout"],
    ['{"custom_id": "a", "error": "it broke"}', "a", "server_error"],
  ])("%s", ([text, customId, reason]) => {
    expect(readResult(text, MODEL, undefined)).toMatchObject({ customId, error: { reason } });
  });

  test("an id that is a number is one, and a model of another name is told", () => {
    const body = { ...answer, model: "gpt-4o-mini-2024-07-18" };
    const line = JSON.stringify({ custom_id: 7, response: { status_code: 200, body } });
    expect(readResult(line, MODEL, undefined)).toMatchObject({
      customId: "7",
      completion: { text: "yes", usage: null, servedModel: "gpt-4o-mini-2024-07-18" },
    });
  });
});

describe("batches of the offline provider", () => {
  const OFFLINE = { model: MODEL, baseUrl: null, apiKey: undefined, isTrusted: false, maxAnswerBytes: 8_000_000 };
  /** Connects anew, as after a kill. */
  const connect = (folder: string) => batchesOf("offline").connect(OFFLINE, folder);

  test("answer as the provider does live, and survive the process between any two steps", async () => {
    await using space = await workspace();
    const folder = space.at("batches");
    const all = requests(300, { parameters: { max_tokens: 12 } });
    const first = await connect(folder);
    const path = await space.write("wave.jsonl", all.map((one) => `${first.line(one)}\n`).join(""));
    expect(await first.find("wave.jsonl", signal)).toEqual({ fileId: null, batch: null });
    const fileId = await first.upload(path, "wave.jsonl", signal);
    await rm(path);
    expect(await (await connect(folder)).find("wave.jsonl", signal)).toEqual({ fileId, batch: null });
    const created = await (await connect(folder)).create(fileId, { endpoint: "chat", name: "wave.jsonl" }, signal);
    expect(created.status).toBe("in_progress");
    expect(await (await connect(folder)).find("wave.jsonl", signal)).toEqual({ fileId, batch: created });
    const state = await (await connect(folder)).get(created.id, signal);
    expect(state).toMatchObject({ status: "completed", counts: { total: 300, completed: 300, failed: 0 } });
    const batches = await connect(folder);
    expect(await batches.get(created.id, signal)).toEqual(state);
    const live = await providers.offline.connect(OFFLINE);
    const wanted = all.map(async (one) => ({
      customId: one.customId,
      completion: await live.complete({ ...one, timeoutMs: 1 }),
    }));
    expect(await resultsOf(batches, state.outputFileId)).toEqual(await Promise.all(wanted));
  });

  test("can be cancelled until they are looked at", async () => {
    await using space = await workspace();
    const batches = await connect(space.at("batches"));
    const { id } = await submit({ batches, space }, requests(3));
    const cancelled = await batches.cancel(id, signal);
    expect(cancelled).toMatchObject({ status: "cancelled", outputFileId: null });
    expect(await batches.get(id, signal)).toEqual(cancelled);
    const done = await ended(batches, (await submit({ batches, space }, requests(3), "b.jsonl")).id);
    expect(await batches.cancel(done.id, signal)).toEqual(done);
  });

  test("an abort stops the answering, and the next look does all of it", async () => {
    await using space = await workspace();
    const batches = await connect(space.at("batches"));
    const { id } = await submit({ batches, space }, requests(500));
    const abort = new AbortController();
    const reason = new Error("stop");
    const looking = batches.get(id, abort.signal);
    abort.abort(reason);
    await expect(looking).rejects.toBe(reason);
    const state = await batches.get(id, signal);
    expect(await resultsOf(batches, state.outputFileId)).toHaveLength(500);
  });

  test("a batch that is not there is told as one", async () => {
    await using space = await workspace();
    const batches = await connect(space.at("batches"));
    expect(await failure(batches.get("none.batch", signal))).toMatchObject({ details: { httpStatus: 404 } });
    expect(batches.result("nonsense")).toMatchObject({ customId: null, error: { reason: "malformed" } });
  });

  test("a file of it that is gone or damaged is told as one", async () => {
    await using space = await workspace();
    const batches = await connect(space.at("batches"));
    const { id } = await submit({ batches, space }, requests(3));
    const { outputFileId } = await ended(batches, id);
    await rm(space.at(`batches/${outputFileId}`));
    expect(await failure(resultsOf(batches, outputFileId))).toMatchObject({ details: { httpStatus: 404 } });
    await space.write(`batches/${id}`, "{");
    expect(await failure(batches.get(id, signal))).toMatchObject({ reason: "bad_request" });
  });

  test.for(["../outside", "..", "/tmp/outside-of-datagen", "a/../../outside", "a\\b", "a\u0000b", ""])(
    "no id leads out of their folder: %j",
    async (id) => {
      await using space = await workspace();
      const batches = await connect(space.at("batches"));
      const path = await space.write("outside", `{"id":"outside","status":"in_progress"}`);
      const refused = { reason: "bad_request", details: { httpStatus: null } };
      expect(await failure(batches.upload(path, id, signal))).toMatchObject(refused);
      expect(await failure(batches.find(id.slice(0, -6), signal))).toMatchObject(refused);
      expect(await failure(batches.get(id, signal))).toMatchObject(refused);
      expect(await failure(batches.cancel(id, signal))).toMatchObject(refused);
      expect(await failure(resultsOf(batches, id))).toMatchObject(refused);
    },
  );
});

test("a provider without batches says so", () => {
  const { batches } = providers.offline;
  onTestFinished(() => void (providers.offline.batches = batches));
  providers.offline.batches = null;
  const settings = { provider: "offline", base_url: null, endpoint: "chat", model: MODEL, parameters: {} } as const;
  expect(() => checkBatches({ provider: "offline", settings })).toThrow("offline takes no batches");
});
