import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import type { Parameters } from "../../src/config/parameters.ts";
import type { Endpoint } from "../../src/config/schema.ts";
import type { BatchRequest } from "../../src/providers/batch.ts";
import { providers } from "../../src/providers/index.ts";
import type { CallError } from "../../src/providers/provider.ts";
import {
  allResultsOf,
  askedBy,
  batchesLab,
  connectionTo,
  ended,
  failure,
  KEY,
  PARAMETERS,
  requests,
  resultsOf,
  send,
  signal,
  submission,
  submit,
  textsOf,
  userPrompt,
} from "../support/provider-batches.ts";
import { BATCHING, batchesOf, fakes } from "../support/providers/index.ts";
import { answerTo, type BatchFault, type Fault, promptHashOf, TOKEN_LIMIT, usageFor } from "../support/server.ts";

/** The providers that take the requests as a file, and those that look through a batch after it is created. */
const UPLOADING = BATCHING.filter((name) => batchesOf(name).upload !== null);
const VALIDATING = BATCHING.filter((name) => batchesOf(name).traits.validates);

describe.concurrent.each(BATCHING)("batches of %s", (name) => {
  const { traits } = batchesOf(name);

  test("give every request its own answer and its usage, in whatever order they come", async () => {
    const lab = await batchesLab(name);
    const all = requests(60);
    const created = await submit(lab, all);
    expect(created).toMatchObject({
      status: traits.validates ? "validating" : "in_progress",
      outputFileId: null,
      errorFileId: null,
      error: null,
    });
    const state = await ended(lab.batches, created.id);
    expect(state).toMatchObject({ id: created.id, status: "completed", progress: 1, errorFileId: null });
    expect(state.counts).toEqual(traits.counts ? { total: 60, completed: 60, failed: 0 } : null);
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
    const [, key] = fakes[name].keyHeader(KEY);
    expect(lab.server.batchRequests.every(({ authorization }) => authorization === key)).toBe(true);
    expect(lab.server.strays).toEqual([]);
  });

  test("show every state on the way", async () => {
    const states = ["validating", "in_progress", "finalizing"] as const;
    const lab = await batchesLab(name, { behaveBatch: () => ({ states: [...states] }) });
    const { id } = await submit(lab, requests(4));
    const seen = [];
    for (let look = 0; look < 5; look += 1) seen.push((await lab.batches.get(id, signal)).status);
    const validating = traits.validates ? "validating" : "in_progress";
    const finalizing = traits.showsFinalizing ? "finalizing" : "in_progress";
    expect(seen).toEqual([validating, "in_progress", finalizing, "completed", "completed"]);
  });

  test("leave what they did not come to when they expire to be asked again, and charge nothing for it", async () => {
    const lab = await batchesLab(name, { behaveBatch: () => ({ expiresAfter: 0.5 }) });
    const { id } = await submit(lab, requests(20));
    const state = await ended(lab.batches, id);
    expect(state).toMatchObject({ status: "expired", error: null, isTokenLimit: false });
    const { done, others } = await allResultsOf(lab.batches, state);
    const kept = traits.keepsExpired ? 10 : 0;
    expect(done).toHaveLength(kept);
    expect(others).toHaveLength(traits.writesUnprocessed ? 10 : 0);
    for (const result of others) {
      expect(result).toMatchObject({
        error: { reason: "not_processed", details: { code: "batch_expired", usage: null } },
      });
    }
    expect(new Set([...done, ...others].map(({ customId }) => customId)).size).toBe(done.length + others.length);
    expect(lab.server.served.answers).toBe(kept);
  });

  test("can be cancelled, which gives what was done; one that has ended stays as it is", async () => {
    const lab = await batchesLab(name);
    const { id } = await submit(lab, requests(20));
    const { status } = await lab.batches.cancel(id, signal);
    expect(status).toBe(traits.showsCancelling ? "cancelling" : "cancelled");
    const state = await ended(lab.batches, id);
    expect(state.status).toBe("cancelled");
    const { done, others } = await allResultsOf(lab.batches, state);
    expect(done).toHaveLength(10);
    for (const result of others) {
      expect(result).toMatchObject({
        error: { reason: "not_processed", details: { code: expect.stringMatching(/^batch_cancell?ed$/) } },
      });
    }
    expect(await lab.batches.cancel(id, signal)).toEqual(state);
  });

  test("a file above the provider's limit is refused", async () => {
    const lab = await batchesLab(name, { limits: { bytes: 500, lines: 2 } });
    expect(await failure(submit(lab, requests(5)))).toMatchObject({
      reason: "file_too_large",
      details: { httpStatus: 413 },
    });
    lab.server.limits = { lines: 2 };
    const sent = submit(lab, requests(3), "wave-2.jsonl");
    const why = traits.validates ? (await ended(lab.batches, (await sent).id)).error : await failure(sent);
    expect(why?.message).toContain("the limit is 2");
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
    const lab = await batchesLab(name, { behave: () => fault });
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
    // Without a status, a line of the error file has only words that tell what went wrong.
    const isKnown = traits.writesStatus || fault.kind !== "status";
    expect(result).toMatchObject({
      error: isKnown
        ? { reason, message, details: { ...known, httpStatus: details.httpStatus } }
        : { reason, message, details: { httpStatus: null } },
    });
  });

  test("a request that timed out, or that got no answer for other reasons, can be sent again", async () => {
    const codes = ["request_timeout", "server_error", "batch_expired"];
    const lab = await batchesLab(name, {
      behaveLine: ({ customId }) => ({ kind: "noResponse", code: codes[Number(customId!.slice(-1))]! }),
    });
    const state = await ended(lab.batches, (await submit(lab, requests(3))).id);
    const { others } = await allResultsOf(lab.batches, state);
    const reasons = new Map(others.map((one) => [one.customId, "error" in one && one.error.reason]));
    expect(reasons).toEqual(
      new Map([
        ["c0", "timeout"],
        ["c1", "server_error"],
        ["c2", "not_processed"],
      ]),
    );
  });

  test("a line that was cut off is reported, with its id where it has one", async () => {
    const lab = await batchesLab(name, { behaveLine: () => ({ kind: "malformed" }) });
    const state = await ended(lab.batches, (await submit(lab, requests(1))).id);
    expect(await resultsOf(lab.batches, state.outputFileId)).toMatchObject([
      { customId: "c0", error: { reason: "malformed" } },
    ]);
  });
});

describe.concurrent.each(VALIDATING)("a batch of %s that is bad", (name) => {
  const { traits } = batchesOf(name);

  test("say why one failed whole", async () => {
    const lab = await batchesLab(name);
    const twice = requests(3, { customId: "same" });
    const { id } = await submit(lab, twice);
    const state = await ended(lab.batches, id);
    expect(state).toMatchObject({ status: "failed", isTokenLimit: false, outputFileId: null, errorFileId: null });
    expect(state.error).toMatchObject(
      traits.listsProblems
        ? { code: "duplicate_custom_id", message: "line 2: The custom_id 'same' was used before. (and 1 more)" }
        : { message: "line 2: The custom_id 'same' was used before." },
    );
  });

  test("tell a limit of waiting tokens from other failures", async () => {
    const lab = await batchesLab(name, { behaveBatch: () => ({ fails: [TOKEN_LIMIT] }) });
    const { id } = await submit(lab, requests(1));
    expect(await ended(lab.batches, id)).toMatchObject({
      status: "failed",
      isTokenLimit: true,
      error: { message: TOKEN_LIMIT.message },
    });
  });
});

describe.concurrent.each(BATCHING)("a line of %s", (name) => {
  const SETTINGS: [model: string, endpoint: Endpoint, parameters: Parameters][] = [
    ["gpt-4o-mini", "chat", PARAMETERS],
    ["o3-mini", "chat", { max_tokens: 99, temperature: 0.2, stop: ["x"], extra_body: { reasoning_effort: "low" } }],
    ["davinci-002", "completions", { max_tokens: 5, seed: 7 }],
    ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "chat", { extra_body: { top_k: 4 }, top_p: 0.5 }],
  ];

  test.for(SETTINGS.filter(([, endpoint]) => providers[name].batches!.endpoints.includes(endpoint)))(
    "asks %s for the same as a live request does",
    async ([model, endpoint, parameters]) => {
      const lab = await batchesLab(name, { keepBodies: true }, { model });
      const prompt = userPrompt('Grüße \u2028 \ud800 \u0000 "x"\n');
      const live = await providers[name].connect(connectionTo(lab.server, name));
      await live.complete({ endpoint, model, prompt, parameters, timeoutMs: 5_000 });
      const line = lab.batches.line({ customId: "a-1", endpoint, model, prompt, parameters }, "wave-1.jsonl");
      expect(line).not.toContain("\n");
      const { id, body, envelope } = batchesOf(name).readLine(JSON.parse(line) as Record<string, unknown>);
      const { stream = false, ...asked } = lab.server.requests[0]!.body!;
      expect({ id, body, stream }).toEqual({
        id: expect.stringMatching(/^(wave-1_)?a-1$/),
        body: asked,
        stream: false,
      });
      const url = `/v1/${endpoint === "chat" ? "chat/completions" : "completions"}`;
      expect(envelope).toEqual(batchesOf(name).envelope(url));
    },
  );

  test("keeps its characters on the way to the provider", async () => {
    const lab = await batchesLab(name);
    const prompt = "Zeile\u2028Zeile\u0085 \ud800 „Straße“ 😀\r\n";
    const [request] = requests(1, { prompt: userPrompt(prompt) }) as [BatchRequest];
    await ended(lab.batches, (await submit(lab, [request])).id);
    const { lines } = lab.server.batches[0]!;
    expect(lines).toMatchObject([{ customId: expect.stringMatching(/c0$/), promptHash: promptHashOf(prompt) }]);
  });
});

describe.concurrent.each(BATCHING)("a submission to %s that may or may not have arrived", (name) => {
  const nothing = { fileId: null, batch: null };

  test("is not found where it did not", async () => {
    const lab = await batchesLab(name, {
      behaveApi: ({ method }) => (method === "POST" ? { kind: "reset" } : undefined),
    });
    expect(await failure(submit(lab, requests(2)))).toMatchObject({ reason: "connection" });
    expect(await lab.batches.find(submission("wave-1.jsonl"), signal)).toEqual(nothing);
  });

  test.for<BatchFault["kind"]>(["reset", "close", "half", "status"])(
    "is found with its batch where the answer to that was lost: %s",
    async (kind) => {
      const fault = { kind, status: 503, isTaken: true } as BatchFault;
      const lab = await batchesLab(name, {
        behaveApi: ({ nth, operation }) => (operation === "create" && nth === 1 ? fault : undefined),
      });
      await failure(submit(lab, requests(2)));
      const other = await submit(lab, requests(2), "other.jsonl");
      const [arrived] = lab.server.batches;
      if (batchesOf(name).upload === null) {
        // Of batches without a name nothing is known before their results are there.
        const early = await lab.batches.find(submission("wave-1.jsonl"), signal);
        expect(early).toMatchObject({ batch: null, candidate: { id: expect.any(String) } });
        for (const { id } of [arrived!, other]) await ended(lab.batches, id);
      }
      const found = await lab.batches.find(submission("wave-1.jsonl"), signal);
      expect(found).toMatchObject({ batch: { id: arrived!.id } });
      expect(found.fileId).toBe(batchesOf(name).upload === null ? null : lab.server.files[0]!.id);
      expect(await lab.batches.find(submission("wave-3.jsonl"), signal)).toEqual(nothing);
    },
  );

  const LISTS = batchesOf(name).upload === null ? (["listBatches"] as const) : (["listFiles", "listBatches"] as const);

  test.for(LISTS)("is not taken as lost where %s gives no list", async (list) => {
    const lab = await batchesLab(name, {
      behaveApi: ({ operation }) => (operation === list ? { kind: "status", status: 200, message: "Busy" } : undefined),
    });
    await submit(lab, requests(1));
    expect(await failure(lab.batches.find(submission("wave-1.jsonl"), signal))).toMatchObject({
      message: expect.stringContaining("Busy"),
    });
  });

  test("is found among hundreds of newer ones", async () => {
    const lab = await batchesLab(name);
    const first = await submit(lab, requests(2), "first.jsonl");
    const isNamed = batchesOf(name).upload !== null;
    const file = isNamed ? lab.server.files[0]!.id : await send(lab, requests(2), "other.jsonl");
    for (let more = 0; more < 230; more += 1) {
      await lab.batches.create(file, { endpoint: "chat", name: `n${more}` }, signal);
    }
    if (!isNamed) await ended(lab.batches, first.id);
    // Without a mark, batches are told apart by their files alone.
    const isMarked = batchesOf(name).traits.keepsMetadata || !isNamed;
    const wanted = isMarked ? first.id : lab.server.batches.at(-1)!.id;
    expect((await lab.batches.find(submission("first.jsonl"), signal)).batch?.id).toBe(wanted);
  });
});

describe.concurrent.each(UPLOADING)("a file for %s that may or may not have arrived", (name) => {
  test.for<BatchFault["kind"]>(["reset", "close", "half", "status"])(
    "is found by its name where the answer to the upload was lost: %s",
    async (kind) => {
      const fault = { kind, status: 500, isTaken: true } as BatchFault;
      const lab = await batchesLab(name, {
        behaveApi: ({ nth, operation }) => (operation === "upload" && nth === 2 ? fault : undefined),
      });
      await submit(lab, requests(2), "other.jsonl");
      await failure(submit(lab, requests(2)));
      const fileId = lab.server.files[1]!.id;
      expect(await lab.batches.find(submission("wave-1.jsonl"), signal)).toEqual({ fileId, batch: null });
      const { id } = await lab.batches.create(fileId, { endpoint: "chat", name: "wave-1.jsonl" }, signal);
      expect((await ended(lab.batches, id)).status).toBe("completed");
    },
  );
});

describe.concurrent.each(BATCHING)("what goes wrong with %s", (name) => {
  const { id: batchId, fileId } = batchesOf(name);
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
    const lab = await batchesLab(name, { behaveApi: () => fault });
    const path = await lab.space.write("a.jsonl", "{}\n");
    const { upload } = lab.batches;
    const asked = [
      ...(upload === null ? [] : [upload(path, "a.jsonl", signal)]),
      lab.batches.create(upload === null ? path : fileId("1"), { endpoint: "chat", name: "a.jsonl" }, signal),
      lab.batches.find(submission("a.jsonl"), signal),
      lab.batches.get(batchId("1"), signal),
    ];
    for (const one of await Promise.all(asked.map(failure))) expect(one).toMatchObject(error);
  });

  test("an error that quotes the key is told without it", async () => {
    const message = `${"x".repeat(990)} ${KEY} is no key`;
    const lab = await batchesLab(name, { behaveApi: () => ({ kind: "status", status: 401, message, code: KEY }) });
    const error = await failure(lab.batches.get(batchId("1"), signal));
    expect(JSON.stringify([error.message, error.details])).not.toContain("sk-proj");
  });

  test("a server that is away", async () => {
    const lab = await batchesLab(name);
    await lab.server.goDown();
    const error = await failure(lab.batches.get(batchId("1"), signal));
    expect(error).toMatchObject({ reason: "connection", details: { code: "ECONNREFUSED" } });
    expect(error.message).toContain("127.0.0.1");
  });

  test("a download whose connection breaks", async () => {
    const lab = await batchesLab(name);
    const state = await ended(lab.batches, (await submit(lab, requests(40))).id);
    lab.server.behaveApi = () => ({ kind: "half" });
    let lines = 0;
    const reading = async () => {
      for await (const _ of lab.batches.lines(state.outputFileId!, 100_000, signal)) lines += 1;
    };
    expect(await failure(reading())).toMatchObject({ reason: "connection" });
    expect(lines).toBeGreaterThan(0);
  });

  const ABORTED = [batchesOf(name).upload === null ? "create" : "upload", "get", "content"] as const;

  test.for(ABORTED)("a %s that is aborted ends with the reason", async (operation) => {
    const abort = new AbortController();
    const reason = new Error("stop");
    const lab = await batchesLab(name, {
      behaveApi: (request) => {
        if (request.operation === "beginUpload") return undefined;
        expect(request.operation).toBe(operation);
        abort.abort(reason);
        return { kind: "hang" };
      },
    });
    const path = await lab.space.write("a.jsonl", "{}\n");
    const work = {
      upload: () => lab.batches.upload!(path, "a.jsonl", abort.signal),
      create: () => lab.batches.create(path, { endpoint: "chat", name: "a.jsonl" }, abort.signal),
      get: () => lab.batches.get(batchId("1"), abort.signal),
      content: async () => {
        for await (const line of lab.batches.lines(fileId("1"), 100_000, abort.signal)) expect.fail(line);
      },
    };
    await expect(work[operation]()).rejects.toBe(reason);
  });

  test("requests leave nothing behind on the signal that they are given", async () => {
    const lab = await batchesLab(name);
    const own = new AbortController().signal;
    const path = await lab.space.write("a.jsonl", `${lab.batches.line(requests(1)[0]!, "a.jsonl")}\n`);
    const file = lab.batches.upload === null ? path : await lab.batches.upload(path, "a.jsonl", own);
    const { id } = await lab.batches.create(file, { endpoint: "chat", name: "a.jsonl" }, own);
    await lab.batches.find(submission("b.jsonl"), own);
    await failure(lab.batches.get(batchId("none"), own));
    const { outputFileId } = await ended(lab.batches, id);
    for await (const line of lab.batches.lines(outputFileId!, 100_000, own)) expect(line).toContain("c0");
    expect(getEventListeners(own, "abort")).toEqual([]);
  });

  test("a reader that stops early leaves no connection open", async () => {
    const lab = await batchesLab(name, { behave: () => ({ kind: "text", text: "x".repeat(100_000) }) });
    const { outputFileId } = await ended(lab.batches, (await submit(lab, requests(200))).id);
    for await (const line of lab.batches.lines(outputFileId!, 100_000, signal)) {
      expect(line.length).toBeGreaterThan(100_000);
      break;
    }
    await vi.waitFor(() => expect(lab.server.inFlight).toBe(0));
  });
});
