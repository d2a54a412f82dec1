import { realError } from "./answer.ts";
import type { Client, RequestOptions } from "./client.ts";
import { asObject, type Json, shown } from "./json.ts";
import { readJson } from "./json-body.ts";
import { splitLines } from "./lines.ts";
import { CallError } from "./provider.ts";
import { connectionError } from "./connection-error.ts";
import { embeddedError, toCallError } from "./refusal.ts";

/*
 * Requests about batches and their files, for every provider that has them.
 */

const ANSWER_TIMEOUT_MS = 120_000;
/** For a whole file: at 1 Mbit/s, 200 MB take half an hour. */
export const UPLOAD_TIMEOUT_MS = 3_600_000;

/** For a whole file of results, which may be ten times as large. */
const DOWNLOAD_TIMEOUT_MS = 6 * 3_600_000;
/** Short, because somebody waits for it. */
export const PROBE_TIMEOUT_MS = 30_000;
/** Short, because nothing depends on the deletion of a file. */
const REMOVAL_TIMEOUT_MS = 10_000;

/** The most bytes of a line of results besides the body of an answer. */
const LINE_ENVELOPE = 10_000;

/**
 * A file of results may have as many bytes more as so many of the longest answers: one that is too long is read over, so
 * that its request fails, and no other.
 */
const MORE_ANSWERS = 10;

/** The most pages of a list. A page has 100 objects or more. */
const MOST_PAGES = 10_000;

/** A server with a batch API. */
interface BatchServer {
  /** The key that is sent. It must not appear in messages. */
  apiKey: string | undefined;
  /** The most bytes of the body of an answer. */
  maxAnswerBytes: number;
}

/** Sends one request. @param options `timeout` is for the time until the headers of the answer */
export type Send = (options: { signal: AbortSignal; timeout: number }) => Promise<Response>;

/** How a list that comes in pages is read. */
export interface Pages {
  /** The list in a page. */
  objects(page: unknown): unknown;
  /** The query of the page after this one; null if it is the last. */
  next(page: unknown, last: Json | undefined): Record<string, string> | null;
}

/** The requests about files and batches, with a client that knows the paths of its server. */
export function requestsTo({ client, ...server }: BatchServer & { client: Client }) {
  const { ask, list, lines, remove } = requestsWith(server);
  const sending =
    (method: "get" | "post" | "delete", path: string, more: Partial<RequestOptions> = {}): Send =>
    (options) =>
      client[method](path, { ...options, ...more }).asResponse();
  return {
    ask: (method: "get" | "post", path: string, options: Partial<RequestOptions>, signal: AbortSignal) =>
      ask(sending(method, path, options), signal),
    list: (path: string, query: Record<string, string>, pages: Pages, signal: AbortSignal) =>
      list(path, (place) => sending("get", path, { query: { ...query, ...place } }), pages, signal),
    lines: (path: string, requests: number, signal: AbortSignal) => lines(path, sending("get", path), requests, signal),
    remove: (path: string, signal: AbortSignal) => remove(sending("delete", path), signal),
  };
}

/** The answer to the cancel of a batch; null if it was refused because the batch may have ended, and then stays as it is. */
export async function unlessEnded(cancelling: Promise<unknown>): Promise<unknown> {
  try {
    return await cancelling;
  } catch (error) {
    if (error instanceof CallError && [400, 409].includes(error.details.httpStatus ?? 0)) return null;
    throw error;
  }
}

/** The requests about files and batches. */
export function requestsWith({ apiKey, maxAnswerBytes }: BatchServer) {
  /** Sends one request, and returns the JSON of the answer. */
  function ask(send: Send, signal: AbortSignal): Promise<unknown> {
    return within(signal, apiKey, async (own) => readJson(await send({ signal: own, timeout: ANSWER_TIMEOUT_MS })));
  }

  /**
   * All objects of a list, page by page.
   * @param sendPage the request for the page at a place
   */
  async function* list(
    name: string,
    sendPage: (place: Record<string, string>) => Send,
    pages: Pages,
    signal: AbortSignal,
  ): AsyncGenerator<Json> {
    const seen = new Set<string>();
    for (let place: Record<string, string> = {}; seen.size < MOST_PAGES;) {
      const page = await ask(sendPage(place), signal);
      const data = pages.objects(page);
      // A batch that is missing in the list would be sent, and paid, again.
      if (!Array.isArray(data)) throw unexpected("a list", page, apiKey);
      const objects = data.map(asObject).filter((one) => one !== undefined);
      yield* objects;
      const next = pages.next(page, objects.at(-1));
      const mark = JSON.stringify(next);
      // Some servers ignore which page is asked for, and return the newest again and again.
      if (next === null || seen.has(mark)) return;
      seen.add(mark);
      place = next;
    }
    throw new CallError("malformed", `the list ${name} has more than ${MOST_PAGES} pages`);
  }

  /** The lines of a file with the results of so many requests. */
  async function* lines(name: string, send: Send, requests: number, signal: AbortSignal): AsyncGenerator<string> {
    const longest = maxAnswerBytes + LINE_ENVELOPE;
    using own = ownSignal(signal, DOWNLOAD_TIMEOUT_MS);
    try {
      const { body } = await send({ signal: own.signal, timeout: ANSWER_TIMEOUT_MS });
      if (body) yield* splitLines(arriving(body, (requests + MORE_ANSWERS) * longest), longest);
    } catch (error) {
      signal.throwIfAborted();
      if (own.isLate()) throw endless(`the results at ${name} did not end in ${DOWNLOAD_TIMEOUT_MS / 3_600_000} hours`);
      throw toCallError(error, apiKey);
    }
  }

  async function remove(send: Send, signal: AbortSignal): Promise<void> {
    await within(signal, apiKey, (own) => send({ signal: own, timeout: REMOVAL_TIMEOUT_MS }));
  }

  return { ask, list, lines, remove };
}

/**
 * Works on a request with a signal of its own.
 * @throws CallError when it fails, or the reason of the signal if that was aborted
 */
export async function within<T>(
  signal: AbortSignal,
  secret: string | undefined,
  work: (own: AbortSignal) => Promise<T>,
): Promise<T> {
  using own = ownSignal(signal);
  try {
    return await work(own.signal);
  } catch (error) {
    signal.throwIfAborted();
    throw toCallError(error, secret);
  }
}

/** The error of an upload: this status means a prompt that is too long for a call, but a file that is too large here. */
export function tooLargeFile(error: unknown): unknown {
  const isTooLarge = error instanceof CallError && error.details.httpStatus === 413;
  return isTooLarge ? new CallError("file_too_large", error.message, error.details) : error;
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

/** The error for an unexpected answer with a status of success. */
export function unexpected(wanted: string, value: unknown, secret: string | undefined): CallError {
  const embedded = realError(asObject(value)?.["error"]);
  const error =
    embedded !== undefined
      ? embeddedError(embedded, {})
      : new CallError("malformed", `the server did not answer with ${wanted}: ${shown(value)}`);
  return toCallError(error, secret);
}
