import { randomBytes } from "node:crypto";
import { type CoordinatorOptions, connectCoordinator } from "../../src/queue/connect.ts";
import { jobsQueue, resultsQueue } from "../../src/queue/destination.ts";
import { type JobMessage, newToken, type ResultMessage } from "../../src/queue/messages.ts";
import type { CoordinatorQueue } from "../../src/queue/queue.ts";
import { parseQueueUrl } from "../../src/queue/url.ts";
import { connectEngine, type Engine } from "../../src/queue/bullmq/engine.ts";
import { type Running, type SpawnOptions, startDatagen } from "./harness.ts";

/** A coordinator without a run: it puts jobs into the queue, and keeps the results. */
export interface TestCoordinator extends AsyncDisposable {
  readonly queue: CoordinatorQueue;
  readonly replyTo: string;
  /** Everything that it was told of messages that are none of ours. */
  readonly warnings: string[];
  /** Puts a job. @returns its token */
  put(prompt: string, changes?: Partial<JobMessage>): Promise<string>;
  /** The result of a job, once it has come. */
  result(token: string): Promise<ResultMessage>;
}

/**
 * @param server whose jobs it makes: a base URL or the name of servers
 * @param options.take what it does with results; by default, it keeps them
 */
export async function openCoordinator(
  url: string,
  server: string,
  { take, ...options }: Partial<CoordinatorOptions> & { take?: (result: ResultMessage) => Promise<void> } = {},
): Promise<TestCoordinator> {
  const [databaseId, runId] = [randomBytes(16).toString("hex"), randomBytes(4).toString("hex")];
  const warnings: string[] = [];
  const full = {
    databaseId,
    runId,
    patienceMs: 30_000,
    onWarning: (text: string) => void warnings.push(text),
    ...options,
  };
  const queue = await connectCoordinator({ url: parseQueueUrl(url, "the test"), ...full });
  const replyTo = resultsQueue(full.databaseId, full.runId);
  const expected = new Map<string, PromiseWithResolvers<ResultMessage>>();
  const slot = (token: string) => {
    const known = expected.get(token) ?? Promise.withResolvers<ResultMessage>();
    expected.set(token, known);
    return known;
  };
  queue.onResult(take ?? ((result) => Promise.resolve(slot(result.token).resolve(result))));
  return {
    queue,
    replyTo,
    warnings,
    async put(prompt, changes = {}) {
      const job: JobMessage = { ...jobFor(prompt, server, replyTo), ...changes };
      await queue.put(job);
      return job.token;
    },
    result: (token) => slot(token).promise,
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

export function jobFor(prompt: string, server: string, replyTo: string): JobMessage {
  const messages = [{ role: "user" as const, content: prompt }];
  const question = { endpoint: "chat" as const, model: "gpt-4o-mini", messages, parameters: {} };
  const provider = server === "offline" ? "offline" : "openai";
  return {
    token: newToken(replyTo),
    replyTo,
    provider,
    server,
    question,
    timeoutMs: 60_000,
    maxAnswerBytes: 1_000_000,
  };
}

/** Starts `datagen worker`, and waits until it takes jobs. */
export async function startWorker(args: readonly string[], options: SpawnOptions): Promise<Running> {
  const worker = startDatagen(["worker", "--json", ...args], options);
  await worker.waitFor(/^Taking jobs from /m);
  return worker;
}

/** Somebody else who can write to the queue. */
export async function openStranger(url: string): Promise<Engine & AsyncDisposable> {
  const engine = await connectEngine(parseQueueUrl(url, "the test"), { reads: 1, queries: 4 });
  return { ...engine, [Symbol.asyncDispose]: () => engine.close() };
}

/** Puts anything into the queue of a server's jobs. */
export async function putAnything(
  engine: Engine,
  server: string,
  entries: readonly { id: string; data: unknown }[],
): Promise<void> {
  const queue = engine.queue(jobsQueue({ provider: "openai", server }));
  for (const { id, data } of entries) await queue.add("job", data, { jobId: id });
  await queue.close();
}
