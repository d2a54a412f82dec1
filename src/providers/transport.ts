import { fetch as undiciFetch, type RequestInit as UndiciInit, type Response as UndiciResponse } from "undici";
import { createDispatcher } from "../network/dispatcher.ts";
import { MOST_HOPS, nextOf, type Redirect, redirectOf, shownAddress } from "../network/redirects.ts";
import { Body } from "./bodies.ts";
import { RestingPool } from "./connections.ts";
import { type Answer, exchange, MOST_ERROR_BYTES, type RawHeaders, tooLarge } from "./exchange.ts";
import { CallError } from "./provider.ts";
import type { Connection } from "./provider-info.ts";
import { connectionError } from "./connection-error.ts";
import { refusalBody, TransportError } from "./refusal.ts";

/** The longest pause while the body of a file arrives. */
const STALLED_MS = 120_000;

/** The parts of a connection that decide how requests are sent. */
type Reached = Pick<Connection, "maxAnswerBytes" | "baseUrl">;

/** Sends requests for single answers. */
export interface Transport {
  /** A `fetch` for the SDKs. */
  fetch: typeof fetch;
  /** Ends all requests in flight. */
  close: (reason: Error) => void;
}

/**
 * A `fetch` for the SDKs, built on undici's dispatchers; it takes less time per call than the built-in one. It opens a
 * socket for each request in flight, and uses HTTPS_PROXY, HTTP_PROXY and NO_PROXY. It returns only after the whole body
 * has arrived, so that timeouts and broken connections cover the body, too. It throws a TransportError when no answer
 * comes.
 */
export function createTransport({ maxAnswerBytes, baseUrl }: Reached): Transport {
  const dispatcher = createDispatcher(baseUrl, {
    bodyTimeout: 0,
    allowH2: false,
    factory: (origin, options) => new RestingPool(origin, options),
  });
  // Nearly all requests have the same URL and headers.
  const addressOf = remembering((url: string) => new URL(url));
  const fieldsOf = remembering((headers: RequestInit["headers"]) => [
    ...[...new Headers(headers)].filter(([name]) => name !== "accept-encoding").flat(),
    "accept-encoding",
    "identity",
  ]);
  return {
    fetch: async (input, init = {}) => {
      let url = addressOf(input instanceof Request ? input.url : String(input));
      for (let hops = 0; ; hops += 1) {
        const { origin, pathname, search } = url;
        const request = {
          origin,
          path: pathname + search,
          method: init.method ?? "GET",
          headers: fieldsOf(init.headers),
          body: (init.body as string | undefined) ?? null,
        };
        const answer = await exchange(dispatcher, request, { signal: init.signal, mostBytes: maxAnswerBytes }).catch(
          (error: unknown) => {
            throw error instanceof CallError ? new TransportError(error) : error;
          },
        );
        const next = hops < MOST_HOPS ? nextOf(answer.status, locationOf(answer), url) : null;
        if (!next) return wholeResponse(answer, url);
        url = next;
      }
    },
    close(reason) {
      void dispatcher.destroy(reason);
    },
  };
}

/** The same function with a cache for its last result. */
function remembering<A, B>(compute: (argument: A) => B): (argument: A) => B {
  let last: { argument: A; result: B } | undefined;
  return (argument) => {
    if (last?.argument !== argument || !last) last = { argument, result: compute(argument) };
    return last.result;
  };
}

function locationOf({ headers: { location } }: Answer): string | null {
  return typeof location === "string" ? location : (location?.[0] ?? null);
}

function wholeResponse(answer: Answer, url: URL): Response {
  const { status, headers, text } = answer;
  const isSuccess = status >= 200 && status < 300;
  const body = isSuccess ? text : refusalBody(status, text, shownAddress(locationOf(answer), url));
  return new WholeResponse(status, headers, body) as unknown as Response;
}

/**
 * A response whose body has been read, with only the members that the SDKs and answer.ts use. Building a `Response` would
 * take as long as sending the request.
 */
class WholeResponse {
  readonly status: number;
  readonly headers: WholeHeaders;
  readonly url = "";
  readonly body = null;
  readonly #text: string;

  constructor(status: number, headers: RawHeaders, text: string) {
    this.status = status;
    this.headers = new WholeHeaders(headers);
    this.#text = text;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  text(): Promise<string> {
    return Promise.resolve(this.#text);
  }
}

class WholeHeaders {
  readonly #raw: RawHeaders;

  constructor(raw: RawHeaders) {
    this.#raw = raw;
  }

  /** @param name in lower case */
  get(name: string): string | null {
    const value = this.#raw[name];
    return value === undefined ? null : typeof value === "string" ? value : value.join(", ");
  }

  /** The SDKs use this only for their logs, which are off. */
  entries(): IterableIterator<[string, string]> {
    return [].values();
  }
}

/**
 * A `fetch` for the SDKs that sends and receives files piece by piece, and uses proxies like the other one. It returns
 * all other answers only after the whole body has arrived.
 * @param file the end of the paths that give a file
 */
export function createFileFetch({ maxAnswerBytes, baseUrl }: Reached, file = "/content"): typeof fetch {
  const dispatcher = createDispatcher(baseUrl, { bodyTimeout: STALLED_MS });
  return async (input, init = {}) => {
    let url = new URL(input instanceof Request ? input.url : String(input));
    let headers = init.headers;
    const isDownload = (init.method ?? "GET") === "GET" && url.pathname.endsWith(file);
    try {
      for (let hops = 0; ; hops += 1) {
        const options = { ...init, headers, redirect: "manual", dispatcher } as UndiciInit;
        const response = await undiciFetch(url, options);
        const location = response.headers.get("location");
        const next = hops < MOST_HOPS ? fileRedirect(response.status, location, url, isDownload, init.body) : null;
        if (!next) {
          if (response.ok && isDownload) return response;
          return wholeResponse(await readWhole(response, maxAnswerBytes), url);
        }
        await response.body?.cancel();
        // Another server gets neither the key nor the headers from the environment.
        if (!next.isSameServer) headers = {};
        url = next.url;
      }
    } catch (error) {
      // If the caller aborted the request, it throws its own reason; otherwise the SDK's timeout has passed.
      const isOver = init.signal?.aborted === true;
      throw new TransportError(isOver ? new CallError("timeout", "the request timed out") : connectionError(error));
    }
  };
}

/** Files may be on another server, other answers may not. An upload is not redirected: it cannot be sent again. */
function fileRedirect(
  status: number,
  location: string | null,
  url: URL,
  isDownload: boolean,
  body: RequestInit["body"],
): Redirect | null {
  if (isDownload) return status === 304 ? null : redirectOf(status, location, url);
  const next = body === undefined || typeof body === "string" ? nextOf(status, location, url) : null;
  return next && { url: next, isSameServer: true };
}

async function readWhole(response: UndiciResponse, maxAnswerBytes: number): Promise<Answer> {
  const { status, ok } = response;
  const mostBytes = ok ? maxAnswerBytes : MOST_ERROR_BYTES;
  const body = new Body(mostBytes);
  try {
    for await (const piece of response.body ?? []) {
      const waiting = Promise.withResolvers<void>();
      const next = body.add(Buffer.from(piece as Uint8Array), waiting.resolve);
      if (next === "wait") await waiting.promise;
      if (next !== "full") continue;
      if (ok) throw tooLarge(status, mostBytes);
      break;
    }
    return { status, headers: Object.fromEntries(response.headers), text: body.end().toString() };
  } finally {
    body.end();
  }
}

/**
 * Headers that override the SDK's own, so that it sends the right key or none, and sends the user's other settings for the
 * provider only to the provider's own hosts.
 * @param variable the environment variable with headers that the SDK adds to every request
 */
export function headersOf({ apiKey, isTrusted }: Connection, variable: string): Record<string, string | null> {
  const lines = isTrusted ? [] : (process.env[variable] ?? "").split("\n").filter((line) => line.includes(":"));
  const removed = lines.map((line) => [line.slice(0, line.indexOf(":")).trim(), null]);
  return {
    ...(Object.fromEntries(removed) as Record<string, null>),
    ...(apiKey === undefined ? { Authorization: null } : !isTrusted && { Authorization: `Bearer ${apiKey}` }),
  };
}
