import { errorCode, errorMessage } from "../errors.ts";
import { asCount, asObject, asText, type Json, parseJson } from "./json.ts";
import {
  CallError,
  type CallErrorDetails,
  type Completion,
  type FailureReason,
  type ReportedUsage,
} from "./provider.ts";
import { readRateLimits } from "./rate-limits.ts";

/*
 * What an OpenAI-compatible server answers, read with suspicion: nothing it sends is taken to have the documented shape.
 */

/** The part of the SDKs' errors that both have. */
interface ApiError extends Error {
  status: number | undefined;
  headers: Headers | undefined;
  error: unknown;
}

const LONGEST_MESSAGE = 1_000;

/** The object or array in a response with a status of success. @throws CallError where it holds none */
export async function readJson(response: Response): Promise<unknown> {
  const text = await response.text().catch((error: unknown) => {
    throw connectionError(error);
  });
  const details = detailsOf(response.status, response.headers);
  const body = parseJson(text);
  if (typeof body !== "object" || body === null) {
    const what = /^\s*</.test(text) ? "HTML" : "a body that is no JSON";
    throw new CallError("malformed", `the server answered ${response.status} with ${what}: ${text}`, details);
  }
  return body;
}

/** The completion in a response with a status of success. @throws CallError where it holds none */
export async function readCompletion(response: Response, model: string): Promise<Completion> {
  return completionOf(await readJson(response), model, detailsOf(response.status, response.headers));
}

/** What is known of a response beside its body. */
type Known = Pick<CallErrorDetails, "httpStatus" | "requestId" | "rateLimits">;

/** The completion in the body of an answer. @throws CallError where it holds none */
export function completionOf(value: unknown, model: string, details: Known): Completion {
  const body = asObject(value);
  if (!body) throw new CallError("malformed", `the answer is no JSON object but ${JSON.stringify(value)}`, details);
  if (body["error"]) throw embeddedError(body["error"], details);
  const usage = readUsage(body["usage"]);
  const id = details.requestId ?? asText(body["id"]);
  const known = { ...details, requestId: id, usage };
  const choice = asObject(Array.isArray(body["choices"]) ? (body["choices"] as unknown[])[0] : undefined);
  if (!choice) throw new CallError("malformed", "the response has no choices", known);
  const message = asObject(choice["message"]) ?? {};
  const finishReason = asText(choice["finish_reason"]);
  const refusal = asText(message["refusal"]);
  if (refusal) throw new CallError("refusal", `the model refused: ${refusal}`, known);
  if (finishReason === "content_filter") {
    throw new CallError("content_filter", "the provider's content filter cut the answer", known);
  }
  const content = "message" in choice ? message["content"] : choice["text"];
  if (content !== null && content !== undefined && typeof content !== "string") {
    throw new CallError("malformed", `the answer is no text but ${JSON.stringify(content)}`, known);
  }
  if (!content || content.trim() === "") throw emptyAnswer(finishReason, known);
  const served = asText(body["model"]);
  return {
    ...details,
    text: content,
    finishReason,
    usage,
    requestId: id,
    servedModel: served === model ? null : served,
  };
}

/** An error that an SDK threw, classified. @throws the error itself where it is none of a request */
export function toCallError(error: unknown, secret: string | undefined): CallError {
  if (error instanceof CallError) return redacted(error, secret);
  if (!(error instanceof Error)) throw error;
  const { status, headers, error: body } = error as ApiError;
  if (typeof status === "number") {
    const retryAfterMs = headers ? retryAfterOf(headers) : null;
    const details = { ...detailsOf(status, headers), retryAfterMs };
    return redacted(statusError(status, body, error.message, details), secret);
  }
  if (error.constructor.name === "APIConnectionTimeoutError") {
    return new CallError("timeout", "the request timed out");
  }
  if (error.constructor.name === "APIConnectionError") return redacted(connectionError(error.cause ?? error), secret);
  throw error;
}

/** A connection that could not be made, or broke. */
export function connectionError(error: unknown): CallError {
  // The errors of `fetch` say no more than that it failed; what went wrong is their cause.
  const cause = error instanceof TypeError ? (error.cause ?? error) : error;
  const code = errorCode(cause) ?? null;
  return new CallError("connection", `${code ? `${code}: ` : ""}${errorMessage(cause)}`, { code });
}

/**
 * What an answer with a status that is none of success says.
 * @param body the error that it holds, or an object with it as `error`
 * @param fallback the message where it has none
 */
export function statusError(
  status: number,
  body: unknown,
  fallback: string,
  details: Partial<CallErrorDetails>,
): CallError {
  // Together's SDK hands over the whole body, OpenAI's the error in it.
  const outer = asObject(body) ?? {};
  const error = asObject(outer["error"]) ?? outer;
  const code = asText(error["code"]) ?? asText(error["type"]);
  const message = asText(error["message"]) ?? fallback;
  return new CallError(reasonOf(status, error, message), message, { ...details, code });
}

function reasonOf(status: number, error: Json, message: string): FailureReason {
  const says = (pattern: RegExp) =>
    [error["code"], error["type"], message].some((part) => pattern.test(asText(part) ?? ""));
  if (status === 402 || says(/insufficient_quota|billing_hard_limit|billing_not_active/)) return "no_quota";
  if (status === 429) return "rate_limited";
  if (status === 401) return "key_refused";
  if (status === 403) return "forbidden";
  if (status === 404 || says(/^model_not_found$|^model_not_available$/)) return "model_not_found";
  if (status === 408) return "timeout";
  if (status === 409 || status >= 500) return "server_error";
  if (says(/context_length_exceeded|maximum context length|context window|too many tokens|prompt is too long/i)) {
    return "context_too_long";
  }
  if (says(/content_policy|content_filter|content management policy|moderation/i)) return "content_policy";
  return "bad_request";
}

/** An error that stands where an answer should be. */
export function embeddedError(value: unknown, details: Partial<CallErrorDetails>): CallError {
  const error = asObject(value) ?? {};
  const code = asText(error["code"]) ?? asText(error["type"]);
  const message = asText(error["message"]) ?? JSON.stringify(value);
  const reason = /insufficient_quota/.test(code ?? "") ? "no_quota" : "server_error";
  return new CallError(reason, `the server answered with an error: ${message}`, { ...details, code });
}

function emptyAnswer(finishReason: string | null, details: Partial<CallErrorDetails>): CallError {
  return finishReason === "length"
    ? new CallError("reasoning_exhausted", "the token limit was used up before any text of an answer", details)
    : new CallError("empty", "the answer is empty", details);
}

function readUsage(value: unknown): ReportedUsage | null {
  const usage = asObject(value);
  const promptTokens = asCount(usage?.["prompt_tokens"]);
  const completionTokens = asCount(usage?.["completion_tokens"]);
  if (!usage || promptTokens === null || completionTokens === null) return null;
  const promptDetails = asObject(usage["prompt_tokens_details"]);
  const cached = Math.min(promptTokens, asCount(promptDetails?.["cached_tokens"]) ?? 0);
  const written = asCount(promptDetails?.["cache_write_tokens"]) ?? 0;
  const reasoning = asCount(asObject(usage["completion_tokens_details"])?.["reasoning_tokens"]) ?? 0;
  return {
    promptTokens,
    completionTokens,
    cachedTokens: cached,
    cacheWriteTokens: Math.min(written, promptTokens - cached),
    reasoningTokens: Math.min(reasoning, completionTokens),
  };
}

function detailsOf(status: number, headers: Headers | undefined): Known {
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
function retryAfterOf(headers: Headers): number | null {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (ms >= 0) return ms;
  const value = headers.get("retry-after");
  if (value === null) return null;
  const seconds = Number(value);
  if (seconds >= 0) return seconds * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

function redacted(error: CallError, secret: string | undefined): CallError {
  const { requestId, code } = error.details;
  return new CallError(error.reason, cleaned(error.message, secret), {
    ...error.details,
    requestId: requestId === null ? null : cleaned(requestId, secret),
    code: code === null ? null : cleaned(code, secret),
  });
}

/** A server's text without the key, and not too long. */
export function cleaned(text: string, secret: string | undefined): string {
  // Servers like to quote the key that they refuse. It is taken out before the cut, lest a part of it stays.
  const clean = secret ? text.replaceAll(secret, "[key]") : text;
  return clean.length > LONGEST_MESSAGE ? `${clean.slice(0, LONGEST_MESSAGE)}...` : clean;
}
