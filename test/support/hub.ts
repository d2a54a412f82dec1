import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A dataset of the hub. */
export interface HubDataset {
  commit: string;
  /** The branches and tags besides `main` and the commit. */
  revisions?: readonly string[];
  cardData?: Record<string, unknown>;
  tags?: readonly string[];
  /** The files of the repository. */
  files: Record<string, Buffer | string>;
  /** The files on the branch `refs/convert/parquet`, as `CONFIG/SPLIT/0000.parquet`. */
  converted?: { commit: string; files: Record<string, Buffer> };
  /** Whether the list has no sizes and hashes, and the files no `X-Linked-` headers: then they are not in LFS. */
  isPlain?: boolean;
}

/** What goes wrong with a request. */
export type HubFault =
  | { kind: "status"; status: number; headers?: Record<string, string>; body?: string }
  | { kind: "redirect"; to: string; status?: number }
  /** The connection ends after so many bytes of the body. */
  | { kind: "cut"; after: number }
  /** No more bytes come after so many of the body; without a number, there is no answer. */
  | { kind: "hang"; after?: number }
  /** Another body, whose length is stated or not. */
  | { kind: "body"; body: Buffer | string; headers?: Record<string, string | undefined>; isChunked?: boolean }
  /** The header `Range` is not understood. */
  | { kind: "noRange" }
  /** The header `If-Range` is not understood. */
  | { kind: "noCondition" }
  /** Other headers beside the right body; undefined takes one away. */
  | { kind: "headers"; headers: Record<string, string | undefined> };

export interface HubRequest {
  /** `hub`, or `files` for the server to which the hub redirects. */
  host: "hub" | "files";
  /** With its query. */
  url: string;
  authorization: string | undefined;
  range: string | undefined;
  ifRange: string | undefined;
  /** How many times this URL was asked for, from 1. */
  nth: number;
  status: number;
  /** How many bytes of the body were written. */
  bytes: number;
}

export interface FakeHub extends AsyncDisposable {
  url: string;
  /** The server to which it redirects for files. */
  filesUrl: string;
  datasets: Record<string, HubDataset>;
  requests: HubRequest[];
  /** Requests for files, by the path of the file. */
  asked(path: string): HubRequest[];
}

export interface HubOptions {
  datasets: Record<string, HubDataset>;
  /** Whether files are on the other server, as on the real Hub. */
  hasFileServer?: boolean;
  behave?: (request: HubRequest) => HubFault | undefined;
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = (content: Buffer | string) => Buffer.from(content);

/** Some bytes that begin and end like a Parquet file. */
export function parquetLike(seed: string, length = 1_000): Buffer {
  const block = createHash("sha512").update(seed).digest();
  const filled = Buffer.alloc(Math.max(0, length - 8), block);
  return Buffer.concat([Buffer.from("PAR1"), filled, Buffer.from("PAR1")]);
}

/** A Hub with the datasets that help and docs name. */
export function startExampleHub(): Promise<FakeHub> {
  const datasetOf = (folder: string): HubDataset => ({
    commit: "a".repeat(40),
    files: Object.fromEntries(
      ["test", "train"].map((split) => [`${folder}/${split}-00000-of-00001.parquet`, parquetLike(split)]),
    ),
  });
  return startHub({
    datasets: {
      "abisee/cnn_dailymail": datasetOf("3.0.0"),
      "knkarthick/dialogsum": datasetOf("data"),
      "openai/gsm8k": datasetOf("main"),
    },
  });
}

/** A Hub on loopback, and a second server for its files. */
export async function startHub({
  datasets,
  hasFileServer = false,
  behave = () => undefined,
}: HubOptions): Promise<FakeHub> {
  const requests: HubRequest[] = [];
  const sockets = new Set<Socket>();
  const listen = async (host: HubRequest["host"], answer: (request: IncomingMessage, url: string) => Answer) => {
    const server = createServer((request, response) => {
      const url = request.url ?? "";
      const recorded: HubRequest = {
        host,
        url,
        authorization: request.headers.authorization,
        range: request.headers.range,
        ifRange: request.headers["if-range"] as string | undefined,
        nth: requests.filter((other) => other.host === host && other.url === url).length + 1,
        status: 0,
        bytes: 0,
      };
      requests.push(recorded);
      void respond(response, recorded, answer(request, url), behave(recorded));
    });
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  };
  const files = await listen("files", (_, url) => {
    const [, id = "", commit = "", path = ""] = /^\/(.+)\/([^/]+)\/-\/(.+?)\?signature=1$/.exec(url) ?? [];
    const content = fileOf(datasets[id], commit, decodeURIComponent(path));
    return content
      ? { status: 200, headers: { etag: '"of-the-files"' }, body: content }
      : { status: 403, headers: {}, body: Buffer.from("") };
  });
  const hub = await listen("hub", (_, url) => answerOf(datasets, url, hub.url, hasFileServer ? files.url : null));
  return {
    url: hub.url,
    filesUrl: files.url,
    datasets,
    requests,
    asked: (path) =>
      requests.filter(({ url }) => decodeURIComponent(url).includes(`/${path}`) && !url.startsWith("/api/datasets/x")),
    async [Symbol.asyncDispose]() {
      const closed = [hub.server, files.server].map((server: Server) => once(server.close(), "close"));
      for (const socket of sockets) socket.destroy();
      await Promise.all(closed);
    },
  };
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

const json = (value: unknown): Answer => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(value)),
});

const refused = (status: number, code: string, message: string): Answer => ({
  status,
  headers: { "x-error-code": code, "x-error-message": message },
  body: Buffer.from(JSON.stringify({ error: message })),
});

function fileOf(dataset: HubDataset | undefined, commit: string, path: string): Buffer | undefined {
  if (!dataset) return undefined;
  const isConverted = commit === dataset.converted?.commit || commit === "refs/convert/parquet";
  const content = isConverted ? dataset.converted?.files[path] : dataset.files[path];
  return content === undefined ? undefined : bytesOf(content);
}

/** What the real Hub answers. */
function answerOf(datasets: Record<string, HubDataset>, url: string, home: string, fileServer: string | null): Answer {
  const { pathname } = new URL(url, home);
  const [, area, id, action, rest = ""] =
    /^\/(api\/)?datasets\/((?:[^/]+\/)?[^/]+?)\/(revision|parquet|resolve)(?:\/(.*))?$/.exec(pathname) ?? [];
  const dataset = datasets[id ?? ""];
  if (!dataset) return refused(401, "RepoNotFound", "Invalid username or password.");
  if (area && action === "revision") return described(dataset, decodeURIComponent(rest));
  if (area && action === "parquet" && rest === "") return converted(dataset, `${home}/api/datasets/${id}/parquet`);
  if (area && action === "parquet") {
    const [config, split, name = ""] = rest.split("/");
    const to = `${config}/${split}/${name.replace(/^\d+/, (number) => number.padStart(4, "0"))}`;
    return {
      status: 302,
      headers: { location: `/datasets/${id}/resolve/refs%2Fconvert%2Fparquet/${to}` },
      body: Buffer.alloc(0),
    };
  }
  const slash = rest.indexOf("/");
  const commit = decodeURIComponent(rest.slice(0, slash));
  const path = decodeURIComponent(rest.slice(slash + 1));
  const content = fileOf(dataset, commit, path);
  if (!content) return refused(404, "EntryNotFound", "Entry not found");
  const real = commit === "refs/convert/parquet" ? dataset.converted!.commit : commit;
  const own = { "x-repo-commit": real, etag: `"${sha256(content).slice(0, 40)}"` };
  if (dataset.isPlain) return { status: 200, headers: own, body: content };
  const linked = { ...own, "x-linked-size": String(content.length), "x-linked-etag": `"${sha256(content)}"` };
  if (fileServer === null) return { status: 200, headers: linked, body: content };
  const location = `${fileServer}/${id}/${real}/-/${encodeURIComponent(path)}?signature=1`;
  return { status: 302, headers: { ...linked, location }, body: Buffer.from("Found") };
}

function described(dataset: HubDataset, revision: string): Answer {
  const isConverted = revision === "refs/convert/parquet" && dataset.converted !== undefined;
  const { commit, files } = isConverted ? dataset.converted! : dataset;
  const known = ["main", commit, ...(dataset.revisions ?? [])];
  if (!isConverted && !known.includes(revision)) return refused(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
  return json({
    id: "x",
    sha: commit,
    cardData: dataset.cardData,
    tags: dataset.tags ?? [],
    siblings: Object.entries(files).map(([rfilename, content]) => {
      const bytes = bytesOf(content);
      if (dataset.isPlain) return { rfilename };
      const facts = { rfilename, blobId: sha256(bytes).slice(0, 40), size: bytes.length };
      return rfilename.endsWith(".parquet")
        ? { ...facts, lfs: { sha256: sha256(bytes), size: bytes.length, pointerSize: 132 } }
        : facts;
    }),
  });
}

function converted({ converted: branch }: HubDataset, base: string): Answer {
  if (!branch) return refused(404, "EntryNotFound", "The dataset has no Parquet files");
  const configs: Record<string, Record<string, string[]>> = {};
  for (const path of Object.keys(branch.files)) {
    const [config = "", split = ""] = path.replace("/partial-", "/").split("/");
    const urls = ((configs[config] ??= {})[split] ??= []);
    urls.push(`${base}/${config}/${split}/${urls.length}.parquet`);
  }
  return json(configs);
}

/** Sends an answer, in pieces, with its fault. */
async function respond(
  response: ServerResponse,
  recorded: HubRequest,
  right: Answer,
  fault: HubFault | undefined,
): Promise<void> {
  let { status, headers, body } = right;
  if (fault?.kind === "hang" && fault.after === undefined) return;
  if (fault?.kind === "status") {
    recorded.status = fault.status;
    response.writeHead(fault.status, fault.headers).end(fault.body);
    return;
  }
  if (fault?.kind === "redirect") {
    recorded.status = fault.status ?? 302;
    response.writeHead(recorded.status, { location: fault.to }).end();
    return;
  }
  if (fault?.kind === "body") body = Buffer.from(fault.body);
  const start = Number(/^bytes=(\d+)-$/.exec(recorded.range ?? "")?.[1] ?? 0);
  const isRange =
    status === 200 &&
    start > 0 &&
    fault?.kind !== "noRange" &&
    fault?.kind !== "body" &&
    (fault?.kind === "noCondition" || [undefined, headers["etag"]].includes(recorded.ifRange));
  if (isRange && start >= body.length) {
    recorded.status = 416;
    response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
    return;
  }
  if (isRange) {
    status = 206;
    headers = { ...headers, "content-range": `bytes ${start}-${body.length - 1}/${body.length}` };
    body = body.subarray(start);
  }
  const others = fault?.kind === "headers" || fault?.kind === "body" ? (fault.headers ?? {}) : {};
  const isChunked = fault?.kind === "body" && fault.isChunked === true;
  const all = { ...headers, ...(isChunked ? {} : { "content-length": String(body.length) }), ...others };
  recorded.status = status;
  response.writeHead(
    status,
    Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<string, string>,
  );
  const until = fault?.kind === "cut" || fault?.kind === "hang" ? Math.min(fault.after!, body.length) : body.length;
  for (let at = 0; at < until && !response.destroyed; at += 65_536) {
    const piece = body.subarray(at, Math.min(at + 65_536, until));
    recorded.bytes += piece.length;
    if (!response.write(piece)) await drained(response);
  }
  if (fault?.kind === "cut") {
    // The bytes leave before the connection ends.
    response.write("", () => response.socket?.destroySoon());
  } else if (fault?.kind !== "hang") response.end();
}

/** Waits until the reader has taken what was written, or is gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((fulfil) => {
    const go = () => {
      response.off("drain", go).off("close", go);
      fulfil();
    };
    response.on("drain", go).on("close", go);
  });
}
