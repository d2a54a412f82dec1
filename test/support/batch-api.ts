import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ProviderName } from "./answers.ts";
import { batchBody, fileBody } from "./batch-formats.ts";
import { createBatches, ENDPOINTS } from "./batches.ts";
import type { BatchHost, BatchOptions } from "./batches.ts";
import type { Fault } from "./faults.ts";
import { formIn } from "./files.ts";
import type { StoredFile } from "./files.ts";
import { errorBody, headersOf, requestIdOf } from "./formats.ts";
import type { ErrorParts } from "./formats.ts";

export type BatchOperation =
  | "upload"
  | "listFiles"
  | "getFile"
  | "content"
  | "create"
  | "listBatches"
  | "get"
  | "cancel";

/** A request for files or batches that has arrived whole, as the script of a test sees it. */
export interface BatchRequest {
  provider: ProviderName;
  operation: BatchOperation;
  /** How many times this operation was asked for, from 1. */
  nth: number;
  method: string;
  /** With its query. */
  path: string;
  authorization: string | undefined;
}

/** What goes wrong with such a request; `isTaken` says whether it has its effect all the same. */
export type BatchFault = Extract<Fault, { kind: "status" | "html" | "reset" | "close" | "hang" | "half" }> & {
  isTaken?: boolean;
};

export interface BatchApiOptions extends BatchOptions {
  /** Called at each request for files and batches, once it has arrived whole: the place to kill a client. */
  behaveApi?: ((request: BatchRequest) => BatchFault | undefined) | undefined;
}

interface ApiHost extends BatchHost {
  options: BatchApiOptions;
}

interface Route {
  provider: ProviderName;
  operation: BatchOperation;
  id: string;
  query: URLSearchParams;
}

type Answer = { status?: number; body: unknown } | { file: StoredFile };

/** A request that is refused. */
class Refusal extends Error {
  readonly status: number;
  readonly parts: ErrorParts;

  constructor(status: number, message: string, parts: ErrorParts = {}) {
    super(message);
    this.status = status;
    this.parts = { code: null, type: "invalid_request_error", ...parts, message };
  }
}

const MOST_BYTES: Record<ProviderName, number> = { openai: 200_000_000, together: 100_000_000 };

/** The endpoints for files and batches. */
export function createBatchApi(host: ApiHost) {
  const requests: BatchRequest[] = [];
  const { all: files } = host.files;
  const batches = createBatches(host);
  return { requests, batches, routeOf, accept };

  async function accept(route: Route, request: IncomingMessage, response: ServerResponse, body: Buffer) {
    const { provider, operation } = route;
    const about: BatchRequest = {
      provider,
      operation,
      nth: requests.filter((one) => one.operation === operation && one.provider === provider).length + 1,
      method: request.method ?? "",
      path: request.url ?? "",
      authorization: request.headers.authorization,
    };
    requests.push(about);
    const fault = host.guarded(() => host.options.behaveApi?.(about));
    const requestId = requestIdOf(provider);
    const refuse = (status: number, parts: ErrorParts): Answer => {
      const asked = { model: "", prompt: "", provider };
      return { status, body: errorBody(asked, status, parts, requestId, about.authorization) };
    };
    let answer: Answer = { body: {} };
    if (!fault || fault.isTaken || fault.kind === "half") {
      try {
        answer = await perform(route, request, body);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        answer = refuse(error.status, error.parts);
      }
    }
    const { socket } = response;
    const exchange = { response, headers: headersOf(provider, requestId, 1) };
    if (fault?.kind === "hang" || !socket) return;
    if (fault?.kind === "reset") socket.resetAndDestroy();
    else if (fault?.kind === "close") socket.destroy();
    else if (fault?.kind === "status") send(exchange, refuse(fault.status, fault), fault.headers);
    else if (fault?.kind === "html") response.writeHead(fault.status ?? 502).end("<html>Bad gateway</html>");
    else if (fault?.kind === "half") await sendHalf(response, answer);
    else send(exchange, answer);
  }

  function send(
    { response, headers: own }: { response: ServerResponse; headers: Record<string, string> },
    answer: Answer,
    headers: Record<string, string> = {},
  ) {
    if ("file" in answer) {
      const { bytes, path } = answer.file;
      response.writeHead(200, { ...own, "content-type": "application/octet-stream", "content-length": bytes });
      createReadStream(path).pipe(response);
      return;
    }
    response.writeHead(answer.status ?? 200, { ...own, "content-type": "application/json", ...headers });
    response.end(JSON.stringify(answer.body));
  }

  async function perform(route: Route, request: IncomingMessage, body: Buffer): Promise<Answer> {
    const { provider, operation, query } = route;
    switch (operation) {
      case "upload":
        return { body: fileBody(await upload(provider, body, request.headers["content-type"])) };
      case "listFiles": {
        const purpose = query.get("purpose");
        const own = files.filter((file) => file.provider === provider && (!purpose || file.purpose === purpose));
        return { body: provider === "openai" ? page(own, fileBody, query, 10_000) : { data: newest(own, fileBody) } };
      }
      case "getFile":
        return { body: fileBody(fileBy(route)) };
      case "content":
        return { file: fileBy(route) };
      case "create": {
        const created = batchBody(await create(provider, body));
        return provider === "openai" ? { body: created } : { status: 201, body: { job: created, warning: "" } };
      }
      case "listBatches": {
        const own = batches.all.filter((batch) => batch.provider === provider);
        return { body: provider === "openai" ? page(own, batchBody, query, 20) : newest(own, batchBody) };
      }
      case "get": {
        const batch = batchBy(route);
        await batches.look(batch);
        return { body: batchBody(batch) };
      }
      case "cancel": {
        const batch = batchBy(route);
        const { status } = batch;
        if (await batches.cancel(batch)) return { body: batchBody(batch) };
        throw new Refusal(409, `A batch that is ${status} cannot be cancelled.`);
      }
      default:
        throw operation satisfies never;
    }
  }

  function upload(provider: ProviderName, body: Buffer, contentType: string | undefined): Promise<StoredFile> {
    const form = formIn(body, contentType);
    const field = (name: string) => form?.get(name)?.content.toString();
    const file = form?.get("file");
    const [purpose, name] = provider === "openai" ? ["batch", file?.filename] : ["batch-api", field("file_name")];
    if (!file || !name) throw new Refusal(400, "The form has no file with a name.");
    if (field("purpose") !== purpose) throw new Refusal(400, `'${field("purpose")}' is not one of ['${purpose}'].`);
    if (!name.endsWith(".jsonl")) throw new Refusal(400, "Invalid file format for Batch API. Must be .jsonl");
    if (file.content.length > (host.options.limits?.bytes ?? MOST_BYTES[provider])) {
      throw new Refusal(413, `The file is too large: it has ${file.content.length} bytes.`);
    }
    return host.files.add({ provider, name, purpose }, file.content);
  }

  function create(provider: ProviderName, body: Buffer) {
    const wanted = objectIn(body);
    const { input_file_id: fileId, endpoint, completion_window: window, metadata } = wanted;
    const file = files.find((one) => one.id === fileId && one.provider === provider && one.purpose !== "batch_output");
    if (!file) throw new Refusal(400, `Cannot find file ${String(fileId)}.`, { type: "invalid_request_error" });
    const isKnown = provider === "openai" ? ENDPOINTS.has(endpoint) : endpoint === "/v1/chat/completions";
    if (!isKnown) throw new Refusal(400, `The endpoint ${String(endpoint)} cannot be batched.`);
    if (provider === "openai" && window !== "24h") throw new Refusal(400, "The completion_window must be 24h.");
    return batches.create(file, String(endpoint), provider === "openai" ? metadata : undefined);
  }

  function fileBy({ id, provider }: Route): StoredFile {
    const file = files.find((one) => one.id === id && one.provider === provider);
    if (!file) throw new Refusal(404, `No such File object: ${id}`);
    return file;
  }

  function batchBy({ id, provider }: Route) {
    const batch = batches.all.find((one) => one.id === id && one.provider === provider);
    if (!batch) throw new Refusal(404, `No batch found with id '${id}'.`);
    return batch;
  }
}

const OPERATIONS: readonly [RegExp, BatchOperation, ProviderName?][] = [
  [/^POST files$/, "upload", "openai"],
  [/^POST files\/upload$/, "upload", "together"],
  [/^GET files$/, "listFiles"],
  [/^GET files\/([^/]+)$/, "getFile"],
  [/^GET files\/([^/]+)\/content$/, "content"],
  [/^POST batches$/, "create"],
  [/^GET batches$/, "listBatches"],
  [/^GET batches\/([^/]+)$/, "get"],
  [/^POST batches\/([^/]+)\/cancel$/, "cancel"],
];

function routeOf(method: string | undefined, url: string): Route | undefined {
  if (!/^\/(openai|together)\/v1\/(files|batches)\b/.test(url)) return undefined;
  const { pathname, searchParams: query } = new URL(url, "http://loopback");
  const [, provider, rest] = /^\/(openai|together)\/v1\/(.*)$/.exec(pathname) ?? [];
  for (const [pattern, operation, only = provider] of OPERATIONS) {
    const match = only === provider ? pattern.exec(`${method} ${rest}`) : null;
    if (match && provider) return { provider: provider as ProviderName, operation, id: match[1] ?? "", query };
  }
  return undefined;
}

function newest<T>(all: T[], show: (one: T) => object): object[] {
  return all.toReversed().map(show);
}

/** A page of a list as OpenAI gives it, the newest first unless `order` is `asc`. */
function page<T extends { id: string }>(
  all: T[],
  show: (one: T) => object,
  query: URLSearchParams,
  usual: number,
): object {
  const ordered = query.get("order") === "asc" ? all : all.toReversed();
  const start = ordered.findIndex(({ id }) => id === query.get("after")) + 1;
  const end = start + Number(query.get("limit") ?? usual);
  const shown = ordered.slice(start, end);
  return {
    object: "list",
    data: shown.map(show),
    first_id: shown[0]?.id ?? null,
    last_id: shown.at(-1)?.id ?? null,
    has_more: end < ordered.length,
  };
}

/** An answer whose connection ends in the middle of the body. */
async function sendHalf(response: ServerResponse, answer: Answer): Promise<void> {
  const body = "file" in answer ? await readFile(answer.file.path) : Buffer.from(JSON.stringify(answer.body));
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": body.length });
  response.write(body.subarray(0, body.length >> 1), () => response.socket?.destroy());
}

function objectIn(body: Buffer): Record<string, unknown> {
  try {
    return Object(JSON.parse(body.toString())) as Record<string, unknown>;
  } catch {
    return {};
  }
}
