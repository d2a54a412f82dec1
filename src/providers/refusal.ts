import { asObject, asText, type Json, shown } from "./json.ts";
import { CallError, type CallErrorDetails, type FailureReason } from "./provider.ts";
import { type RefusalText, unfold } from "./refusal-text.ts";
import { readWait, retryAfterOf } from "./rate-limits.ts";
import { detailsOf } from "./response-details.ts";
import { withoutKey } from "./secrets.ts";

/*
 * Turns a status or a body of a server into the reason of a failure. Nothing else does that.
 */

/** The members that the errors of both SDKs have. */
interface ApiError extends Error {
  status: number | undefined;
  headers: Headers | undefined;
  error: unknown;
}

const LONGEST_MESSAGE = 1_000;

/** Classifies an error that an SDK threw. @throws the error itself when it is not about a request */
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

/** The error of a response with a status of failure. */
export async function refusalOf(response: Response): Promise<CallError> {
  const { status, headers } = response;
  const details = { ...detailsOf(status, headers), retryAfterMs: retryAfterOf(headers) };
  return statusError(status, await response.text(), `it answered ${status}`, details);
}

/**
 * A request failed below HTTP. The SDKs treat an error of `fetch` as a timeout if its message has words such as "timed
 * out". So the message of this error has no such words, and the failure is in a member.
 */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly failure: CallError;

  constructor(failure: CallError) {
    super("the request failed");
    this.failure = failure;
  }
}

/**
 * The error for an answer with a status of failure.
 * @param body the error, in any shape
 * @param fallback the message if the body has none
 */
export function statusError(
  status: number,
  body: unknown,
  fallback: string,
  details: Partial<CallErrorDetails>,
): CallError {
  const parsed = unfold(body);
  return new CallError(reasonOf(status, parsed), parsed.message ?? fallback, {
    ...details,
    code: parsed.names[0] ?? null,
    retryAfterMs: details.retryAfterMs ?? readWait(parsed.retryDelay ?? null),
  });
}

/**
 * The body of a refusal in the one shape that the SDKs can read; they fail on deep nesting.
 * @param location the target of a redirect
 */
export function refusalBody(status: number, text: string, location: string | null): string {
  const { message: said, names, retryDelay, quotas } = unfold(text);
  const [code, type] = names;
  const violations = quotas?.map((quotaId) => ({ quotaId }));
  const message =
    status < 400
      ? `it answered ${status}, ${location === null ? "without an address" : `a redirect to ${location}`}`
      : said;
  return JSON.stringify({
    error: { message: message ?? `it answered ${status}, without a reason`, code, type, retryDelay, violations },
  });
}

/** The reason for a status, if the words of the refusal do not decide. */
const BY_STATUS: Record<number, FailureReason> = {
  401: "key_refused",
  402: "no_quota",
  403: "forbidden",
  404: "model_not_found",
  407: "proxy_refused",
  408: "timeout",
  // A retry may help: a conflict, a failed dependency, too early, no answer, a gateway or a client that gave up.
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
/** The statuses with which servers refuse a key. */
const ofKey = (status: number) => status === 400 || status === 401 || status === 403;
const ofRefusal = (status: number) => status >= 400 && status < 500 && status !== 401;
const ofRequest = (status: number) => ofRefusal(status) && status !== 429;
/** Statuses that some servers use for every error. */
const ofAnything = (status: number) => status === 400 || status === 422;

/** The reason by the words of a refusal. The first matching row decides. */
const BY_WORDS: readonly [reason: FailureReason, fits: (status: number) => boolean, words: RegExp][] = [
  [
    "no_quota",
    anyStatus,
    /insufficient_quota|spend_limit_reached|billing_hard_limit|billing_not_active|^arrearage$|\barrears\b|(?:credit|account) balance is (?:too )?(?:low|insufficient)|insufficient (?:credits?|balance|funds)|out of credits|reached your specified (?:API|workspace) usage limits|budget (?:has been |was )?exceeded|exceeded.{0,20}\bbudget|ExceededBudget/i,
  ],
  // A quota of Google's that is free again tomorrow, whatever wait it states.
  ["no_quota", (status) => status === 429, /^\w*PerDay(?:[A-Z]\w*)?(?:-\w+)?$/],
  [
    "key_refused",
    ofKey,
    /^API_KEY_INVALID$|^invalid_api_key$|api.?key (?:is )?(?:not valid|invalid|expired)|(?:invalid|incorrect|expired) api.?key|api.?key.{0,30}(?:has )?expired|api.?key (?:was|has been) (?:reported as leaked|suspended|blocked)|unregistered callers/i,
  ],
  ["forbidden", ofAnything, /\blocation is not supported/i],
  ["context_too_long", ofRefusal, /request(?: is)? too large|must be reduced|reduce your message size/i],
  ["rate_limited", ofRefusal, /rate.?limit|too many requests|throttling/i],
  [
    "context_too_long",
    ofRequest,
    /context_length_exceeded|exceed_context_size|exceeds?.{0,40}context (?:size|length|limit)|maximum context length|context window|too many tokens|exceeds the maximum number of tokens|(?:prompt|input) is too long|ContextWindowExceeded/i,
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

function reasonOf(status: number, { message, names, quotas = [] }: RefusalText): FailureReason {
  const texts = [...names, ...quotas, message ?? ""];
  for (const [reason, fits, words] of BY_WORDS) {
    if (fits(status) && texts.some((text) => words.test(text))) return reason;
  }
  // "Limit 10000, Requested 12000": this request can never fit.
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

/** The status for an error without one, by its words. The first match decides. */
const STATUS_BY_WORDS: readonly [status: number, words: RegExp][] = [
  // Anthropic's types of errors.
  [402, /^billing_error\b/],
  [403, /^permission_error\b/],
  [404, /^not_found_error\b/],
  [413, /^request_too_large\b/],
  [429, /^rate_limit_error\b/],
  [529, /^overloaded_error\b/],
  [401, /^authentication_error\b/],
  [429, /rate.?limit|too many requests|throttl/i],
  [408, /time.?out|timed out/i],
  [401, /invalid_api_key/],
];

/** Words of a refusal that a retry does not help. */
const REFUSED = /invalid|unsupported|bad.?request|not.found/i;

/**
 * An error without a status, such as one in a line of a batch. Its code decides if it is a status, else its words. If
 * neither decides, it is a server error.
 */
export function errorWithoutStatus(value: unknown, details: Partial<CallErrorDetails>): CallError {
  const parsed = unfold(value);
  const named = statusIn(asObject(value) ?? {});
  const status = named ?? statusByWords(parsed);
  // Without a response there is no status to store, and a guessed one is not stored.
  const stored = named ?? (status < 500 && details.httpStatus ? status : details.httpStatus);
  return statusError(status, value, parsed.names[0] ?? shown(value), { ...details, httpStatus: stored ?? null });
}

function statusByWords(parsed: RefusalText): number {
  const text = [...parsed.names, parsed.message ?? ""].join(" ");
  const known = STATUS_BY_WORDS.find(([, words]) => words.test(text))?.[0];
  if (known !== undefined) return known;
  const reason = reasonOf(400, parsed);
  if (reason === "server_error") return 500;
  return reason !== "bad_request" || REFUSED.test(text) ? 400 : 500;
}

/** An error in the body of an answer with a status of success. */
export function embeddedError(value: unknown, details: Partial<CallErrorDetails>): CallError {
  const error = errorWithoutStatus(value, details);
  return new CallError(error.reason, `the server answered with an error: ${error.message}`, error.details);
}

/** The HTTP status that an error has as its code or status. */
function statusIn(error: Json): number | null {
  const names = ["code", "status", "status_code"].map((name) => asText(error[name]) ?? "");
  const status = names.find((name) => /^[45]\d\d$/.test(name));
  return status === undefined ? null : Number(status);
}

/** Statuses of a gateway whose server is down or overloaded. */
const AWAY = new Set([502, 503, 504, 529]);

/** Whether a failure says that the provider is unavailable, for any request. */
export function isAway({ details }: CallError): boolean {
  return !details.hasLeft || AWAY.has(details.httpStatus ?? 0);
}

/** The statuses of a server that takes no request now. */
const BUSY = new Set([503, 529]);

/** Whether a server takes no request now: it is unavailable, or it has too many requests. */
export function isBusy({ details }: CallError): boolean {
  return BUSY.has(details.httpStatus ?? 0);
}

/** Error codes of a machine that has no file, port or buffer left for another connection. */
const EXHAUSTED = new Set(["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS"]);

/** Whether too many requests at once may be the cause of a failure. */
export function isOverload(error: CallError): boolean {
  const { code, hasLeft } = error.details;
  if (error.reason === "timeout" || isBusy(error)) return true;
  return error.reason === "connection" && (hasLeft || EXHAUSTED.has(code ?? ""));
}

/** Statuses of a gateway that stopped waiting; the server behind it may still work on the answer. */
const STOPPED_WAITING = new Set([408, 499, 504, 524]);

/** Whether a provider may charge a failed request for which it reported no usage. */
export function mayBeCharged({ reason, details: { httpStatus, hasLeft } }: CallError): boolean {
  if (reason === "broken") return true;
  if (httpStatus === null || !hasLeft) return hasLeft;
  return httpStatus < 300 || STOPPED_WAITING.has(httpStatus);
}

/**
 * Whether a provider may charge a failed request of a batch. The batch reports which requests it answered, but such an
 * answer may be unreadable.
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

/** A server's text without the key and without control characters, cut if it is long. */
export function cleaned(text: string, secret: string | undefined): string {
  // Servers often quote the key that they refuse. It is removed before the cut, so that no part of it stays.
  const clean = withoutKey(text, secret).replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  return clean.length > LONGEST_MESSAGE ? `${clean.slice(0, LONGEST_MESSAGE)}...` : clean;
}
