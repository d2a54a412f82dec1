import type { QuotaState, RateLimits } from "./provider.ts";

/**
 * The state of a provider's limits as its headers give it: OpenAI's `x-ratelimit-{limit,remaining,reset}-requests` and
 * `-tokens`, which Groq, Azure and others share.
 */
export function readRateLimits(headers: Headers): RateLimits | null {
  const requests = readQuota(headers, "requests");
  const tokens = readQuota(headers, "tokens");
  return requests || tokens ? { requests, tokens } : null;
}

function readQuota(headers: Headers, of: "requests" | "tokens"): QuotaState | null {
  const limit = countOf(headers.get(`x-ratelimit-limit-${of}`));
  const remaining = countOf(headers.get(`x-ratelimit-remaining-${of}`));
  if (limit === null || limit <= 0 || remaining === null) return null;
  return {
    limit,
    remaining: Math.min(limit, remaining),
    resetMs: readDuration(headers.get(`x-ratelimit-reset-${of}`)),
  };
}

function countOf(text: string | null): number | null {
  const value = text === null || text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
}

/** One part of a duration, right behind the one before. */
const PART = /(\d+(?:\.\d+)?)(ms|[smhd])/y;

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `1s`, `6m0s`, `120ms`, `1h2m3.5s`, or of a bare number of seconds. */
function readDuration(text: string | null): number | null {
  if (text === null) return null;
  const bare = Number(text);
  if (text.trim() !== "" && bare >= 0) return bare * 1_000;
  let sum = 0;
  PART.lastIndex = 0;
  for (let part = PART.exec(text); part; part = PART.exec(text)) {
    sum += Number(part[1]) * (UNITS[part[2] ?? ""] ?? 0);
    if (PART.lastIndex === text.length) return sum;
  }
  return null;
}
