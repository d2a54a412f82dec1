import { Agent, EnvHttpProxyAgent, fetch as undiciFetch, type RequestInit } from "undici";
import { UsageError } from "../errors.ts";
import type { Connection } from "./provider.ts";

const PROXY_VARIABLES = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];

/** How long the body of a file may stand still. */
const STALLED_MS = 120_000;

/**
 * A `fetch` for the SDKs on undici's request API, which costs less time per call than the built-in one. It opens as
 * many sockets as there are requests, honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and has read the whole body when
 * it returns, so that a timeout or a connection that breaks covers the body too.
 */
export function createFetch(): typeof fetch {
  const dispatcher = createDispatcher({ bodyTimeout: 0 });
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const response = await dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: init.method ?? "GET",
      headers: Object.fromEntries(new Headers(init.headers)),
      body: (init.body as string | undefined) ?? null,
      signal: init.signal ?? null,
    });
    const body = await response.body.text();
    const headers = Object.entries(response.headers).flatMap(([name, value]) =>
      [value ?? []].flat().map((one): [string, string] => [name, one]),
    );
    return new Response(response.statusCode === 204 ? null : body, { status: response.statusCode, headers });
  };
}

/**
 * A `fetch` for the SDKs that sends and receives files piece by piece, goes through proxies as the other one does, and
 * follows redirects, where it leaves the key behind if they lead to another host.
 */
export function createFileFetch(): typeof fetch {
  const dispatcher = createDispatcher({ bodyTimeout: STALLED_MS });
  return (input, init = {}) => undiciFetch(input as string | URL, { ...init, dispatcher } as RequestInit);
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
