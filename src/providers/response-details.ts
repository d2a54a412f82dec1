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
  if (name.length <= LONGEST_NAME / 3) return name;
  // A copy, as a part of a string keeps the whole in memory.
  const start = Buffer.from(name.slice(0, LONGEST_NAME)).toString();
  // A character of UTF-16 has at most 3 bytes in UTF-8.
  return Buffer.byteLength(start) > LONGEST_NAME ? start.slice(0, Math.floor(LONGEST_NAME / 3)) : start;
}
