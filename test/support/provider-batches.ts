import { expect, onTestFinished } from "vitest";
import { batchesOf } from "../../src/app/run/batches.ts";
import { type Prompt, promptText } from "../../src/models/prompt.ts";
import type { BatchProvider, BatchRequest, BatchResult, BatchState, Submission } from "../../src/providers/batch.ts";
import { CallError } from "../../src/providers/provider.ts";
import type { Connection } from "../../src/providers/provider-info.ts";
import { rows, workspace } from "./harness.ts";
import type { RemoteName } from "./providers/index.ts";
import { type Asked, type LoopbackServer, type ServerOptions, startServer } from "./server.ts";

export const KEY = "sk-proj-batches-0123456789abcdef";
export const MODEL = "gpt-4o-mini";

export const signal = new AbortController().signal;

/** A server, a folder, and the batches of a provider; all are removed when the test ends. */
export async function batchesLab(name: RemoteName, options: ServerOptions = {}, more: Partial<Connection> = {}) {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const server = stack.use(await startServer(options));
  const space = stack.use(await workspace());
  const batches = await batchesOf(name).connect(connectionTo(server, name, more), space.at("batches"));
  return { server, space, batches };
}

export function connectionTo(server: LoopbackServer, name: RemoteName, more: Partial<Connection> = {}): Connection {
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
export const userPrompt = (text: string): Prompt => ({ messages: [{ role: "user", content: text }], pieces: [text] });

export const PARAMETERS = { max_tokens: 200, temperature: 0.7 };

export function requests(count: number, more: Partial<BatchRequest> = {}): BatchRequest[] {
  return rows(count).map(({ input }, index) => ({
    customId: `c${index}`,
    endpoint: "chat",
    model: MODEL,
    prompt: userPrompt(input),
    parameters: PARAMETERS,
    ...more,
  }));
}

export const askedBy = (provider: RemoteName, { prompt, endpoint }: BatchRequest): Asked => ({
  provider,
  endpoint,
  model: MODEL,
  prompt: promptText(prompt),
  ...PARAMETERS,
});

/** A submission of that name, prepared a moment ago. */
export const submission = (name: string, fileId: string | null = null): Submission => ({
  name,
  fileId,
  requests: 2,
  createdAt: Date.now(),
});

/** Writes the requests to a file, sends it, and creates its batch. */
export async function submit(
  { batches, space }: Pick<Awaited<ReturnType<typeof batchesLab>>, "batches" | "space">,
  all: BatchRequest[],
  name = "wave-1.jsonl",
): Promise<BatchState> {
  const file = await send({ batches, space }, all, name);
  return batches.create(file, { endpoint: all[0]?.endpoint ?? "chat", name }, signal);
}

/** Writes the requests to a file, and sends it where the provider takes files. @returns what a batch is created of */
export async function send(
  { batches, space }: Pick<Awaited<ReturnType<typeof batchesLab>>, "batches" | "space">,
  all: BatchRequest[],
  name: string,
): Promise<string> {
  const path = await space.write(name, all.map((request) => `${batches.line(request, name)}\n`).join(""));
  return batches.upload === null ? path : await batches.upload(path, name, signal);
}

/** Looks at a batch until it has ended. */
export async function ended(batches: BatchProvider, id: string): Promise<BatchState> {
  for (;;) {
    const state = await batches.get(id, signal);
    if (["completed", "failed", "expired", "cancelled"].includes(state.status)) return state;
  }
}

export async function resultsOf(batches: BatchProvider, fileId: string | null): Promise<BatchResult[]> {
  const results: BatchResult[] = [];
  if (fileId !== null)
    for await (const line of batches.lines(fileId, 100_000, signal)) results.push(batches.result(line));
  return results;
}

/** All results of a batch: those with an answer, and the others. */
export async function allResultsOf(
  batches: BatchProvider,
  { outputFileId, errorFileId }: BatchState,
): Promise<{ done: BatchResult[]; others: BatchResult[] }> {
  const all = [...(await resultsOf(batches, outputFileId)), ...(await resultsOf(batches, errorFileId))];
  return {
    done: all.filter((one) => "completion" in one),
    others: all.filter((one) => !("completion" in one)),
  };
}

export const textsOf = (results: BatchResult[]) =>
  new Map(results.map((result) => [result.customId, "completion" in result ? result.completion.text : null]));

/** The error that something ends with. */
export async function failure(work: Promise<unknown>): Promise<CallError> {
  const error: unknown = await work.then(
    () => expect.fail("it did not fail"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(CallError);
  return error as CallError;
}
