import { type Dispatcher, request } from "undici";
import { errorCode, errorMessage, StoppedError } from "../errors.ts";
import { createDispatcher } from "../network/dispatcher.ts";
import { MOST_HOPS, redirectOf, shownAddress } from "../network/redirects.ts";
import { PassingError, refusalOf } from "./refusal.ts";

const MOST_ERROR_BYTES = 64 * 1024;

export const AGAIN = "Pull again with the same command: it continues where this one stopped.";

export type Body = Dispatcher.ResponseData["body"];

/** An answer, after all redirects. */
export interface Answer {
  status: number;
  headers: Headers;
  /** The origin of the server that sends it. */
  origin: string;
  /** The headers of the last answer of the Hub itself, which may redirect to another server. */
  hub: Headers;
  body: Body;
}

interface Get {
  headers: Record<string, string>;
  /** What there is not, after 404. */
  missing: string;
  /** Whether it is a file. Files may be on another server. */
  isFile: boolean;
  signal: AbortSignal;
}

interface RequestOptions {
  id: string;
  endpoint: string;
  token: string | undefined;
  userAgent: string;
  /** Until the beginning of an answer. */
  answerMs: number;
  /** The longest pause in a body. */
  stalledMs: number;
  longestWaitMs: number;
}

/** Sends requests to the Hub. The token goes to the endpoint only. After a redirect to another host, it is not sent again. */
export function createRequests(options: RequestOptions) {
  const { endpoint, token, userAgent, answerMs, stalledMs, longestWaitMs } = options;
  const dispatcher = createDispatcher(endpoint, { headersTimeout: answerMs, bodyTimeout: stalledMs, allowH2: false });
  const home = new URL(endpoint).origin;

  async function send(url: URL, headers: Record<string, string>, signal: AbortSignal) {
    const own = { "user-agent": userAgent, "accept-encoding": "identity" };
    const sent = await request(url, { dispatcher, headers: { ...own, ...headers }, signal }).catch((error: unknown) => {
      throw noAnswer(url, error);
    });
    // Without a listener, an error that comes before the body is read would end the process.
    sent.body.on("error", () => {});
    const answered = new Headers();
    for (const [name, value] of Object.entries(sent.headers)) {
      if (value !== undefined) answered.set(name, Array.isArray(value) ? value.join(", ") : value);
    }
    return { status: sent.statusCode, headers: answered, body: sent.body };
  }

  return {
    close: () => dispatcher.destroy(),
    /** @throws PassingError when it may help to ask again; UsageError or StoppedError when it does not */
    async get(path: string, { headers, missing, isFile, signal }: Get): Promise<Answer> {
      let url = new URL(`${endpoint}${path}`);
      let isTrusted = true;
      let hub = new Headers();
      for (let hops = 0; ; hops += 1) {
        const authorization = isTrusted && token !== undefined ? { authorization: `Bearer ${token}` } : {};
        const answer = await send(url, { ...headers, ...authorization }, signal);
        const { status, body } = answer;
        if (isTrusted) hub = answer.headers;
        if ((status >= 200 && status < 300) || (isFile && status === 416))
          return { ...answer, origin: url.origin, hub };
        if (status < 300 || status > 399) {
          const text = await readText(body, MOST_ERROR_BYTES).catch(() => "");
          throw refusalOf({ ...answer, text, missing, isHub: isTrusted }, options, longestWaitMs);
        }
        body.destroy();
        const next = nextHop(url, status, answer.headers.get("location"), hops);
        isTrusted &&= next.origin === home;
        if (!isTrusted && !isFile)
          throw new StoppedError(`${url.host} redirects to ${next.host}`, "Check HF_ENDPOINT.");
        url = next;
      }
    },
  };
}

/** Where a redirect leads. @throws StoppedError when it is not followed */
function nextHop(url: URL, status: number, location: string | null, hops: number): URL {
  const to = shownAddress(location, url) ?? "no address";
  if (hops === MOST_HOPS) {
    throw new StoppedError(`${url.host} redirects more than ${MOST_HOPS} times, at last to ${to}`, AGAIN);
  }
  const next = status === 304 ? null : redirectOf(status, location, url);
  if (next === null) {
    throw new StoppedError(`${url.host} answers ${status} and redirects to ${to}, which is not followed`, AGAIN);
  }
  return next.url;
}

/** A request, or a body, that broke off. */
export function noAnswer(url: URL, error: unknown): PassingError {
  const code = errorCode(error) ?? "";
  const isLate = code.includes("TIMEOUT") || (error instanceof Error && error.name === "TimeoutError");
  const reason = isLate ? "in time" : `(${code || errorMessage(error)})`;
  return new PassingError(`${url.host} does not answer ${reason}`, null, error);
}

/** @throws StoppedError when it is longer than `mostBytes` */
export async function readText(body: Body, mostBytes: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > mostBytes) {
      throw new StoppedError(
        `the Hub sends an answer of more than ${mostBytes / 1024 / 1024} MB`,
        "Check HF_ENDPOINT.",
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
