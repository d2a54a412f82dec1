import type { QuotaState, RateLimits } from "./provider.ts";

/** The names of the headers of a limit. The first name that a response has counts. */
const NAMES: Record<keyof RateLimits, readonly ((what: string) => string)[]> = {
  requests: [
    // OpenAI, Groq, Azure and others.
    (what) => `x-ratelimit-${what}-requests`,
    (what) => `anthropic-ratelimit-requests-${what}`,
    // OpenRouter and many gateways, and the draft of the IETF.
    (what) => `x-ratelimit-${what}`,
    (what) => `ratelimit-${what}`,
  ],
  tokens: [(what) => `x-ratelimit-${what}-tokens`, (what) => `anthropic-ratelimit-tokens-${what}`],
  inputTokens: [(what) => `anthropic-ratelimit-input-tokens-${what}`],
  outputTokens: [(what) => `anthropic-ratelimit-output-tokens-${what}`],
};

/** Reads the state of a provider's rate limits from its headers; null if they state none. */
export function readRateLimits(headers: Headers, now = Date.now()): RateLimits | null {
  const limits: RateLimits = {
    requests: readQuota(headers, "requests", now),
    tokens: readQuota(headers, "tokens", now),
    inputTokens: readQuota(headers, "inputTokens", now),
    outputTokens: readQuota(headers, "outputTokens", now),
  };
  return Object.values(limits).some((quota) => quota !== null) ? limits : null;
}

function readQuota(headers: Headers, of: keyof RateLimits, now: number): QuotaState | null {
  for (const name of NAMES[of]) {
    const limit = countOf(fieldOf(headers, name("limit")));
    const remaining = countOf(fieldOf(headers, name("remaining")));
    if (limit === null || limit <= 0 || remaining === null) continue;
    const reset = fieldOf(headers, name("reset"));
    const resetMs = readWait(reset, 1_000, now);
    return { limit, remaining: Math.min(limit, remaining), resetMs, isTime: resetMs !== null && isTime(reset ?? "") };
  }
  return null;
}

/** A header of the server, or that of the provider behind LiteLLM, which adds a prefix. */
function fieldOf(headers: Headers, name: string): string | null {
  return headers.get(name) ?? headers.get(`llm_provider-${name}`);
}

function countOf(text: string | null): number | null {
  const value = text === null || text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
}

/** How long a server asks to wait, in milliseconds: `retry-after-ms`, or `retry-after` in seconds or as a time. */
export function retryAfterOf(headers: Headers): number | null {
  return readWait(fieldOf(headers, "retry-after-ms"), 1) ?? readWait(fieldOf(headers, "retry-after"));
}

const DAY_MS = 86_400_000;

/** Larger numbers are not durations but times since 1970, in seconds or in milliseconds. */
const EPOCH_S = 1e9;
const EPOCH_MS = 1e11;

/** One part of a duration, directly after the part before. */
const PART = /(-?\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h|d)(?:\s*,?\s*|$)(?![a-z])/iy;
const UNITS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  sec: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: DAY_MS,
};

/** A date in the format of HTTP or RFC 3339. `Date.parse` alone would accept many other texts. */
const DATE = /^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? \d|^\d{4}-\d\d-\d\dT/i;

/**
 * A wait in a header, in milliseconds from 0 to a day: `1s`, `6m0s`, `120ms`, `1h2m3.5s`, a date, a time since 1970, or a
 * bare number.
 * @param unit the milliseconds of a bare number
 * @returns null for any other text
 */
export function readWait(text: string | null, unit = 1_000, now = Date.now()): number | null {
  const wait = text === null ? null : waitIn(text.trim(), unit, now);
  return wait === null || Number.isNaN(wait) ? null : Math.min(DAY_MS, Math.max(0, wait));
}

/** Whether a header states a time, not a duration. */
function isTime(text: string): boolean {
  return DATE.test(text.trim()) || Number(text) >= EPOCH_S;
}

function waitIn(text: string, unit: number, now: number): number | null {
  if (text === "" || text.length > 100) return null;
  const bare = Number(text);
  if (bare >= EPOCH_MS) return bare - now;
  if (bare >= EPOCH_S && unit === 1_000) return bare * 1_000 - now;
  if (!Number.isNaN(bare)) return bare * unit;
  if (DATE.test(text)) return Date.parse(text) - now;
  let sum = 0;
  PART.lastIndex = 0;
  for (let part = PART.exec(text); part; part = PART.exec(text)) {
    sum += Number(part[1]) * (UNITS[(part[2] ?? "").toLowerCase()] ?? 0);
    if (PART.lastIndex === text.length) return sum;
  }
  return null;
}
