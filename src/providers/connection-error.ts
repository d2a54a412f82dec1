import { errorCode, errorMessage } from "../errors.ts";
import { CallError, type FailureReason } from "./provider.ts";

/** Errors of a new connection that only a person can fix. No byte of a request was sent. */
const PERMANENT: readonly [reason: FailureReason, errors: RegExp][] = [
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
  // The message of a `fetch` error only says that it failed; its cause says why.
  const cause = error instanceof TypeError ? (error.cause ?? error) : error;
  const code = errorCode(cause) ?? null;
  const proxyStatus = proxyStatusIn(errorMessage(cause));
  if (proxyStatus !== null) return proxyError(proxyStatus);
  if (isAlert(cause)) {
    return new CallError("wrong_protocol", "the server speaks TLS: its URL must begin with https", { code });
  }
  const said = errorMessage(cause);
  const permanent = PERMANENT.find(([, errors]) => errors.test(`${code}: ${said}`))?.[0];
  const message = code === null || said.includes(code) ? said : `${code}: ${said}`;
  if (permanent) return new CallError(permanent, message, { code, hasLeft: false });
  return new CallError("connection", message, { code, hasLeft });
}

/** The status of a proxy's refusal, from undici's message. */
function proxyStatusIn(message: string): number | null {
  const [, tunnel, forward] = /^Proxy response \((\d+)\)|^Proxy Authentication Required \((407)\)/.exec(message) ?? [];
  return tunnel !== undefined || forward !== undefined ? Number(tunnel ?? forward) : null;
}

/** A refusal of the proxy: the request did not reach the server. A retry may help, unless the proxy refuses the user. */
function proxyError(status: number): CallError {
  const details = { code: `proxy_${status}`, hasLeft: false };
  const passes = status === 408 || status === 429 || status >= 500;
  return new CallError(passes ? "connection" : "proxy_refused", `the proxy answered ${status}`, details);
}

/** Whether an answer that is not HTTP begins like a TLS alert. */
function isAlert(error: unknown): boolean {
  const data = typeof error === "object" && error !== null && "data" in error ? error.data : undefined;
  return typeof data === "string" && data.startsWith("\x15\x03");
}
