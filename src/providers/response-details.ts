import type { CallErrorDetails } from "./provider.ts";
import { readRateLimits } from "./rate-limits.ts";

/** Facts about a response besides its body. */
export type Known = Pick<CallErrorDetails, "httpStatus" | "requestId" | "rateLimits">;

export function detailsOf(status: number, headers: Headers | undefined): Known {
  return {
    httpStatus: status,
    requestId: headers ? requestIdOf(headers) : null,
    rateLimits: headers ? readRateLimits(headers) : null,
  };
}

/** Headers with the id of a request; the second is Anthropic's, the last LiteLLM's. */
const REQUEST_IDS = ["x-request-id", "request-id", "x-together-request-id", "x-litellm-call-id"];

function requestIdOf(headers: Headers): string | null {
  for (const name of REQUEST_IDS) {
    const id = headers.get(name);
    if (id !== null) return id;
  }
  return null;
}

/** The most bytes to keep of an id or a name from a server. */
const LONGEST_NAME = 1_024;

/** An id or a name, cut if it is too long. */
export function bounded(name: string): string {
  if (name.length <= LONGEST_NAME / 3) return name;
  // Make a copy: a slice of a string keeps the whole string in memory.
  const start = Buffer.from(name.slice(0, LONGEST_NAME)).toString();
  // A character of UTF-16 has at most 3 bytes in UTF-8.
  return Buffer.byteLength(start) > LONGEST_NAME ? start.slice(0, Math.floor(LONGEST_NAME / 3)) : start;
}
