import { Agent, EnvHttpProxyAgent, fetch as undiciFetch, type RequestInit as UndiciInit } from "undici";
import { UsageError } from "../errors.ts";
import type { Connection } from "./provider.ts";

const PROXY_VARIABLES = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];

/** How long the body of a file may stand still. */
const STALLED_MS = 120_000;

/** How requests for single answers are sent. */
export interface Transport {
  /** A `fetch` for the SDKs. */
  fetch: typeof fetch;
  /** Ends all requests in flight. */
  close: (reason: Error) => void;
}

/**
 * A `fetch` for the SDKs on undici's request API, which costs less time per call than the built-in one. It opens as
 * many sockets as there are requests, honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and has read the whole body when
 * it returns, so that a timeout or a connection that breaks covers the body too.
 */
export function createTransport(): Transport {
  const dispatcher = createDispatcher({ bodyTimeout: 0 });
  // Nearly all requests have the same address and the same headers.
  const addressOf = remembering((url: string) => new URL(url));
  const fieldsOf = remembering((headers: RequestInit["headers"]) => [...new Headers(headers)].flat());
  return {
    fetch: async (input, init = {}) => {
      const { origin, pathname, search } = addressOf(input instanceof Request ? input.url : String(input));
      const { statusCode, headers, body } = await dispatcher.request({
        origin,
        path: pathname + search,
        method: init.method ?? "GET",
        headers: fieldsOf(init.headers),
        body: (init.body as string | undefined) ?? null,
        signal: init.signal ?? null,
      });
      return new WholeResponse(statusCode, headers, await body.text()) as unknown as Response;
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

/** Header fields by their names in lower case. */
type RawHeaders = Readonly<Record<string, string | string[] | undefined>>;

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
 * A `fetch` for the SDKs that sends and receives files piece by piece, goes through proxies as the other one does, and
 * follows redirects, where it leaves the key behind if they lead to another host.
 */
export function createFileFetch(): typeof fetch {
  const dispatcher = createDispatcher({ bodyTimeout: STALLED_MS });
  return (input, init = {}) => undiciFetch(input as string | URL, { ...init, dispatcher } as UndiciInit);
}

function createDispatcher({ bodyTimeout }: { bodyTimeout: number }): Agent | EnvHttpProxyAgent {
  // Timeouts are the caller's: a slow answer is not a dead one.
  const options = { headersTimeout: 0, bodyTimeout, connections: null };
  return PROXY_VARIABLES.some((name) => process.env[name]) ? proxyAgent(options) : new Agent(options);
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
