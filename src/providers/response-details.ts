import { isDeep } from "./json.ts";
import type { CallErrorDetails } from "./provider.ts";
import { readRateLimits } from "./rate-limits.ts";

/** What is known of a response beside its body. */
export type Known = Pick<CallErrorDetails, "httpStatus" | "requestId" | "rateLimits">;

export function detailsOf(status: number, headers: Headers | undefined): Known {
  return {
    httpStatus: status,
    requestId: headers ? requestIdOf(headers) : null,
    rateLimits: headers ? readRateLimits(headers) : null,
  };
}

/** Where servers write the id of a request; the last is LiteLLM's. */
const REQUEST_IDS = ["x-request-id", "x-together-request-id", "x-litellm-call-id"];

function requestIdOf(headers: Headers): string | null {
  for (const name of REQUEST_IDS) {
    const id = headers.get(name);
    if (id !== null) return id;
  }
  return null;
}

/** The most bytes that are kept of an id or a name of a server's. */
const LONGEST_NAME = 1_024;

/** An id or a name, cut where it is too long to be one. */
export function bounded(name: string): string {
  const start = name.slice(0, LONGEST_NAME);
  // A character of UTF-16 has at most 3 bytes in UTF-8.
  return Buffer.byteLength(start) > LONGEST_NAME ? start.slice(0, Math.floor(LONGEST_NAME / 3)) : start;
}

/** What is left of the body of an error that is no JSON that anything can be made of. */
const LONGEST_REST = 2_000;

/**
 * A `fetch` for the SDKs, which write errors as JSON again: of one that is nested too deep for that only the beginning
 * is left, as text.
 */
export function withFlatErrors(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(input, init);
    if (response.ok) return response;
    const text = response.text.bind(response);
    const flatText = async () => {
      const body = await text();
      return isDeep(body) ? body.slice(0, LONGEST_REST) : body;
    };
    return Object.assign(response, { text: flatText });
  };
}

/** Milliseconds of `retry-after-ms`, or of `retry-after` in seconds or as a date. */
export function retryAfterOf(headers: Headers): number | null {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (ms >= 0) return ms;
  const value = headers.get("retry-after");
  if (value === null) return null;
  const seconds = Number(value);
  if (seconds >= 0) return seconds * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}
