import type { BatchProvider } from "./batch.ts";
import { readBatch, readResult, unexpected } from "./batch-protocol.ts";
import { asObject, asText, type Json } from "./json.ts";
import { splitLines } from "./lines.ts";
import { readJson } from "./answer.ts";
import { connectionError, toCallError } from "./refusal.ts";
import { CallError } from "./provider.ts";
import { bodyOf, PATHS, type RequestOptions, type Server } from "./server.ts";
import { uploadForm } from "./upload-form.ts";

/** The differences between servers in their batch APIs. */
interface Dialect {
  limits: BatchProvider["limits"];
  /** The members of a line besides its id and its body. */
  envelope(path: string): object;
  upload: { path: string; fields(name: string): Record<string, string> };
  /** The members that create a batch, besides its file and its endpoint. */
  creation(name: string): object;
  /** Queries for the lists of files and of batches. */
  files: Record<string, string>;
  batches: Record<string, string>;
}

const ANSWER_TIMEOUT_MS = 120_000;
/** For a whole file: at 1 Mbit/s, 200 MB take half an hour. */
const UPLOAD_TIMEOUT_MS = 3_600_000;

/** For a whole file of results, which may be ten times as large. */
const DOWNLOAD_TIMEOUT_MS = 6 * 3_600_000;
/** Short, because nothing depends on the deletion of a file. */
const REMOVAL_TIMEOUT_MS = 10_000;

/** The most bytes of a line of results besides the body of an answer. */
const LINE_ENVELOPE = 10_000;

/** The most pages of a list. A page has 100 objects or more. */
const MOST_PAGES = 10_000;

/** The batch API of a server with OpenAI's endpoints for files and batches. */
export function serverBatches(server: Server, dialect: Dialect): BatchProvider {
  const { apiKey, model } = server;
  const { ask, list, lines, remove } = requestsTo(server);
  const batchOf = (value: unknown) => readBatch(value, apiKey);
  const pathOf = (batchId: string) => `/batches/${encodeURIComponent(batchId)}`;
  const get = async (batchId: string, signal: AbortSignal) => batchOf(await ask("get", pathOf(batchId), {}, signal));

  return {
    limits: dialect.limits,

    line({ customId, ...question }) {
      const envelope = dialect.envelope(`/v1${PATHS[question.endpoint]}`);
      return JSON.stringify({ custom_id: customId, ...envelope, body: bodyOf(server, question) });
    },

    async upload(path, name, signal) {
      const form = await uploadForm(path, name, dialect.upload.fields(name));
      const file = await ask("post", dialect.upload.path, { ...form, timeout: UPLOAD_TIMEOUT_MS }, signal).catch(
        (error: unknown) => {
          // This status means a prompt that is too long for a call, but a file that is too large here.
          const isTooLarge = error instanceof CallError && error.details.httpStatus === 413;
          throw isTooLarge ? new CallError("file_too_large", error.message, error.details) : error;
        },
      );
      const id = asText(asObject(file)?.["id"]);
      if (id === null) throw unexpected("a file", file, apiKey);
      return id;
    },

    async create(fileId, { endpoint, name }, signal) {
      const body = { input_file_id: fileId, endpoint: `/v1${PATHS[endpoint]}`, ...dialect.creation(name) };
      const created = await ask("post", "/batches", { body }, signal);
      return batchOf(asObject(created)?.["job"] ?? created);
    },

    async find(name, signal) {
      const files: (string | null)[] = [];
      for await (const file of list("/files", dialect.files, signal)) {
        if (file["filename"] === name) files.push(asText(file["id"]));
      }
      for await (const batch of list("/batches", dialect.batches, signal)) {
        const fileId = asText(batch["input_file_id"]);
        const mark = asObject(batch["metadata"])?.["datagen"];
        const isIt = mark === undefined ? fileId !== null && files.includes(fileId) : mark === name;
        if (isIt) return { fileId, batch: batchOf(batch) };
      }
      return { fileId: files[0] ?? null, batch: null };
    },

    get,

    async cancel(batchId, signal) {
      try {
        return batchOf(await ask("post", `${pathOf(batchId)}/cancel`, {}, signal));
      } catch (error) {
        const mayHaveEnded = error instanceof CallError && [400, 409].includes(error.details.httpStatus ?? 0);
        if (!mayHaveEnded) throw error;
        return await get(batchId, signal);
      }
    },

    lines,

    remove,

    result: (line) => readResult(line, model, apiKey),
  };
}

/** The requests about files and batches. */
function requestsTo({ client, apiKey, maxAnswerBytes }: Server) {
  /** Sends one request, and returns the JSON of the answer. */
  async function ask(
    method: "get" | "post",
    path: string,
    options: Partial<RequestOptions>,
    signal: AbortSignal,
  ): Promise<unknown> {
    using own = ownSignal(signal);
    try {
      const sent = client[method](path, { timeout: ANSWER_TIMEOUT_MS, ...options, signal: own.signal });
      return await readJson(await sent.asResponse());
    } catch (error) {
      signal.throwIfAborted();
      throw toCallError(error, apiKey);
    }
  }

  /** All objects of a list, page by page. */
  async function* list(path: string, query: Record<string, string>, signal: AbortSignal): AsyncGenerator<Json> {
    const seen = new Set<string>();
    for (let after: string | null = null; seen.size < MOST_PAGES;) {
      const page = await ask("get", path, { query: { ...query, ...(after !== null && { after }) } }, signal);
      const data = Array.isArray(page) ? page : asObject(page)?.["data"];
      // A batch that is missing in the list would be sent, and paid, again.
      if (!Array.isArray(data)) throw unexpected("a list", page, apiKey);
      const objects = data.map(asObject).filter((one) => one !== undefined);
      yield* objects;
      const last: string | null = asObject(page)?.["has_more"] === true ? asText(objects.at(-1)?.["id"]) : null;
      // Some servers ignore `after`, and return the newest page again and again.
      if (last === null || seen.has(last)) return;
      seen.add(last);
      after = last;
    }
    throw new CallError("malformed", `the list ${path} has more than ${MOST_PAGES} pages`);
  }

  /** The lines of a file with the results of so many requests. */
  async function* lines(fileId: string, requests: number, signal: AbortSignal): AsyncGenerator<string> {
    const longest = maxAnswerBytes + LINE_ENVELOPE;
    using own = ownSignal(signal, DOWNLOAD_TIMEOUT_MS);
    const options = { signal: own.signal, timeout: ANSWER_TIMEOUT_MS };
    try {
      const { body } = await client.get(`${pathOfFile(fileId)}/content`, options).asResponse();
      if (body) yield* splitLines(arriving(body, requests * longest), longest);
    } catch (error) {
      signal.throwIfAborted();
      if (own.isLate()) throw endless(`the file ${fileId} did not end in ${DOWNLOAD_TIMEOUT_MS / 3_600_000} hours`);
      throw toCallError(error, apiKey);
    }
  }

  async function remove(fileId: string, signal: AbortSignal): Promise<void> {
    using own = ownSignal(signal);
    try {
      await client.delete(pathOfFile(fileId), { signal: own.signal, timeout: REMOVAL_TIMEOUT_MS }).asResponse();
    } catch (error) {
      signal.throwIfAborted();
      throw toCallError(error, apiKey);
    }
  }

  return { ask, list, lines, remove };
}

function pathOfFile(fileId: string): string {
  return `/files/${encodeURIComponent(fileId)}`;
}

/** The error for a file that is not worth reading again. */
function endless(message: string): CallError {
  return new CallError("bad_request", message);
}

interface OwnSignal extends Disposable {
  signal: AbortSignal;
  /** Whether it was aborted because the time limit was reached. */
  isLate(): boolean;
}

/**
 * A new signal for one request: the SDKs never remove their listener from the signal that they get.
 * @param mostMs how long the request may take in all; no limit by default
 */
function ownSignal(signal: AbortSignal, mostMs?: number): OwnSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  let isLate = false;
  const end = () => {
    isLate = true;
    controller.abort();
  };
  const timer = mostMs === undefined ? undefined : setTimeout(end, mostMs);
  return {
    signal: controller.signal,
    isLate: () => isLate,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    },
  };
}

/** The pieces of a body. @throws CallError when the connection breaks, or the body has more than `most` bytes */
async function* arriving(body: ReadableStream<Uint8Array>, most: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const piece of body) {
      bytes += piece.length;
      if (bytes > most) throw endless(`the file of results has more than ${most} bytes`);
      yield piece;
    }
  } catch (error) {
    throw connectionError(error);
  }
}
