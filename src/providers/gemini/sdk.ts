import { GoogleGenAI, type HttpOptions } from "@google/genai";
import { readJson } from "../json-body.ts";
import { CallError } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { refusalOf } from "../refusal.ts";

/*
 * Uses Google's SDK. It takes a `fetch`, and so sends its requests with the transport of all providers. It would read the
 * answers, too, and lose the status, the headers and the words of a refusal: `answerTo` keeps it from that.
 */

/** The SDK reads both, and warns if both are set, though it is given a key. */
const KEY_VARIABLES = ["GOOGLE_API_KEY", "GEMINI_API_KEY"];

const KEY_HEADER = "x-goog-api-key";

/** The SDK adds the version to the base URL, and in uploads puts a folder before it. */
const VERSION = /\/(v\d\w*)$/;
const USUAL_VERSION = "v1beta";

/** The SDK's client. Nothing of the environment decides where it sends requests, and with which key. */
export function createClient({ baseUrl, apiKey }: Connection, fetch: typeof globalThis.fetch): GoogleGenAI {
  const url = new URL(baseUrl ?? "");
  const apiVersion = VERSION.exec(url.pathname)?.[1] ?? USUAL_VERSION;
  url.pathname = url.pathname.replace(VERSION, "");
  const httpOptions = { baseUrl: url.href, fetch };
  // The SDK needs a key. Without one, `fetchFor` removes the header again.
  const options = { vertexai: false, apiKey: apiKey ?? "none", apiVersion, httpOptions };
  return withoutVariables(KEY_VARIABLES, () => new GoogleGenAI(options));
}

/** Calls a function while some variables of the environment are not set. */
function withoutVariables<T>(names: readonly string[], create: () => T): T {
  const values = names.map((name) => process.env[name]);
  for (const name of names) Reflect.deleteProperty(process.env, name);
  try {
    return create();
  } finally {
    for (const [at, value] of values.entries()) if (value !== undefined) process.env[names[at] ?? ""] = value;
  }
}

/** The `fetch` of a connection: without a key, none is sent. */
export function fetchFor({ apiKey }: Connection, fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  if (apiKey !== undefined) return fetch;
  return (input, init) => {
    const headers = new Headers(init?.headers);
    headers.delete(KEY_HEADER);
    return fetch(input, { ...init, headers });
  };
}

/**
 * A signal that is aborted when the time is up. The SDK would tell the server about its own time limit, and servers refuse
 * short ones.
 * @param other aborts it, too
 */
export function timeLimit(ms: number, other?: AbortSignal): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  const { signal } = controller;
  return {
    signal: other ? AbortSignal.any([other, signal]) : signal,
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

/** A call of the SDK that sends one request. */
export type SdkRequest = (httpOptions: HttpOptions) => Promise<unknown>;

/** Ends a call of the SDK. */
const ANSWERED = new Error("the request was answered");

/**
 * Lets the SDK build and send one request.
 * @returns the server's answer, whatever its status
 * @throws what `fetch` throws, or a CallError when the SDK refuses to send the request
 */
export async function answerTo(
  fetch: typeof globalThis.fetch,
  signal: AbortSignal,
  request: SdkRequest,
): Promise<Response> {
  let answer: Response | undefined;
  let failure: unknown;
  const sending: typeof globalThis.fetch = async (input, init) => {
    try {
      answer = await fetch(input, { ...init, signal });
    } catch (error) {
      failure = error;
    }
    throw ANSWERED;
  };
  try {
    await request({ fetch: sending });
  } catch (error) {
    if (error !== ANSWERED) throw new CallError("bad_request", `the SDK does not send this: ${String(error)}`);
  }
  if (answer) return answer;
  throw failure;
}

/** The headers with which the API answers a part of an upload. */
const UPLOAD_HEADERS = ["x-goog-upload-url", "x-goog-upload-status"];

/** A `fetch` for uploads. The SDK reads these answers itself, but learns only of those that it can go on with. */
export function uploadFetch(fetch: typeof globalThis.fetch, signal: AbortSignal): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(input, { ...init, signal });
    if (!response.ok) throw await refusalOf(response);
    const text = await response.text();
    // A part that is not the last may be answered without a body.
    if (text.trim() !== "") await readJson(response);
    const headers = new Headers();
    for (const name of UPLOAD_HEADERS) {
      const value = response.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    return new Response(text, { status: response.status, headers });
  };
}
