import {
  Agent,
  EnvHttpProxyAgent,
  fetch as undiciFetch,
  type RequestInit as UndiciInit,
  type Response as UndiciResponse,
} from "undici";
import { UsageError } from "../errors.ts";
import { Body } from "./bodies.ts";
import { RestingPool } from "./connections.ts";
import { type Answer, exchange, MOST_ERROR_BYTES, type RawHeaders, tooLarge } from "./exchange.ts";
import { noProxyFor } from "./no-proxy.ts";
import { CallError } from "./provider.ts";
import type { Connection } from "./provider-info.ts";
import { MOST_HOPS, nextOf, type Redirect, redirectOf, shownAddress } from "./redirects.ts";
import { connectionError, refusalBody, TransportError } from "./refusal.ts";

const PROXY_VARIABLES = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];

/** How long the body of a file may stand still. */
const STALLED_MS = 120_000;

/** What of a connection decides how its requests are sent. */
type Reached = Pick<Connection, "maxAnswerBytes" | "baseUrl">;

/** How requests for single answers are sent. */
export interface Transport {
  /** A `fetch` for the SDKs. */
  fetch: typeof fetch;
  /** Ends all requests in flight. */
  close: (reason: Error) => void;
}

/**
 * A `fetch` for the SDKs on undici's dispatchers, which costs less time per call than the built-in one. It opens as many
 * sockets as there are requests, honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and has read the whole body when it
 * returns, so that a timeout or a connection that breaks covers the body too. Where there is no answer it throws a
 * TransportError.
 */
export function createTransport({ maxAnswerBytes, baseUrl }: Reached): Transport {
  const dispatcher = createDispatcher(baseUrl, {
    bodyTimeout: 0,
    allowH2: false,
    factory: (origin, options) => new RestingPool(origin, options),
  });
  // Nearly all requests have the same address and the same headers.
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

/** The same function, which does not compute anew what it has computed last. */
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
 * A response whose body has been read: what the SDKs and answer.ts ask of one. To build a `Response` takes as long as
 * to send the request.
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

  /** What the SDKs would write into their logs: nothing of it is wanted. */
  entries(): IterableIterator<[string, string]> {
    return [].values();
  }
}

/**
 * A `fetch` for the SDKs that sends files and receives their contents piece by piece, and goes through proxies as the
 * other one does. All other answers are whole when it returns.
 */
export function createFileFetch({ maxAnswerBytes, baseUrl }: Reached): typeof fetch {
  const dispatcher = createDispatcher(baseUrl, { bodyTimeout: STALLED_MS });
  return async (input, init = {}) => {
    let url = new URL(input instanceof Request ? input.url : String(input));
    let headers = init.headers;
    const isDownload = (init.method ?? "GET") === "GET" && url.pathname.endsWith("/content");
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
        // Elsewhere goes nothing that is meant for the server: no key, and no header of the environment.
        if (!next.isSameServer) headers = {};
        url = next.url;
      }
    } catch (error) {
      // Who gave the request up knows why; otherwise the SDK's time for it is over.
      const isOver = init.signal?.aborted === true;
      throw new TransportError(isOver ? new CallError("timeout", "the request timed out") : connectionError(error));
    }
  };
}

/** Files may lie elsewhere; all else is asked of the server alone. What is sent piece by piece cannot be sent again. */
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

function createDispatcher(baseUrl: string | null, own: Agent.Options): Agent | EnvHttpProxyAgent {
  // Timeouts are the caller's: a slow answer is not a dead one.
  const options = { headersTimeout: 0, connections: null, ...own };
  return PROXY_VARIABLES.some((name) => process.env[name])
    ? proxyAgent({ ...options, noProxy: noProxyFor(baseUrl) })
    : new Agent(options);
}

function proxyAgent(options: EnvHttpProxyAgent.Options): EnvHttpProxyAgent {
  try {
    return new EnvHttpProxyAgent(options);
  } catch (error) {
    throw new UsageError(
      `${PROXY_VARIABLES.filter((name) => process.env[name]).join(" or ")} is not the URL of a proxy`,
      "Expected such as http://127.0.0.1:3128.",
      error,
    );
  }
}

/**
 * The headers that make an SDK send the right key, or none, and nothing else that is meant for the provider's own hosts.
 * @param variable the environment's variable whose headers the SDK adds to every request
 */
export function headersOf({ apiKey, isTrusted }: Connection, variable: string): Record<string, string | null> {
  const lines = isTrusted ? [] : (process.env[variable] ?? "").split("\n").filter((line) => line.includes(":"));
  const removed = lines.map((line) => [line.slice(0, line.indexOf(":")).trim(), null]);
  return {
    ...(Object.fromEntries(removed) as Record<string, null>),
    ...(apiKey === undefined ? { Authorization: null } : !isTrusted && { Authorization: `Bearer ${apiKey}` }),
  };
}
