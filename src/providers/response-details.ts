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

function requestIdOf(headers: Headers): string | null {
  return headers.get("x-request-id") ?? headers.get("x-together-request-id");
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
