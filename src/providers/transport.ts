import { Agent, EnvHttpProxyAgent } from "undici";

const PROXY_VARIABLES = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];

/**
 * A `fetch` for the SDKs on undici's request API, which costs less time per call than the built-in one. It opens as
 * many sockets as there are requests, honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and has read the whole body when
 * it returns, so that a timeout or a connection that breaks covers the body too.
 */
export function createFetch(): typeof fetch {
  // Timeouts are the caller's: a slow answer is not a dead one.
  const options = { headersTimeout: 0, bodyTimeout: 0, connections: null };
  const usesProxy = PROXY_VARIABLES.some((name) => process.env[name]);
  const dispatcher = usesProxy ? new EnvHttpProxyAgent(options) : new Agent(options);
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
 * Takes away the headers that an SDK adds to every request because this variable names them: they are meant for the
 * provider's own hosts.
 */
export function withoutHeadersOf(variable: string): Record<string, null> {
  const names = (process.env[variable] ?? "").split("\n").map((line) => line.split(":")[0]?.trim() ?? "");
  return Object.fromEntries(names.filter((name) => name !== "").map((name) => [name, null]));
}
