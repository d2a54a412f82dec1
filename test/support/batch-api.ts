import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createBatches } from "./batches.ts";
import type { BatchOperation } from "./batch-formats.ts";
import type { BatchHost, BatchOptions } from "./batches.ts";
import type { Fault } from "./faults.ts";
import { formIn } from "./files.ts";
import { INLINE, type StoredFile } from "./files.ts";
import { errorBody } from "./formats.ts";
import type { ErrorParts } from "./formats.ts";
import { batchesOf, fakes, REMOTE, type RemoteName } from "./providers/index.ts";

/** A request for files or batches that has arrived whole, as the script of a test sees it. */
export interface BatchRequest {
  provider: RemoteName;
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
  provider: RemoteName;
  operation: BatchOperation;
  id: string;
  query: URLSearchParams;
}

type Answer = { status?: number; body: unknown; headers?: Record<string, string> } | { file: StoredFile };

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

/** The endpoints for files and batches. */
export function createBatchApi(host: ApiHost) {
  const requests: BatchRequest[] = [];
  const { all: files } = host.files;
  const batches = createBatches(host);
  /** Files that arrive in parts, by the ids of their uploads. */
  const arriving = new Map<string, { name: string; parts: Buffer[] }>();
  return { requests, batches, routeOf, accept };

  async function accept(route: Route, request: IncomingMessage, response: ServerResponse, body: Buffer) {
    const { provider, operation } = route;
    const about: BatchRequest = {
      provider,
      operation,
      nth: requests.filter((one) => one.operation === operation && one.provider === provider).length + 1,
      method: request.method ?? "",
      path: request.url ?? "",
      authorization: request.headers[fakes[provider].keyHeader("")[0]]?.toString(),
    };
    requests.push(about);
    const fault = host.guarded(() => host.options.behaveApi?.(about));
    const requestId = fakes[provider].requestId();
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
    // Not that of the response: it has none while the end of the answer before it is still to come.
    const { socket } = request;
    const exchange = { response, headers: fakes[provider].headers(requestId, 1) };
    if (fault?.kind === "hang" || socket.destroyed) return;
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
    const all = { ...own, "content-type": "application/json", ...answer.headers, ...headers };
    response.writeHead(answer.status ?? 200, all);
    response.end(JSON.stringify(answer.body));
  }

  async function perform(route: Route, request: IncomingMessage, body: Buffer): Promise<Answer> {
    const { provider, operation, query } = route;
    const shown = batchesOf(provider);
    const stateOf = (batch: (typeof batches.all)[number]) => {
      const state = shown.batch(batch) as Record<string, unknown>;
      return batch.course.shows?.(state) ?? state;
    };
    switch (operation) {
      case "beginUpload":
        return beginUpload(provider, request, body);
      case "upload":
        if (shown.upload && "path" in shown.upload) return await uploadPart(route, request, body);
        return { body: shown.file(await upload(provider, body, request.headers["content-type"])) };
      case "listFiles": {
        const purpose = query.get("purpose");
        const own = files.filter(
          (file) => file.provider === provider && !file.isDeleted && (!purpose || file.purpose === purpose),
        );
        return { body: shown.fileList(own, query) };
      }
      case "getFile":
        return { body: shown.file(fileBy(route)) };
      case "content":
        return { file: shown.traits.hasOneList ? resultsOf(batchBy(route)) : fileBy(route) };
      case "delete": {
        if (shown.traits.hasOneList) {
          const batch = batchBy(route);
          resultsOf(batch).isDeleted = true;
          batch.isDeleted = true;
          return { body: { id: batch.id, type: "message_batch_deleted" } };
        }
        const file = fileBy(route);
        file.isDeleted = true;
        return { body: { id: file.id, object: "file", deleted: true } };
      }
      case "create":
        return shown.created(await create(route, body));
      case "listBatches": {
        const own = batches.all.filter((batch) => batch.provider === provider && !batch.isDeleted);
        // A client that cannot tell them apart waits for their results by this list alone.
        if (shown.upload === null) for (const batch of own) await batches.look(batch);
        return { body: shown.batchList(own, query) };
      }
      case "get": {
        const batch = batchBy(route);
        await batches.look(batch);
        return { body: stateOf(batch) };
      }
      case "cancel": {
        const batch = batchBy(route);
        const { status } = batch;
        if (await batches.cancel(batch)) {
          const answer = shown.cancelled(batch) as Record<string, unknown>;
          return { body: batch.course.shows?.(answer) ?? answer };
        }
        throw new Refusal(409, `A batch that is ${status} cannot be cancelled.`);
      }
      default:
        throw operation satisfies never;
    }
  }

  function upload(provider: RemoteName, body: Buffer, contentType: string | undefined): Promise<StoredFile> {
    const form = formIn(body, contentType);
    const { mostBytes, upload: wanted } = batchesOf(provider);
    if (!wanted || "path" in wanted) throw new Refusal(404, "There are no forms.");
    const { purpose } = wanted;
    const file = form?.get("file");
    const name = form && wanted.nameIn(form);
    if (!file || !name) throw new Refusal(400, "The form has no file with a name.");
    const given = form.get("purpose")?.content.toString();
    if (given !== purpose) throw new Refusal(400, `'${given}' is not one of ['${purpose}'].`);
    if (!name.endsWith(".jsonl")) throw new Refusal(400, "Invalid file format for Batch API. Must be .jsonl");
    if (file.content.length > (host.options.limits?.bytes ?? mostBytes)) {
      throw new Refusal(413, `The file is too large: it has ${file.content.length} bytes.`);
    }
    return host.files.add({ provider, name, purpose }, file.content);
  }

  /** Begins an upload in parts, and says where these go. */
  function beginUpload(provider: RemoteName, { headers }: IncomingMessage, body: Buffer): Answer {
    const { mostBytes, upload: wanted } = batchesOf(provider);
    const { displayName } = Object((objectIn(body) as { file?: object }).file) as { displayName?: string };
    if (headers["x-goog-upload-command"] !== "start" || displayName === undefined) throw new Refusal(400, "No upload.");
    const size = Number(headers["x-goog-upload-header-content-length"]);
    if (size > (host.options.limits?.bytes ?? mostBytes))
      throw new Refusal(413, `The file is too large: ${size} bytes.`);
    const id = randomBytes(8).toString("hex");
    arriving.set(id, { name: displayName, parts: [] });
    const path = wanted && "path" in wanted ? wanted.path : "";
    // It names another host: nothing may go there.
    const url = `https://elsewhere.invalid/${provider}${path}?upload_id=${id}`;
    return { body: {}, headers: { "x-goog-upload-url": url, "x-goog-upload-status": "active" } };
  }

  async function uploadPart({ provider, id }: Route, { headers }: IncomingMessage, body: Buffer): Promise<Answer> {
    const begun = arriving.get(id);
    if (!begun) throw new Refusal(404, "There is no such upload.");
    const size = begun.parts.reduce((sum, part) => sum + part.length, 0);
    if (Number(headers["x-goog-upload-offset"]) !== size) throw new Refusal(400, "The offset is wrong.");
    begun.parts.push(body);
    const isLast = String(headers["x-goog-upload-command"]).includes("finalize");
    if (!isLast) return { body: {}, headers: { "x-goog-upload-status": "active" } };
    arriving.delete(id);
    const stored = await host.files.add(
      { provider, name: begun.name, purpose: batchesOf(provider).upload!.purpose },
      Buffer.concat(begun.parts),
    );
    return { body: { file: batchesOf(provider).file(stored) }, headers: { "x-goog-upload-status": "final" } };
  }

  async function create({ provider, id }: Route, body: Buffer) {
    const { endpoints, mostBytes, creation } = batchesOf(provider);
    const wanted = creation(objectIn(body), id);
    if ("refused" in wanted) throw new Refusal(400, wanted.refused);
    const { endpoint, source } = wanted;
    if (!(endpoint in endpoints)) throw new Refusal(400, `The endpoint ${endpoint} cannot be batched.`);
    const given =
      "lines" in source
        ? await fileWith(source.lines)
        : files.find(
            (one) =>
              one.id === source.fileId && one.provider === provider && one.purpose !== "batch_output" && !one.isDeleted,
          );
    if (!given) throw new Refusal(400, "Cannot find the file.", { type: "invalid_request_error" });
    const created = await batches.create(given, wanted);
    if ("code" in created) throw new Refusal(400, created.message);
    return created;

    function fileWith(lines: string[]) {
      if (body.length > (host.options.limits?.bytes ?? mostBytes)) throw new Refusal(413, "The request is too large.");
      return host.files.add({ provider, name: "requests.jsonl", purpose: INLINE }, Buffer.from(lines.join("\n")));
    }
  }

  function resultsOf({ id, outputFileId }: (typeof batches.all)[number]): StoredFile {
    const file = files.find((one) => one.id === outputFileId && !one.isDeleted);
    if (!file) throw new Refusal(404, `Batch ${id} has no results.`);
    return file;
  }

  function fileBy({ id, provider }: Route): StoredFile {
    const file = files.find((one) => one.id === id && one.provider === provider && !one.isDeleted);
    const status = batchesOf(provider).missingFile;
    const maybe = status === 403 ? "You do not have permission to access it, or it may not exist: " : "";
    if (!file) throw new Refusal(status, `${maybe}No such File object: ${id}`);
    return file;
  }

  function batchBy({ id, provider }: Route) {
    const batch = batches.all.find((one) => one.id === id && one.provider === provider && !one.isDeleted);
    if (!batch) throw new Refusal(404, `No batch found with id '${id}'.`);
    return batch;
  }
}

function routeOf(method: string | undefined, url: string): Route | undefined {
  const { pathname, searchParams: query } = new URL(url, "http://loopback");
  const [, name = "", path = ""] = /^\/(\w+)(\/.*)$/.exec(pathname) ?? [];
  const provider = REMOTE.find((one) => one === name);
  if (!provider || fakes[provider].batches === null) return undefined;
  const { upload } = batchesOf(provider);
  if (method === "POST" && upload && "path" in upload && path === upload.path) {
    const id = query.get("upload_id");
    return { provider, operation: id === null ? "beginUpload" : "upload", id: id ?? "", query };
  }
  if (!path.startsWith(fakes[provider].base)) return undefined;
  const asked = `${method} ${path.slice(fakes[provider].base.length)}`;
  for (const [pattern, operation] of batchesOf(provider).operations) {
    const match = pattern.exec(asked);
    if (match) return { provider, operation, id: match[1] ?? "", query };
  }
  return undefined;
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
