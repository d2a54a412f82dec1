import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { realError } from "../answer.ts";
import type { BatchProvider, BatchResult, BatchState, BatchStatus, Submission } from "../batch.ts";
import { idIn } from "../batch-ids.ts";
import { idInPart, readLine } from "../batch-lines.ts";
import {
  type Pages,
  PROBE_TIMEOUT_MS,
  requestsTo,
  tooLargeFile,
  unexpected,
  UPLOAD_TIMEOUT_MS,
  unlessEnded,
} from "../batch-requests.ts";
import { asCount, asObject, asText, type Json } from "../json.ts";
import { CallError } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { cleaned, errorWithoutStatus } from "../refusal.ts";
import { createFileFetch } from "../transport.ts";
import { completionOf } from "./answer.ts";
import { anthropicClient } from "./client.ts";
import { bodyOf } from "./messages.ts";

/*
 * Anthropic's Message Batches. One request creates a batch with all that it asks for; nothing is uploaded before. A batch
 * has no name. So each of its requests has the submission's name in its id, and the results tell which batch is whose.
 */

const BATCHES = "/v1/messages/batches";

/** The member of a line with its id. */
const ID = "custom_id";

/** What the body of a creation has besides its lines. */
const HEAD = '{"requests":[';
const TAIL = "]}";

const LINE_FEED = 0x0a;
const COMMA = 0x2c;

/** How far the clock of this machine may be ahead of Anthropic's. */
const MOST_SKEW_MS = 6 * 3_600_000;

export const PAGES: Pages = {
  objects: (page) => asObject(page)?.["data"],
  next: (page, last) => {
    const { has_more: hasMore, last_id: lastId } = asObject(page) ?? {};
    const after = hasMore === true ? (asText(lastId) ?? asText(last?.["id"])) : null;
    return after === null ? null : { after_id: after };
  },
};

export function connectAnthropicBatches(connection: Connection): BatchProvider {
  const { apiKey, model, maxAnswerBytes } = connection;
  const client = anthropicClient(connection, createFileFetch(connection, "/results"));
  const { ask, list, lines, remove } = requestsTo({ client, apiKey, maxAnswerBytes });
  const batchOf = (value: unknown) => readBatch(value, apiKey);
  const pathOf = (batchId: string) => `${BATCHES}/${encodeURIComponent(batchId)}`;
  const get = async (batchId: string, signal: AbortSignal) => batchOf(await ask("get", pathOf(batchId), {}, signal));
  const linesOf: BatchProvider["lines"] = (batchId, requests, signal) =>
    lines(`${pathOf(batchId)}/results`, requests, signal);

  /** Whether an ended batch is a submission's, by the first of its results; null if there are none. */
  async function isOf({ name, requests }: Submission, batchId: string, signal: AbortSignal): Promise<boolean | null> {
    try {
      for await (const line of linesOf(batchId, requests, signal))
        return idInPart(line, ID)?.startsWith(markOf(name)) === true;
    } catch (error) {
      // Results are kept for 29 days.
      if (!(error instanceof CallError) || error.details.httpStatus !== 404) throw error;
    }
    return null;
  }

  return {
    async probe(signal) {
      const page = await ask("get", BATCHES, { query: { limit: "1" }, timeout: PROBE_TIMEOUT_MS }, signal);
      if (!Array.isArray(PAGES.objects(page))) throw unexpected("a list of batches", page, apiKey);
    },

    limits: { requests: 100_000, bytes: 256_000_000 - HEAD.length - TAIL.length },

    line: ({ customId, ...question }, name) =>
      JSON.stringify({ custom_id: `${markOf(name)}${customId}`, params: bodyOf(question) }),

    upload: null,

    async create(path, _options, signal) {
      const options = { ...(await creationOf(path)), timeout: UPLOAD_TIMEOUT_MS };
      return batchOf(
        await ask("post", BATCHES, options, signal).catch((error: unknown) => {
          throw tooLargeFile(error);
        }),
      );
    },

    async find(submission, signal) {
      const since = submission.createdAt - MOST_SKEW_MS;
      let candidate: BatchState | undefined;
      for await (const one of list(BATCHES, { limit: "100" }, PAGES, signal)) {
        // The newest come first.
        if (Date.parse(asText(one["created_at"]) ?? "") < since) break;
        const batch = batchOf(one);
        if (batch.counts !== null && batch.counts.total !== submission.requests) continue;
        const isIt = batch.outputFileId === null ? null : await isOf(submission, batch.id, signal);
        if (isIt === true) return { fileId: null, batch };
        if (isIt === null) candidate ??= batch;
      }
      return { fileId: null, batch: null, ...(candidate && { candidate }) };
    },

    get,

    async cancel(batchId, signal) {
      const cancelled = await unlessEnded(ask("post", `${pathOf(batchId)}/cancel`, {}, signal));
      return cancelled === null ? await get(batchId, signal) : batchOf(cancelled);
    },

    lines: linesOf,

    // The results go with their batch.
    remove: (batchId, signal) => remove(pathOf(batchId), signal),

    result: (line) => readResult(line, model, apiKey),
  };
}

/** The beginning of the ids of a submission's requests. Ids have letters, digits, `-` and `_`. */
function markOf(name: string): string {
  return `${name.replace(/\.jsonl$/, "")}_`;
}

/** The body that creates a batch from the lines of a file, which is read from disk as it is sent. */
async function creationOf(path: string): Promise<{ headers: Record<string, string>; body: AsyncIterable<Uint8Array> }> {
  const { size } = await stat(path);
  async function* body(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(HEAD);
    let left = size;
    for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
      // JSON has no line feeds of its own, so each ends a line. The last one of the file is left out.
      for (let at = piece.indexOf(LINE_FEED); at !== -1; at = piece.indexOf(LINE_FEED, at + 1)) piece[at] = COMMA;
      left -= piece.length;
      yield left === 0 ? piece.subarray(0, -1) : piece;
    }
    yield Buffer.from(TAIL);
  }
  const headers = {
    "content-type": "application/json",
    "content-length": String(HEAD.length + size - 1 + TAIL.length),
  };
  return { headers, body: body() };
}

/** @throws CallError when the value is not a batch */
function readBatch(value: unknown, secret: string | undefined): BatchState {
  const batch = asObject(value);
  const id = idIn(batch?.["id"], secret);
  if (!batch || id === null) throw unexpected("a batch", value, secret);
  const word = asText(batch["processing_status"]) ?? "";
  const counts = readCounts(batch["request_counts"]);
  const status = statusOf(word, batch, counts);
  const hasResults = word === "ended" && asText(batch["results_url"]) !== null;
  return {
    id,
    status: status ?? "in_progress",
    unknownStatus: status ? null : cleaned(word, secret).slice(0, 40) || "without a status",
    dueAt: Date.parse(asText(batch["expires_at"]) ?? "") || null,
    counts: counts && {
      total: counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired,
      completed: counts.succeeded,
      failed: counts.errored + counts.canceled + counts.expired,
    },
    // All requests count as unfinished until the whole batch has ended.
    progress: word === "ended" ? 1 : null,
    outputFileId: hasResults ? id : null,
    errorFileId: null,
    error: null,
    failure: null,
    isTokenLimit: false,
  };
}

type Counts = Record<(typeof KINDS)[number], number>;

const KINDS = ["processing", "succeeded", "errored", "canceled", "expired"] as const;

function readCounts(value: unknown): Counts | null {
  const counts = asObject(value);
  const read = KINDS.map((kind) => [kind, asCount(counts?.[kind])] as const);
  return read.every(([, count]) => count !== null) ? (Object.fromEntries(read) as Counts) : null;
}

/** Anthropic says only that a batch has ended: how, its requests tell. */
function statusOf(word: string, batch: Json, counts: Counts | null): BatchStatus | undefined {
  if (word === "in_progress") return "in_progress";
  if (word === "canceling") return "cancelling";
  if (word !== "ended") return undefined;
  if (counts && counts.canceled > 0) return "cancelled";
  if (counts && counts.expired > 0) return "expired";
  return counts === null && asText(batch["cancel_initiated_at"]) !== null ? "cancelled" : "completed";
}

/** @param model the name of the model in the request */
function readResult(text: string, model: string, secret: string | undefined): BatchResult {
  return readLine(text, { idMember: ID, ownId, secret }, (line) => {
    const result = asObject(line["result"]);
    const type = asText(result?.["type"]);
    if (type === "expired" || type === "canceled") {
      throw new CallError("not_processed", `the batch ended before this request: ${type}`, { code: `batch_${type}` });
    }
    const error = realError(result?.["error"]);
    if (error !== undefined) {
      const { request_id: requestId, error: inner } = asObject(error) ?? {};
      throw errorWithoutStatus(realError(inner) ?? error, { requestId: asText(requestId) });
    }
    const message = result?.["message"];
    if (message === undefined) throw new CallError("malformed", `a line of the results has no message: ${text}`);
    return completionOf(message, model, { httpStatus: 200, requestId: null, rateLimits: null }, secret);
  });
}

/** An id without the mark before it; null for one without a mark. */
function ownId(id: string): string | null {
  const mark = id.lastIndexOf("_");
  return mark === -1 ? null : id.slice(mark + 1);
}
