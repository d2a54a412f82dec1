import { errorCode, errorMessage } from "../errors.ts";
import { asObject, asText, type Json, shown } from "./json.ts";
import { CallError, type CallErrorDetails, type FailureReason } from "./provider.ts";
import { type Told, unfold } from "./refusal-text.ts";
import { retryAfterOf } from "./rate-limits.ts";
import { detailsOf } from "./response-details.ts";
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
  // The SDKs wrap what a `fetch` throws, and keep it as the cause.
  const cause = error.cause ?? error;
  if (cause instanceof TransportError) return redacted(cause.failure, secret);
  throw error;
}

/**
 * Where a request failed below HTTP. The SDKs look for words such as "timed out" in what a `fetch` throws, and call that a
 * time-out: the message of this error has none, and the failure is kept beside it.
 */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly failure: CallError;

  constructor(failure: CallError) {
    super("the request failed");
    this.failure = failure;
  }
}

/** What only a person can mend, by the errors of a connection that is being made: nothing of a request has left. */
const HOPELESS: readonly [reason: FailureReason, errors: RegExp][] = [
  [
    "bad_certificate",
    /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH|CRL_|PATH_LENGTH)/,
  ],
  [
    "wrong_protocol",
    /^(?:EPROTO|ERR_SSL_\w+): .*(?:wrong.version.number|http.request|packet.length.too.long|unsupported.protocol|protocol.version|unknown.protocol|handshake.failure|no.application.protocol|certificate.required)/is,
  ],
];

/**
 * A connection that could not be made, or broke.
 * @param hasLeft whether bytes of the request may have been written
 */
export function connectionError(error: unknown, hasLeft = true): CallError {
  if (error instanceof CallError) return error;
  // The errors of `fetch` say no more than that it failed; what went wrong is their cause.
  const cause = error instanceof TypeError ? (error.cause ?? error) : error;
  const code = errorCode(cause) ?? null;
  const proxyStatus = proxyStatusIn(errorMessage(cause));
  if (proxyStatus !== null) return proxyError(proxyStatus);
  if (isAlert(cause)) {
    return new CallError("wrong_protocol", "it speaks TLS: the address has to begin with https", { code });
  }
  const message = `${code ? `${code}: ` : ""}${errorMessage(cause)}`;
  const hopeless = HOPELESS.find(([, errors]) => errors.test(message))?.[0];
  if (hopeless) return new CallError(hopeless, message, { code, hasLeft: false });
  return new CallError("connection", message, { code, hasLeft });
}

/** The status with which a proxy refused, in the words of undici. */
function proxyStatusIn(message: string): number | null {
  const [, tunnel, forward] = /^Proxy response \((\d+)\)|^Proxy Authentication Required \((407)\)/.exec(message) ?? [];
  return tunnel !== undefined || forward !== undefined ? Number(tunnel ?? forward) : null;
}

/** What a proxy refuses has not reached the server. It may pass, unless it is the user's fault or the proxy's rule. */
function proxyError(status: number): CallError {
  const details = { code: `proxy_${status}`, hasLeft: false };
  const passes = status === 408 || status === 429 || status >= 500;
  return new CallError(passes ? "connection" : "proxy_refused", `the proxy answered ${status}`, details);
}

/** Whether an answer that is no HTTP begins as an alert of TLS does. */
function isAlert(error: unknown): boolean {
  const data = typeof error === "object" && error !== null && "data" in error ? error.data : undefined;
  return typeof data === "string" && data.startsWith("\x15\x03");
}

/**
 * What an answer with a status that is none of success says.
 * @param body the error that it holds, or what holds it, in any shape
 * @param fallback the message where it has none
 */
export function statusError(
  status: number,
  body: unknown,
  fallback: string,
  details: Partial<CallErrorDetails>,
): CallError {
  const told = unfold(body);
  return new CallError(reasonOf(status, told), told.message ?? fallback, { ...details, code: told.names[0] ?? null });
}

/**
 * The body of a refusal as the SDKs read it: they know one shape alone, and fail at what is nested deep.
 * @param location where a redirect leads
 */
export function refusalBody(status: number, text: string, location: string | null): string {
  const told = unfold(text);
  const [code, type] = told.names;
  const message =
    status < 400
      ? `it answered ${status}, ${location === null ? "without an address" : `a redirect to ${location}`}`
      : told.message;
  return JSON.stringify({ error: { message: message ?? `it answered ${status}, without a reason`, code, type } });
}

/** What a status means where the words say nothing else. */
const BY_STATUS: Record<number, FailureReason> = {
  401: "key_refused",
  402: "no_quota",
  403: "forbidden",
  404: "model_not_found",
  407: "proxy_refused",
  408: "timeout",
  // These pass: a conflict, a part that failed, too early, no answer, a gateway or a client that gave up.
  409: "server_error",
  421: "server_error",
  424: "server_error",
  425: "server_error",
  444: "server_error",
  449: "server_error",
  460: "server_error",
  498: "server_error",
  499: "server_error",
  413: "context_too_long",
  420: "rate_limited",
  429: "rate_limited",
  451: "forbidden",
};

const anyStatus = () => true;
const ofRefusal = (status: number) => status >= 400 && status < 500 && status !== 401;
const ofRequest = (status: number) => ofRefusal(status) && status !== 429;
/** Statuses that some servers have for everything. */
const ofAnything = (status: number) => status === 400 || status === 422;

/** What the words of a refusal mean, whatever its status is otherwise. The first row that fits decides. */
const BY_WORDS: readonly [reason: FailureReason, fits: (status: number) => boolean, words: RegExp][] = [
  ["no_quota", anyStatus, /insufficient_quota|billing_hard_limit|billing_not_active/],
  ["context_too_long", ofRefusal, /request(?: is)? too large|must be reduced|reduce your message size/i],
  ["rate_limited", ofRefusal, /rate.?limit|too many requests|throttling/i],
  [
    "context_too_long",
    ofRequest,
    /context_length_exceeded|exceed_context_size|exceeds?.{0,40}context (?:size|length)|maximum context length|context window|too many tokens|(?:prompt|input) is too long|ContextWindowExceeded/i,
  ],
  [
    "model_not_found",
    (status) => ofAnything(status) || status === 403,
    /^model_not_(?:found|available)$|invalid model(?: name\b|:)|\bmodel\b.{0,200}?(?:does not exist|not found|not a valid model)|not a valid model|(?:unknown|no such) model\b/i,
  ],
  [
    "content_policy",
    ofRequest,
    /content.?policy|content.?filter|content management policy|moderation|(?<!\baccount\b.{0,40})flagged/i,
  ],
  ["wrong_protocol", ofAnything, /HTTP request (?:was sent )?to (?:an? )?HTTPS/i],
  [
    "server_error",
    ofAnything,
    /litellm\.(?:Timeout|InternalServerError|ServiceUnavailableError|APIConnectionError|BadGatewayError)|try again later|overloaded|temporarily unavailable/i,
  ],
];

function reasonOf(status: number, { message, names }: Told): FailureReason {
  const texts = [...names, message ?? ""];
  for (const [reason, fits, words] of BY_WORDS) {
    if (fits(status) && texts.some((text) => words.test(text))) return reason;
  }
  // "Limit 10000, Requested 12000": it will never fit.
  if (status === 429 && isOverLimit(message ?? "")) return "context_too_long";
  const known = BY_STATUS[status];
  if (known) return known;
  if (status >= 500) return "server_error";
  return status < 400 ? "redirected" : "bad_request";
}

function isOverLimit(message: string): boolean {
  const [, limit] = /\blimit:? ?([\d,]{1,15})/i.exec(message) ?? [];
  const [, asked] = /\brequested:? ?([\d,]{1,15})/i.exec(message) ?? [];
  const numberOf = (text: string) => Number(text.replaceAll(",", ""));
  return limit !== undefined && asked !== undefined && numberOf(asked) > numberOf(limit);
}

/** The status that an error without one would have had, by its words. The first that fits decides. */
const STATUS_BY_WORDS: readonly [status: number, words: RegExp][] = [
  [429, /rate.?limit|too many requests|throttl/i],
  [408, /time.?out|timed out/i],
  [401, /invalid_api_key/],
];

/** Words of a request that is refused, and would be again. */
const REFUSED = /invalid|unsupported|bad.?request|not.found/i;

/**
 * An error that came without a status of its own, such as one in a line of a batch: the status that its code names
 * decides, else that of its words. It is an error of the server where neither says anything.
 */
export function errorWithoutStatus(value: unknown, details: Partial<CallErrorDetails>): CallError {
  const told = unfold(value);
  const named = statusIn(asObject(value) ?? {});
  const status = named ?? statusByWords(told);
  // Without a response there is none that could be stored.
  const stored = named ?? (status < 500 && details.httpStatus ? status : details.httpStatus);
  return statusError(status, value, told.names[0] ?? shown(value), { ...details, httpStatus: stored ?? null });
}

function statusByWords(told: Told): number {
  const text = [...told.names, told.message ?? ""].join(" ");
  const known = STATUS_BY_WORDS.find(([, words]) => words.test(text))?.[0];
  if (known !== undefined) return known;
  const reason = reasonOf(400, told);
  if (reason === "server_error") return 500;
  return reason !== "bad_request" || REFUSED.test(text) ? 400 : 500;
}

/** An error that stands where an answer should be, with a status of success. */
export function embeddedError(value: unknown, details: Partial<CallErrorDetails>): CallError {
  const error = errorWithoutStatus(value, details);
  return new CallError(error.reason, `the server answered with an error: ${error.message}`, error.details);
}

/** The status of a refusal that an error names by its number. */
function statusIn(error: Json): number | null {
  const names = ["code", "status", "status_code"].map((name) => asText(error[name]) ?? "");
  const status = names.find((name) => /^[45]\d\d$/.test(name));
  return status === undefined ? null : Number(status);
}

/** Statuses of a gateway whose server is away, or that takes no requests for now. */
const AWAY = new Set([502, 503, 504, 529]);

/** Whether a failure is the provider's alone, whatever it was asked. */
export function isAway({ details }: CallError): boolean {
  return !details.hasLeft || AWAY.has(details.httpStatus ?? 0);
}

/** Statuses of servers that have lost patience, with what may still be working on the answer. */
const LOST_PATIENCE = new Set([408, 499, 504, 524]);

/** Whether a provider that reported no usage may have worked on an answer, and charge it. */
export function mayBeCharged({ reason, details: { httpStatus, hasLeft } }: CallError): boolean {
  if (reason === "broken") return true;
  if (httpStatus === null || !hasLeft) return hasLeft;
  return httpStatus < 300 || LOST_PATIENCE.has(httpStatus);
}

/**
 * Whether a provider may charge a request of a batch. The batch says of each whether it was answered; what was may come
 * back so that it cannot be read.
 */
export function mayBeChargedInBatch({ reason, details: { httpStatus } }: CallError): boolean {
  return reason === "broken" || reason === "malformed" || (httpStatus !== null && httpStatus < 300);
}

function redacted(error: CallError, secret: string | undefined): CallError {
  const { requestId, code } = error.details;
  return new CallError(error.reason, cleaned(error.message, secret), {
    ...error.details,
    requestId: requestId === null ? null : cleaned(requestId, secret),
    code: code === null ? null : cleaned(code, secret),
  });
}

/** A server's text without the key and without control characters, and not too long. */
export function cleaned(text: string, secret: string | undefined): string {
  // Servers like to quote the key that they refuse. It is taken out before the cut, lest a part of it stays.
  const clean = withoutKey(text, secret).replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  return clean.length > LONGEST_MESSAGE ? `${clean.slice(0, LONGEST_MESSAGE)}...` : clean;
}
