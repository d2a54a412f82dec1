import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { type ApiOptions, createApi } from "./api.ts";
import { originsOf, refusalOf } from "./guard.ts";
import { createSession } from "./session.ts";
import type { ViewError } from "./view-error.ts";

export interface ServerOptions extends Pick<ApiOptions, "ask" | "watch" | "shell" | "onBug"> {
  /** 0 for any free one. */
  port: number;
  /** The address at which a browser reaches the server through a tunnel. */
  publicOrigin: URL | null;
}

export interface ViewServer {
  port: number;
  /** The secret that the page changes for a cookie. */
  token: string;
  close(): void;
}

/** The only address that the server can be reached at: other machines cannot. */
const LOOPBACK = "127.0.0.1";

const MOST_HEADER_BYTES = 32 * 1_024;
const MOST_CONNECTIONS = 128;

/** How much of all answers may wait for readers that are slow or read nothing, in bytes, before one more is made. */
const MOST_UNSENT = 32 * 1_024 * 1_024;

/** How long a client may take for the head of a request, for all of it, and for nothing at all. */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 };
const IDLE_MS = 60_000;

/**
 * Of every answer. The page runs only its own script, loads nothing from elsewhere, and is shown in no other page; what it
 * gets is stored nowhere.
 */
const HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "permissions-policy": ["camera", "geolocation", "microphone", "payment", "usb"]
    .map((name) => `${name}=()`)
    .join(", "),
} as const;

/** Starts to listen. @throws Error with the code `EADDRINUSE` or `EACCES` if it cannot have the port */
export async function startServer({ port: wanted, publicOrigin, ...options }: ServerOptions): Promise<ViewServer> {
  const server = createServer({ ...TIMEOUTS, maxHeaderSize: MOST_HEADER_BYTES, connectionsCheckingInterval: 1_000 });
  server.maxConnections = MOST_CONNECTIONS;
  server.timeout = IDLE_MS;
  server.listen(wanted, LOOPBACK);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const session = createSession(port);
  const origins = originsOf(port, publicOrigin);
  const open = new Set<ServerResponse>();
  const hasRoom = () => [...open].reduce((sum, { writableLength }) => sum + writableLength, 0) <= MOST_UNSENT;
  const api = createApi({ ...options, session, origins, hasRoom });
  const listener = getRequestListener(api.fetch, { overrideGlobalObjects: false });
  server.on("request", (request, response) => {
    open.add(response);
    response.once("close", () => open.delete(response));
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const { method = "", url: target = "", rawHeaders } = request;
    const refusal = refusalOf({ method, target, rawHeaders }, origins, session);
    if (refusal) refuse(response, refusal);
    else listener(request, response).catch(options.onBug);
  });
  return { port, token: session.token, close: () => close(server) };
}

/** Refuses a request whose body nobody reads. */
function refuse(response: ServerResponse, { status, message, hint }: ViewError): void {
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify({ error: { message, hint } }));
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}
