import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { datagen, type Result, type Running, type SpawnOptions } from "./harness.ts";

/** Whether a line starts a server, which goes on until it is interrupted. */
export function isServing(line: string): boolean {
  return line.startsWith("datagen view") && !/--export|--help/.test(line);
}

/** Runs such a line, without a shell, until it serves. The port that it names may be taken on this machine. */
export async function serveAndEnd(line: string, options: SpawnOptions): Promise<Result> {
  const [, ...words] = line.replace(/ --port \d+/, " --port 0").split(" ");
  return await datagen(words, { ...options, signalAfter: { stderr: /Ctrl-C ends it/ } });
}

/** A server of `datagen view` that is running. */
export interface View extends AsyncDisposable {
  readonly running: Running;
  readonly url: string;
  readonly port: number;
  readonly token: string;
  /** The cookie of a browser that was let in, as it sends it. */
  readonly cookie: string;
  /** The path below which the data is. */
  readonly dataPath: string;
  /** What the API says at a path below it, with the status. */
  get<T>(path: string): Promise<Answer<T>>;
}

/** A status with the JSON below it. */
interface Answer<T> {
  status: number;
  body: T;
}

/** Waits until `datagen view --json` serves, and lets a client in as the page does. `await using` ends it. */
export async function openView(running: Running): Promise<View> {
  const [json] = await running.waitFor(/\{[^}]*\}/, "stdout");
  const { url } = JSON.parse(json) as { url: string };
  const { origin, port, hash } = new URL(url);
  const token = new URLSearchParams(hash.slice(1)).get("token") ?? "";
  const response = await fetch(`${origin}/session`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  });
  const [cookie = ""] = response.headers.get("set-cookie")?.split(";") ?? [];
  const { path: dataPath } = (await response.json()) as { path: string };
  return {
    running,
    url,
    port: Number(port),
    token,
    cookie,
    dataPath,
    async get<T>(path: string): Promise<Answer<T>> {
      const { status, ...answer } = await sendRaw(Number(port), [
        `GET ${dataPath}/${path} HTTP/1.1`,
        `Cookie: ${cookie}`,
      ]);
      return { status, body: JSON.parse(answer.body) as T };
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

export interface RawAnswer {
  /** 0 if the server ended the connection without an answer. */
  status: number;
  /** In lower case, as they were sent. */
  head: string;
  body: string;
}

/**
 * Sends a request as it stands, which `fetch` would not do, and reads until the server ends the connection.
 * @param lines the request line and headers; `Host` and `Connection: close` are added unless they stand there
 */
export async function sendRaw(port: number, lines: readonly string[], body = ""): Promise<RawAnswer> {
  const has = (name: string) => lines.some((line) => line.toLowerCase().startsWith(`${name}:`));
  const added = [has("host") ? [] : `Host: 127.0.0.1:${port}`, has("connection") ? [] : "Connection: close"].flat();
  return await sendBytes(port, `${[...lines, ...added].join("\r\n")}\r\n\r\n${body}`);
}

/** Sends bytes, and reads until the server ends the connection. */
export async function sendBytes(port: number, bytes: string): Promise<RawAnswer> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  // The server may end the connection before it has read everything.
  socket.on("error", () => {});
  socket.write(bytes);
  const received = await text(socket).catch(() => "");
  const [head = "", ...rest] = received.split("\r\n\r\n");
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
    head: head.toLowerCase(),
    body: withoutChunks(head, rest.join("\r\n\r\n")),
  };
}

function withoutChunks(head: string, body: string): string {
  if (!/transfer-encoding: chunked/i.test(head)) return body;
  const [pieces, bytes] = [[] as Buffer[], Buffer.from(body)];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf("\r\n", at);
    const length = Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (!(length > 0)) break;
    pieces.push(bytes.subarray(end + 2, end + 2 + length));
    at = end + 2 + length + 2;
  }
  return Buffer.concat(pieces).toString();
}
