import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf, promptHashOf } from "./answers.ts";
import type { Asked, Endpoint, Usage } from "./answers.ts";
import { createBatchApi } from "./batch-api.ts";
import type { BatchApiOptions, BatchRequest } from "./batch-api.ts";
import type { RecordedBatch } from "./batches.ts";
import { outgoing } from "./faults.ts";
import type { Fault, Outgoing } from "./faults.ts";
import { createFileStore } from "./files.ts";
import type { StoredFile } from "./files.ts";
import { fakes, REMOTE, type RemoteName } from "./providers/index.ts";

export { answerTo, promptHashOf, shortened, usageFor } from "./answers.ts";
export type { Asked, Endpoint, Usage } from "./answers.ts";
export { TOKEN_LIMIT } from "./batches.ts";
export type { LineFault } from "./batches.ts";
export type { BatchFault } from "./batch-api.ts";
export type { Fault } from "./faults.ts";

/** A request that has arrived, as the script of a test sees it; `answerTo` and `usageFor` take it too. */
export interface IncomingCall extends Asked {
  provider: RemoteName;
  endpoint: Endpoint;
  promptHash: string;
  /** How many times this very request (provider, endpoint, prompt, parameters) has arrived, from 1. */
  nth: number;
  /** Its place among all requests, lines of batches included, from 0. */
  index: number;
  body: Record<string, unknown>;
  /** The id of a line of a batch; undefined for a request of its own. */
  customId: string | undefined;
}

/** One request, without its prompt. Times are those of `performance.now()` in the server's process. */
export interface RecordedRequest {
  at: number;
  /** When it was answered or its connection ended. */
  ended: number | undefined;
  index: number;
  nth: number;
  path: string;
  provider: RemoteName;
  endpoint: Endpoint;
  /** The header with the key, such as `Bearer KEY`. */
  authorization: string | undefined;
  /** The header `openai-organization`. */
  organization: string | undefined;
  promptHash: string;
  model: string;
  /** The body without `model`, `messages` and `prompt`. */
  parameters: Record<string, unknown>;
  /** The whole body, with `keepBodies`. */
  body: Record<string, unknown> | undefined;
  fault: Fault["kind"] | undefined;
  /** Undefined until it is answered, and where it never is. */
  status: number | undefined;
  requestId: string;
  /** What it was charged, once the answer had been sent completely. */
  usage: Usage | undefined;
  /** Whether its connection ended before it was answered, other than by a fault of the script. */
  aborted: boolean;
}

/** Sums over all that was sent completely: every usage, and the answers that a client can keep. */
export interface Served extends Usage {
  answers: number;
}

export interface ServerOptions extends BatchApiOptions {
  /** Milliseconds between a request and its answer, faults included. Default: 0. */
  latency?: number | ((call: IncomingCall) => number) | undefined;
  /** The script of a test: what goes wrong with a request; undefined for a good answer. */
  behave?: ((call: IncomingCall) => Fault | undefined) | undefined;
  /** More headers for every response, such as those of a rate limit. */
  headers?: ((call: IncomingCall) => Record<string, string>) | undefined;
  /** Keeps the body of every request: for small tests only. */
  keepBodies?: boolean | undefined;
}

/** The base URL of each provider: `openaiUrl` and so on. */
type BaseUrls = { readonly [Name in RemoteName as `${Name}Url`]: string };

/** A server on the loopback interface that answers as every provider; its options can be changed while it runs. */
export interface LoopbackServer extends ServerOptions, BaseUrls, AsyncDisposable {
  readonly port: number;
  readonly requests: RecordedRequest[];
  /** Requests for lists of models. */
  readonly listings: { provider: RemoteName; headers: IncomingHttpHeaders }[];
  /** Requests for anything else (`GET /openai/v1/engines`), or with a body that is no JSON object. */
  readonly strays: string[];
  /** Requests that have begun to arrive and have not been answered. */
  readonly inFlight: number;
  /** A client that gives up and at once sends again may be seen with both. Can be set to 0 between phases. */
  maxInFlight: number;
  readonly served: Served;
  /** All files, oldest first. */
  readonly files: readonly StoredFile[];
  /** All batches, oldest first, as they are now. */
  readonly batches: readonly RecordedBatch[];
  /** All requests for files and batches that arrived whole. */
  readonly batchRequests: readonly BatchRequest[];
  /** How often each prompt was charged, live and in batches, by its hash. */
  charged(): Map<string, number>;
  /** Drops every connection and refuses new ones, until `comeUp`. */
  goDown(): Promise<void>;
  /** Listens again, on the same port. */
  comeUp(): Promise<void>;
}

interface Route {
  provider: RemoteName;
  endpoint: Endpoint;
  /** Below the base URL. */
  path: string;
}

function routeOf(method: string | undefined, url: string): Route | undefined {
  const [, name, path = ""] = /^\/(\w+)(\/[^?]*)/.exec(url) ?? [];
  const provider = REMOTE.find((one) => one === name);
  if (method !== "POST" || !provider || !path.startsWith(fakes[provider].base)) return undefined;
  const below = path.slice(fakes[provider].base.length);
  const endpoint = fakes[provider].endpointAt(below);
  return endpoint && { provider, endpoint, path: below };
}

/** Starts a server on a free port. `await using` closes it, and throws what the test's script threw, if it did. */
export async function startServer(options: ServerOptions = {}): Promise<LoopbackServer> {
  const arrivals = new Map<string, number>();
  const scriptErrors: unknown[] = [];
  let inFlight = 0;
  let arrived = 0;

  const http = createServer(receive);
  // A connection that the server gave up by itself would look like a fault that no test asked for.
  http.keepAliveTimeout = 0;
  http.requestTimeout = 0;
  http.headersTimeout = 0;

  const files = createFileStore();
  const api = createBatchApi({
    get options() {
      return server;
    },
    files,
    incoming(lineRoute, body, customId) {
      const { call, digest } = arrival(lineRoute, body, customId);
      return { call, digest, fault: guarded(() => server.behaveLine?.(call) ?? server.behave?.(call)) };
    },
    charge,
    guarded,
  });
  const port = await listen(0);
  const server: LoopbackServer = {
    ...options,
    port,
    ...urlsAt(port),
    requests: [],
    listings: [],
    strays: [],
    get inFlight() {
      return inFlight;
    },
    maxInFlight: 0,
    served: { answers: 0, prompt: 0, completion: 0, total: 0, cached: 0, reasoning: 0 },
    files: files.all,
    get batches() {
      return api.batches.records();
    },
    batchRequests: api.requests,
    charged() {
      const lines = server.batches.flatMap((batch) => batch.lines);
      const hashes = [...server.requests, ...lines].flatMap(({ promptHash, usage }) => (usage && promptHash) || []);
      const counts = new Map<string, number>();
      for (const hash of hashes) counts.set(hash, (counts.get(hash) ?? 0) + 1);
      return counts;
    },
    goDown: close,
    async comeUp() {
      await listen(port);
    },
    async [Symbol.asyncDispose]() {
      await close();
      await files[Symbol.asyncDispose]();
      if (scriptErrors.length > 0) throw scriptErrors[0];
    },
  };
  return server;

  async function listen(onPort: number): Promise<number> {
    http.listen({ port: onPort, host: "127.0.0.1", backlog: 4096 });
    await once(http, "listening");
    return (http.address() as AddressInfo).port;
  }

  async function close(): Promise<void> {
    const closed = new Promise((resolve) => http.close(resolve));
    http.closeAllConnections();
    await closed;
  }

  function receive(request: IncomingMessage, response: ServerResponse): void {
    const at = performance.now();
    const { method, url = "" } = request;
    const route = routeOf(method, url);
    const batchRoute = api.routeOf(method, url);
    const chunks: Buffer[] = [];
    let open = true;
    const leave = () => {
      if (open) inFlight--;
      open = false;
    };
    inFlight++;
    server.maxInFlight = Math.max(server.maxInFlight, inFlight);
    response.once("close", leave);
    // A client may be killed while it sends: that is no request yet.
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (batchRoute) {
        response.once("finish", leave);
        api.accept(batchRoute, request, response, Buffer.concat(chunks)).catch((error: unknown) => {
          scriptErrors.push(error);
          response.destroy();
        });
        return;
      }
      const body = route && objectIn(chunks);
      if (route && body) {
        accept({ at, request, response, leave }, route, body);
        return;
      }
      leave();
      const lister =
        method === "GET" &&
        REMOTE.find((name) => url.split("?")[0] === `/${name}${fakes[name].base}/${fakes[name].modelsPath}`);
      if (lister) {
        server.listings.push({ provider: lister, headers: request.headers });
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(fakes[lister].models));
        return;
      }
      server.strays.push(`${method} ${url}`);
      const message = route ? "The body is not a JSON object" : `Invalid URL (${method} ${url})`;
      response.writeHead(route ? 400 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: null } }));
    });
  }

  /** A request that has come, on its own or as a line of a batch. */
  function arrival(route: Route, body: Record<string, unknown>, customId?: string) {
    const { provider, endpoint } = route;
    const { parameters, prompt: text, ...read } = fakes[provider].read(body, route);
    const promptHash = promptHashOf(text);
    // What is sent says that it wants no stream, and a line of a batch cannot.
    const sorted = Object.keys(parameters)
      .filter((key) => key !== "stream")
      .toSorted()
      .map((key) => [key, parameters[key]]);
    const same = JSON.stringify([provider, endpoint, read.model, promptHash, sorted]);
    const nth = (arrivals.get(same) ?? 0) + 1;
    arrivals.set(same, nth);
    const call: IncomingCall = {
      provider,
      endpoint,
      ...read,
      prompt: text,
      promptHash,
      nth,
      index: arrived++,
      body,
      customId,
    };
    return { call, digest: digestOf(call, promptHash), parameters };
  }

  /** Runs a hook of the test's script. An error in it would be lost in here: it is thrown at the end. */
  function guarded<T>(hook: () => T): T | undefined {
    try {
      return hook();
    } catch (error) {
      scriptErrors.push(error);
      return undefined;
    }
  }

  function charge(usage: Usage | undefined, isGood: boolean): void {
    if (isGood) server.served.answers++;
    for (const key of USAGE_KEYS) server.served[key] += usage?.[key] ?? 0;
  }

  function accept(exchange: Exchange, route: Route, body: Record<string, unknown>): void {
    const { at, request, response } = exchange;
    const { call, digest, parameters } = arrival(route, body);
    const { promptHash, nth, index } = call;
    const { fault, latency, headers } = scripted(call);
    const [keyHeader] = fakes[route.provider].keyHeader("");
    const authorization = request.headers[keyHeader]?.toString();
    const record: RecordedRequest = {
      at,
      ended: undefined,
      index,
      nth,
      path: request.url ?? "",
      provider: route.provider,
      endpoint: route.endpoint,
      authorization,
      organization: request.headers["openai-organization"]?.toString(),
      promptHash,
      model: call.model,
      parameters,
      body: server.keepBodies ? body : undefined,
      fault: fault?.kind,
      status: undefined,
      requestId: fakes[route.provider].requestId(),
      usage: undefined,
      aborted: false,
    };
    server.requests.push(record);

    const send = () => {
      const sent = outgoing(call, digest, fault, record.requestId, authorization);
      const own = fakes[route.provider].headers(record.requestId, performance.now() - at);
      transmit(exchange, record, { ...sent, headers: { ...own, ...headers, ...sent.headers } }, fault);
    };
    const timer = latency > 0 ? setTimeout(send, latency) : undefined;
    response.once("close", () => {
      clearTimeout(timer);
      if (record.ended !== undefined) return;
      record.ended = performance.now();
      record.aborted = true;
    });
    if (!timer) send();
  }

  /** What the test's script wants for a call. An error in it would be lost in here: it is thrown at the end. */
  function scripted(call: IncomingCall): {
    fault: Fault | undefined;
    latency: number;
    headers: Record<string, string>;
  } {
    try {
      return {
        fault: server.behave?.(call),
        latency: (typeof server.latency === "function" ? server.latency(call) : server.latency) ?? 0,
        headers: server.headers?.(call) ?? {},
      };
    } catch (error) {
      scriptErrors.push(error);
      return { fault: { kind: "status", status: 500, message: "The script threw" }, latency: 0, headers: {} };
    }
  }

  function transmit({ request, response, leave }: Exchange, record: RecordedRequest, sent: Outgoing, fault?: Fault) {
    const { socket } = request;
    if (fault?.kind === "hang" || socket.destroyed) return;
    const ended = () => {
      record.ended = performance.now();
      leave();
    };
    if (fault?.kind === "reset" || fault?.kind === "close") {
      ended();
      if (fault.kind === "reset") socket.resetAndDestroy();
      else socket.destroy();
      return;
    }
    const { status, headers, body, usage, good } = sent;
    record.status = status;
    response.writeHead(status, { ...headers, "content-length": body.length });
    if (fault?.kind === "half") {
      ended();
      response.write(body.subarray(0, body.length >> 1), () => socket.destroy());
      return;
    }
    response.once("finish", () => {
      record.ended = performance.now();
      record.usage = usage;
      charge(usage, good);
    });
    const end = (rest: Buffer) => {
      // The client may send its next request as soon as it has the last byte, so this one ends before.
      leave();
      response.end(rest);
    };
    if (fault?.kind !== "slowBody") {
      end(body);
      return;
    }
    response.write(body.subarray(0, body.length >> 1));
    const timer = setTimeout(() => end(body.subarray(body.length >> 1)), fault.ms);
    response.once("close", () => clearTimeout(timer));
  }
}

function urlsAt(port: number): BaseUrls {
  const urls = REMOTE.map((name) => [`${name}Url`, `http://127.0.0.1:${port}/${name}${fakes[name].base}`]);
  return Object.fromEntries(urls) as BaseUrls;
}

interface Exchange {
  at: number;
  request: IncomingMessage;
  response: ServerResponse;
  /** Takes it out of those in flight; once is enough. */
  leave: () => void;
}

const USAGE_KEYS = ["prompt", "completion", "total", "cached", "reasoning"] as const;

function objectIn(chunks: Buffer[]): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString());
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
