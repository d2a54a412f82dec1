import { errorCode, errorMessage } from "../errors.ts";
import { asObject, asText, type Json, shown } from "./json.ts";
import { CallError, type CallErrorDetails, type FailureReason } from "./provider.ts";
import { detailsOf, retryAfterOf } from "./response-details.ts";
import { withoutKey } from "./secrets.ts";

/*
 * What an OpenAI-compatible server refuses, and why: the one place that turns a status, a body or a broken connection
 * into the reason of a failure.
 */

/** The part of the SDKs' errors that both have. */
interface ApiError extends Error {
  status: number | undefined;
  headers: Headers | undefined;
  error: unknown;
}

const LONGEST_MESSAGE = 1_000;

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

/**
 * An error that stands where an answer should be: what the status means that its code names, or an error of the server
 * where it names none.
 */
export function embeddedError(value: unknown, details: Partial<CallErrorDetails>): CallError {
  const error = asObject(value) ?? {};
  const code = asText(error["code"]) || asText(error["type"]);
  const message = `the server answered with an error: ${asText(error["message"]) ?? asText(value) ?? shown(value)}`;
  const httpStatus = statusIn(error);
  if (httpStatus !== null) {
    const { reason } = statusError(httpStatus, error, message, {});
    return new CallError(reason, message, { ...details, httpStatus, code });
  }
  const reason = /insufficient_quota/.test(code ?? "") ? "no_quota" : "server_error";
  return new CallError(reason, message, { ...details, code });
}

/** The status of a refusal that an error names by its number. */
function statusIn(error: Json): number | null {
  const names = ["code", "status", "status_code"].map((name) => asText(error[name]) ?? "");
  const status = names.find((name) => /^[45]\d\d$/.test(name));
  return status === undefined ? null : Number(status);
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
  const clean = withoutKey(text, secret);
  return clean.length > LONGEST_MESSAGE ? `${clean.slice(0, LONGEST_MESSAGE)}...` : clean;
}
