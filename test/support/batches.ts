import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setImmediate as breathe } from "node:timers/promises";
import type { Endpoint, Usage } from "./answers.ts";
import type { BatchFacts, BatchProblem, BatchStatus } from "./batch-formats.ts";
import type { Creation } from "./providers/fake-provider.ts";
import { outgoing } from "./faults.ts";
import type { Fault } from "./faults.ts";
import type { FileStore, StoredFile } from "./files.ts";
import { batchesOf, fakes, type RemoteName } from "./providers/index.ts";
import type { IncomingCall } from "./server.ts";

/**
 * What goes wrong with one line of a batch. A fault of content or status is in the output or the error file as it would
 * be in a response; one of the connection leaves the line out of both.
 */
export type LineFault =
  | Fault
  /** In neither file. */
  | { kind: "missing" }
  /** In the error file without a response. */
  | { kind: "noResponse"; code: string; message?: string };

/** How a batch goes. */
export interface BatchCourse {
  /** What it is seen as, look by look, before its end. Default: once in_progress; nothing where it fails. */
  states?: BatchStatus[];
  /** It does not end earlier than so many milliseconds after it was created. */
  ms?: number;
  /** It fails whole when it is validated, for these reasons; not of a provider that creates no bad batch. */
  fails?: BatchProblem[];
  /** It expires when this share of its lines is done. */
  expiresAfter?: number;
  /** The share of its lines that are done when it is cancelled. Default: a half. */
  doneWhenCancelled?: number;
  /** How it is shown when it is looked at or cancelled, in the place of how it stands. */
  shows?: (batch: Record<string, unknown>) => Record<string, unknown>;
}

/** What OpenAI says of a batch that would have too many tokens waiting. */
export const TOKEN_LIMIT: BatchProblem = {
  code: "token_limit_exceeded",
  message:
    "Enqueued token limit reached for gpt-4o-mini in organization org-loop. Limit: 2,000,000 enqueued tokens. " +
    "Please try again once some in_progress batches have been completed.",
};

/** A batch that was created, as the script of a test sees it. */
export interface NewBatch {
  provider: RemoteName;
  /** Its place among all batches, from 0. */
  index: number;
  /** The name of its file. */
  name: string;
  customIds: string[];
}

export interface RecordedLine {
  customId: string;
  /** Undefined until it is worked on. */
  promptHash: string | undefined;
  outcome: "waiting" | "answered" | "failed" | "missing" | "expired" | "cancelled";
  fault: LineFault["kind"] | undefined;
  /** What it was charged. */
  usage: Usage | undefined;
}

export interface RecordedBatch extends Pick<BatchFacts, "id" | "provider" | "endpoint" | "status" | "metadata"> {
  /** The name of its file. */
  name: string;
  fileId: string;
  lines: RecordedLine[];
}

/** The hooks of a test, and the most that a file may hold. */
export interface BatchOptions {
  /** How a batch goes, asked when it is created. */
  behaveBatch?: ((batch: NewBatch) => BatchCourse | undefined) | undefined;
  /** What goes wrong with a line; where this says nothing, `behave` is asked. */
  behaveLine?: ((call: IncomingCall) => LineFault | undefined) | undefined;
  /** Default: what the provider takes. */
  limits?: { lines?: number; bytes?: number } | undefined;
}

/** What the batches need of the server that they belong to. */
export interface BatchHost {
  /** Read when it is needed: a test may change it. */
  options: BatchOptions;
  files: FileStore;
  incoming(
    route: { provider: RemoteName; endpoint: Endpoint; path: string },
    body: Record<string, unknown>,
    customId: string,
  ): { call: IncomingCall; digest: Buffer; fault: LineFault | undefined };
  charge(usage: Usage | undefined, isGood: boolean): void;
  /** Runs a hook; an error in it fails the test at its end. */
  guarded<T>(hook: () => T): T | undefined;
}

interface Batch extends BatchFacts {
  course: BatchCourse;
  looks: number;
  ending: Promise<void> | undefined;
  lines: RecordedLine[];
}

const FINAL = new Set<BatchStatus>(["failed", "completed", "expired", "cancelled"]);

/** Batches that are worked on when they are looked at: each look (`GET /batches/ID`) may bring one a step further. */
export function createBatches(host: BatchHost) {
  const all: Batch[] = [];
  return { all, records: () => all.map(recordOf), create, look, cancel };

  /** @returns why it is not created, by a provider that looks through it at once */
  async function create(
    file: StoredFile,
    { endpoint, metadata, model: named }: Creation,
  ): Promise<Batch | BatchProblem> {
    const { provider } = file;
    const most = host.options.limits?.lines ?? 50_000;
    const { lines, problems, model = named } = await validated(file, endpoint, most, named !== undefined);
    const { validates } = batchesOf(provider).traits;
    if (problems[0] && !validates) return problems[0];
    const about = { provider, index: all.length, name: file.name, customIds: lines.map(({ customId }) => customId) };
    const course = host.guarded(() => host.options.behaveBatch?.(about)) ?? {};
    const hex = randomBytes(16).toString("hex");
    const batch: Batch = {
      id: batchesOf(provider).id(hex),
      provider,
      endpoint,
      file,
      metadata,
      model,
      hasOneModel: named !== undefined,
      status: "validating",
      times: new Map([["validating", new Date()]]),
      counts: {
        total: validates ? 0 : lines.length,
        completed: 0,
        failed: 0,
        unprocessed: 0,
      },
      outputFileId: null,
      errorFileId: null,
      problems: validates ? (course.fails ?? problems) : [],
      course,
      looks: 0,
      ending: undefined,
      lines,
    };
    all.push(batch);
    return batch;
  }

  async function look(batch: Batch): Promise<void> {
    if (FINAL.has(batch.status)) return;
    if (batch.status === "cancelling") return end(batch, "cancelled", batch.course.doneWhenCancelled ?? 0.5);
    const hasFailed = batch.problems.length > 0;
    const states = batch.course.states ?? (hasFailed ? [] : ["in_progress"]);
    const state = states[batch.looks++];
    const isEarly = Date.now() - batch.times.get("validating")!.getTime() < (batch.course.ms ?? 0);
    if (state || isEarly) return enter(batch, state ?? states.at(-1) ?? "in_progress");
    if (hasFailed) return enter(batch, "failed");
    const share = batch.course.expiresAfter;
    const isKept = batchesOf(batch.provider).traits.keepsExpired;
    await end(
      batch,
      share === undefined ? "completed" : "expired",
      isKept ? (share ?? 1) : share === undefined ? 1 : 0,
    );
  }

  /** Whether it could be cancelled. */
  async function cancel(batch: Batch): Promise<boolean> {
    if (FINAL.has(batch.status)) return false;
    if (batchesOf(batch.provider).traits.showsCancelling) enter(batch, "cancelling");
    else await end(batch, "cancelled", batch.course.doneWhenCancelled ?? 0.5);
    return true;
  }

  function end(batch: Batch, status: "completed" | "expired" | "cancelled", share: number): Promise<void> {
    // What is wrong with a file shows when it is worked on, and a batch may be cancelled before.
    const work = () => (batch.problems.length > 0 ? Promise.resolve() : workOn(batch, status, share));
    batch.ending ??= work().then(() => enter(batch, status));
    return batch.ending;
  }

  /** Answers a share of the lines, in an order of its own, and writes the files. */
  async function workOn(batch: Batch, status: string, share: number): Promise<void> {
    const { provider, endpoint, file, lines } = batch;
    const { endpoints, traits, problemLine, readLine } = batchesOf(provider);
    const path = batch.hasOneModel ? `/models/${batch.model}:generateContent` : endpoint;
    const route = { provider, endpoint: endpoints[endpoint]!, path };
    const isTogether = traits.hasOneList || traits.hasOneFile;
    const texts = linesIn(await readFile(file.path, "utf8"));
    const order = shuffled(lines.length);
    const output: string[] = [];
    const errors: string[] = isTogether ? output : [];
    for (const [place, index] of order.entries()) {
      if (place % 500 === 0) await breathe();
      const record = lines[index]!;
      if (place >= Math.floor(share * lines.length)) {
        record.outcome = status === "expired" ? "expired" : "cancelled";
        if (traits.writesUnprocessed) errors.push(problemLine(record.customId, leftOver(status)));
        continue;
      }
      const { body } = readLine(parsed(texts[index]!));
      const { call, digest, fault } = host.incoming(route, body as Record<string, unknown>, record.customId);
      const { text, isError, usage, isGood } = resultOf(call, digest, fault, record.customId);
      Object.assign(record, { promptHash: call.promptHash, fault: fault?.kind, usage });
      record.outcome = text === undefined ? "missing" : isError ? "failed" : "answered";
      host.charge(usage, isGood);
      if (text !== undefined) (isError ? errors : output).push(text);
      // One list has a result for each request.
      else if (traits.hasOneList) output.push(problemLine(record.customId, leftOver("expired")));
    }
    const store = async (kind: string, content: string[]) => {
      if (content.length === 0) return null;
      const name = file.name.replace(/(\.jsonl)?$/, `_${kind}.jsonl`);
      const stored = await host.files.add({ provider, name, purpose: "batch_output" }, joined(content));
      return stored.id;
    };
    batch.outputFileId = await store("output", output);
    batch.errorFileId = isTogether ? null : await store("error", errors);
    const count = (outcome: RecordedLine["outcome"]) => lines.filter((line) => line.outcome === outcome).length;
    const unprocessed = count("expired") + count("cancelled");
    const failed = isTogether ? count("failed") : errors.length;
    batch.counts = { total: lines.length, completed: count("answered"), failed, unprocessed };
  }
}

function enter(batch: Batch, status: BatchStatus): void {
  batch.status = status;
  if (!batch.times.has(status)) batch.times.set(status, new Date());
  if (status !== "validating" && status !== "failed") batch.counts.total = batch.lines.length;
}

function recordOf({ id, provider, endpoint, status, metadata, file, lines }: Batch): RecordedBatch {
  return { id, provider, endpoint, status, metadata, name: file.name, fileId: file.id, lines };
}

/** The line of a result; no text where it is in neither file. */
function resultOf(
  call: IncomingCall,
  digest: Buffer,
  fault: LineFault | undefined,
  customId: string,
): { text: string | undefined; isError: boolean; usage: Usage | undefined; isGood: boolean } {
  const { provider } = call;
  const { answerLine, problemLine } = batchesOf(provider);
  const unanswered = { usage: undefined, isGood: false };
  switch (fault?.kind) {
    case "missing":
    case "reset":
    case "close":
    case "hang":
    case "html":
      return { ...unanswered, text: undefined, isError: false };
    case "noResponse": {
      const { code, message = "The request could not be worked on." } = fault;
      return { ...unanswered, text: problemLine(customId, { code, message }), isError: true };
    }
  }
  const requestId = fakes[provider].requestId();
  const isCut = fault?.kind === "half" || fault?.kind === "malformed";
  const sent = outgoing(call, digest, isCut ? undefined : fault, requestId, undefined);
  const raw = sent.body.toString();
  const body = fault?.kind === "status" && typeof fault.body === "string" ? JSON.stringify(raw) : raw;
  const text = answerLine(customId, { status: sent.status, requestId, body });
  if (isCut) return { ...unanswered, text: text.slice(0, text.length >> 1), isError: false };
  return { text, isError: sent.status !== 200, usage: sent.usage, isGood: sent.good };
}

function leftOver(status: string): BatchProblem {
  return status === "expired"
    ? {
        code: "batch_expired",
        message: "This request could not be executed before the completion window expired.",
      }
    : { code: "batch_cancelled", message: "This request was not executed: its batch was cancelled." };
}

/** What a provider finds wrong with a file before it works on it. */
async function validated(file: StoredFile, endpoint: string, most: number, hasOneModel: boolean) {
  const problems: BatchProblem[] = [];
  const lines: RecordedLine[] = [];
  const { envelope: envelopeOf, readLine, idPattern } = batchesOf(file.provider);
  const envelope = Object.entries(envelopeOf(endpoint));
  const seen = new Set<unknown>();
  let model: string | undefined;
  for (const [index, text] of linesIn(await readFile(file.path, "utf8")).entries()) {
    if (index % 2_000 === 0) await breathe();
    const line = index + 1;
    const refuse = (code: string, message: string) => problems.push({ code, message, line });
    const { id, body, envelope: rest } = readLine(parsed(text));
    const { model: asked, stream } = Object(body) as Record<string, unknown>;
    if (typeof id !== "string" || !idPattern.test(id)) refuse("invalid_custom_id", "The custom_id is invalid.");
    else if (!hasOneModel && typeof asked !== "string")
      refuse("invalid_json_line", "This line is not parseable as valid JSON.");
    else if (seen.has(id)) refuse("duplicate_custom_id", `The custom_id '${id}' was used before.`);
    else if (model !== undefined && asked !== model) refuse("model_mismatch", "All lines must ask the same model.");
    else if (stream !== undefined) refuse("invalid_request", "Streams cannot be batched.");
    else if (envelope.some(([key, value]) => rest[key] !== value)) {
      refuse("url_mismatch", `The line must POST to ${endpoint}.`);
    }
    seen.add(id);
    if (typeof asked === "string") model ??= asked;
    const customId = typeof id === "string" ? id : "";
    lines.push({ customId, promptHash: undefined, outcome: "waiting", fault: undefined, usage: undefined });
  }
  if (lines.length === 0) problems.push({ code: "empty_file", message: "The file has no lines." });
  if (lines.length > most) {
    problems.unshift({ code: "too_many_tasks", message: `The file has ${lines.length} lines; the limit is ${most}.` });
  }
  return { lines, problems, model };
}

function linesIn(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function parsed(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** The numbers up to `count`, always in the same disorder. */
function shuffled(count: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  let state = 1;
  for (let last = count - 1; last > 0; last--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (last + 1));
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

async function* joined(lines: string[]): AsyncGenerator<string> {
  for (let at = 0; at < lines.length; at += 500) yield `${lines.slice(at, at + 500).join("\n")}\n`;
}
