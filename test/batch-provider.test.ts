import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { batchesOf, checkBatches } from "../src/app/run/batches.ts";
import { readBatch, readResult } from "../src/providers/batch-protocol.ts";
import { providers } from "../src/providers/index.ts";
import type { BatchProvider } from "../src/providers/batch.ts";
import type { FailureReason } from "../src/providers/provider.ts";
import { workspace } from "./support/harness.ts";
import {
  batchesLab,
  ended,
  failure,
  KEY,
  MODEL,
  requests,
  resultsOf,
  signal,
  submission,
  submit,
} from "./support/provider-batches.ts";

test("lines end with line feeds alone, and keep characters that arrive in two pieces", async () => {
  const lab = await batchesLab("openai");
  const lines = [`a\u2028b\u0085c`, "😀".repeat(50_000), `x${"😀".repeat(50_000)}`, "last"];
  const path = await lab.space.write("a.jsonl", `${lines[0]}\n\n${lines.slice(1).join("\n")}`);
  const fileId = await lab.batches.upload!(path, "a.jsonl", signal);
  const read: string[] = [];
  for await (const line of lab.batches.lines(fileId, 100_000, signal)) read.push(line);
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

describe("a file of results that never ends", () => {
  /** The batches of a server that answers with a body that goes on for ever. */
  async function endless(piece: string, everyMs: number): Promise<BatchProvider> {
    const server = createServer((_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(piece), everyMs);
      response.on("close", () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => server.close().closeAllConnections());
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    const connection = { model: MODEL, baseUrl, apiKey: KEY, isTrusted: true, maxAnswerBytes: 1_000 };
    return await batchesOf("openai").connect(connection, "unused");
  }

  async function read(batches: BatchProvider, onLine: () => void = () => {}): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of batches.lines("file-1", 20, signal)) {
      lines.push(line);
      onLine();
    }
    return lines;
  }

  test.for(["\n", "x", "x".repeat(999) + "\n"])("ends once it is longer than its answers can be: %j", async (piece) => {
    const batches = await endless(piece.repeat(50_000 / piece.length), 1);
    expect(await failure(read(batches))).toMatchObject({
      reason: "bad_request",
      message: "the file of results has more than 330000 bytes",
    });
  });

  test("ends after hours, however slowly it comes", async () => {
    const batches = await endless("x\n", 20);
    const { setTimeout: real } = globalThis;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    let isFirst = true;
    const reading = read(batches, () => {
      if (isFirst) real(() => vi.advanceTimersByTime(6 * 3_600_000), 1);
      isFirst = false;
    });
    expect(await failure(reading)).toMatchObject({
      message: "the results at /files/file-1/content did not end in 6 hours",
    });
  });
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
  expect(await batches.find(submission("ours.jsonl"), signal)).toEqual({ fileId: null, batch: null });
  expect(asked).toBe(2 * (ids.length + 1));
});

function caught(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe("a batch that is not as documented", () => {
  test("an unknown state counts as unfinished; empty ids of files count as missing", () => {
    const batch = { id: "b", status: "DAYDREAMING", output_file_id: "", error_file_id: "", error: "", progress: 40 };
    expect(readBatch(batch, undefined)).toEqual({
      id: "b",
      status: "in_progress",
      unknownStatus: "daydreaming",
      dueAt: null,
      counts: null,
      progress: 0.4,
      outputFileId: null,
      errorFileId: null,
      error: null,
      failure: null,
      isTokenLimit: false,
    });
  });

  test.for([
    [{ error: { message: "gone", code: "nowhere" } }, { reason: "server_error", details: { code: "nowhere" } }],
    [{}, { reason: "malformed" }],
    [{ id: "" }, { reason: "malformed" }],
    [{ id: "b".repeat(1_001) }, { reason: "malformed" }],
    [{ id: "batch\n1" }, { reason: "malformed" }],
    [{ id: `batch-${KEY}` }, { reason: "malformed" }],
    [{ id: "b", output_file_id: `file-${KEY}` }, { reason: "malformed" }],
    [[], { reason: "malformed" }],
    [null, { reason: "malformed" }],
  ] as const)("%j is no batch", ([value, error]) => {
    expect(caught(() => readBatch(value, KEY))).toMatchObject(error);
  });

  test("shows no part of a key in the id of a file that is too long", () => {
    const key = `sk-${"k".repeat(160)}`;
    const batch = { id: "b", output_file_id: "f".repeat(900) + key };
    expect(caught(() => readBatch(batch, key))).toMatchObject({ message: expect.not.stringContaining("kk") as string });
  });

  test.for([
    ["canceled", "cancelled"],
    ["CANCELING", "cancelling"],
    ["rejected", "failed"],
    ["error", "failed"],
    ["succeeded", "completed"],
    ["timed_out", "expired"],
    ["queued", "in_progress"],
  ])("its state %s is %s", ([word, status]) => {
    expect(readBatch({ id: "b", status: word }, undefined)).toMatchObject({ status, unknownStatus: null });
  });

  test.for([
    [{ code: "billing_hard_limit_reached", message: "Billing hard limit has been reached" }, "no_quota"],
    [{ code: "model_not_found", message: "The model `x` does not exist" }, "model_not_found"],
    [{ code: "invalid_api_key", message: "Incorrect API key" }, "key_refused"],
    [{ code: "internal", message: "It broke." }, "server_error"],
  ] as const)("its error %j means %s", ([error, reason]) => {
    const batch = { id: "b", status: "failed", errors: { data: [error] } };
    expect(readBatch(batch, undefined)).toMatchObject({ failure: reason });
  });

  test("says when it is to end, in seconds or in words", () => {
    const dueAt = Date.UTC(2026, 0, 2);
    for (const said of [{ expires_at: dueAt / 1_000 }, { job_deadline: new Date(dueAt).toISOString() }]) {
      expect(readBatch({ id: "b", status: "in_progress", ...said }, undefined)).toMatchObject({ dueAt });
    }
    expect(readBatch({ id: "b", expires_at: "soon" }, undefined)).toMatchObject({ dueAt: null });
  });

  test("a reason that quotes the key is reported without it", () => {
    const batch = { id: "b", status: "failed", errors: { data: [{ message: `not with ${KEY}` }] } };
    expect(readBatch(batch, KEY).error).toEqual({ code: null, message: "not with [key]" });
  });
});

describe("another server with OpenAI's endpoints", () => {
  /** It reads files slowly, gives them other names, and keeps neither metadata nor counts. */
  async function gateway() {
    let isRead = false;
    const sent: string[] = [];
    const file = () => ({ id: "file-1", filename: "modified_file.jsonl", status: isRead ? "processed" : "pending" });
    const batch = { id: "batch-1", input_file_id: "file-1", status: "queued", metadata: null, output_file_id: "" };
    const answers: Record<string, () => [status: number, body: unknown]> = {
      "POST /v1/files": () => [200, file()],
      "GET /v1/files": () => [200, { data: [file()] }],
      "GET /v1/files/file-1": () => [200, file()],
      "POST /v1/batches": () => (isRead ? [200, batch] : [400, { error: { message: "The file is not ready." } }]),
      "GET /v1/batches": () => [200, { data: [batch] }],
    };
    const http = createServer((request, response) => {
      const path = `${request.method} ${request.url?.split("?")[0]}`;
      sent.push(path);
      const [status, body] = answers[path]?.() ?? [404, {}];
      request.resume().on("end", () => {
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      });
    });
    http.listen({ port: 0, host: "127.0.0.1" });
    await once(http, "listening");
    onTestFinished(() => {
      http.closeAllConnections();
      http.close();
    });
    const baseUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1`;
    const { space, batches } = await batchesLab("openai", {}, { baseUrl });
    return { space, batches, sent, read: () => (isRead = true) };
  }

  test("takes a batch once it has read the file", async () => {
    const { space, batches, read } = await gateway();
    const path = await space.write("a.jsonl", "{}\n");
    const id = await batches.upload!(path, "a.jsonl", signal);
    const options = { endpoint: "chat" as const, name: "a.jsonl" };
    const early = await failure(batches.create(id, options, signal));
    expect(early).toMatchObject({ reason: "server_error", details: { httpStatus: 400 } });
    expect(early.message).toBe("the server still reads the file of the batch: The file is not ready.");
    read();
    expect(await batches.create(id, options, signal)).toMatchObject({
      id: "batch-1",
      status: "in_progress",
      counts: null,
      outputFileId: null,
    });
  });

  test("has a batch that is found by its file, and is asked for one batch to see that it has any", async () => {
    const { batches, sent } = await gateway();
    await batches.probe(signal);
    expect(sent).toEqual(["GET /v1/batches"]);
    expect((await batches.find(submission("a.jsonl"), signal)).batch).toBeNull();
    const found = await batches.find(submission("a.jsonl", "file-1"), signal);
    expect(found).toMatchObject({ fileId: "file-1", batch: { id: "batch-1" } });
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

  test.for([
    { body: answer },
    { status_code: "200", body: answer },
    { status_code: 0, body: JSON.stringify(answer) },
    answer,
  ])("an answer without a status is one: %j", (response) => {
    const line = JSON.stringify({ custom_id: "a", response });
    expect(readResult(line, MODEL, undefined)).toMatchObject({ completion: { text: "yes", httpStatus: 200 } });
  });

  test("a number is accepted as an id, and the name of another model is reported", () => {
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
    const path = await space.write("wave.jsonl", all.map((one) => `${first.line(one, "wave.jsonl")}\n`).join(""));
    expect(await first.find(submission("wave.jsonl"), signal)).toEqual({ fileId: null, batch: null });
    const fileId = await first.upload!(path, "wave.jsonl", signal);
    await rm(path);
    expect(await (await connect(folder)).find(submission("wave.jsonl"), signal)).toEqual({ fileId, batch: null });
    const created = await (await connect(folder)).create(fileId, { endpoint: "chat", name: "wave.jsonl" }, signal);
    expect(created.status).toBe("in_progress");
    expect(await (await connect(folder)).find(submission("wave.jsonl"), signal)).toEqual({ fileId, batch: created });
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

  test("a missing batch is reported as missing", async () => {
    await using space = await workspace();
    const batches = await connect(space.at("batches"));
    expect(await failure(batches.get("none.batch", signal))).toMatchObject({ details: { httpStatus: 404 } });
    expect(batches.result("nonsense")).toMatchObject({ customId: null, error: { reason: "malformed" } });
  });

  test("a missing or damaged file of it is reported as such", async () => {
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
      expect(await failure(batches.upload!(path, id, signal))).toMatchObject(refused);
      expect(await failure(batches.find(submission(id.slice(0, -6)), signal))).toMatchObject(refused);
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
  expect(() => checkBatches({ provider: "offline", settings, baseUrls: [] })).toThrow("offline takes no batches");
});
