import { StoppedError, UsageError } from "../errors.ts";

/** A failure that may be over soon: the request can be sent again. */
export class PassingError extends Error {
  override readonly name = "PassingError";
  /** How long the server asks to wait; null if it does not say. */
  readonly waitMs: number | null;

  constructor(message: string, waitMs: number | null = null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.waitMs = waitMs;
  }
}

/** An answer that is neither a success nor a redirect. */
interface Refusal {
  status: number;
  headers: Headers;
  text: string;
  /** What there is not, after 404. */
  missing: string;
  /** Whether the Hub itself answered, and not a server to which it redirected. */
  isHub: boolean;
}

interface Asked {
  id: string;
  endpoint: string;
  token: string | undefined;
}

const LONGEST_MESSAGE = 300;

/**
 * What a refusal of the Hub means. The Hub names the reason in `X-Error-Code`. Without a token, it answers 401 for a
 * dataset that does not exist, because it does not tell who asks whether a private one has that name.
 */
export function refusalOf(refusal: Refusal, { id, endpoint, token }: Asked, longestWaitMs: number): Error {
  const { status, headers, missing, isHub } = refusal;
  const code = headers.get("x-error-code") ?? "";
  const said = messageOf(refusal, token);
  const answered = `${isHub ? "the Hub" : "the server that has the file"} answered ${status}${said === "" ? "" : ` (${said})`}`;
  // 501 is what the Hub answers for a dataset that it cannot convert.
  if (status === 429 || status === 408 || (status >= 500 && status !== 501)) {
    const waitMs = waitOf(headers);
    if (waitMs === null || waitMs <= longestWaitMs) return new PassingError(answered, waitMs);
    const hint = `It asks to wait ${Math.ceil(waitMs / 60_000)} minutes. Then pull again with the same command: it continues.`;
    return new StoppedError(answered, hint);
  }
  // The link of a server that has files is valid for a while only.
  if (!isHub) return new PassingError(answered);
  const page = `${endpoint}/datasets/${id}`;
  const setToken = "set HF_TOKEN to a token of that account, from https://huggingface.co/settings/tokens";
  if (code === "GatedRepo") {
    return new UsageError(
      `${id} is gated: only users who accepted its conditions may pull it`,
      token === undefined
        ? `Accept them at ${page}, and ${setToken}.`
        : `Accept them at ${page} with the account of HF_TOKEN.`,
    );
  }
  if (code === "RevisionNotFound") return new UsageError(missing, `The branches and tags are at ${page}/tree/main.`);
  if (status === 401 && token !== undefined && code !== "RepoNotFound") {
    return new UsageError(
      `HF_TOKEN is refused: ${answered}`,
      "Create another one at https://huggingface.co/settings/tokens.",
    );
  }
  if (code === "RepoNotFound" || status === 401) {
    const hint =
      token === undefined ? `If it is private, ${setToken}.` : "If it is private, HF_TOKEN must be allowed to read it.";
    return new UsageError(`there is no dataset ${id} at ${endpoint}`, `Check the name. ${hint}`);
  }
  if (status === 404 || status === 410) return new UsageError(missing, `Look at ${page}.`);
  if (status === 403) {
    return new UsageError(
      `access to ${id} is refused: ${answered}`,
      `HF_TOKEN must be allowed to read it; see ${page}.`,
    );
  }
  return new UsageError(answered, `Look at ${page}.`);
}

/** What a server says itself, without the token. */
function messageOf({ headers, text }: Refusal, token: string | undefined): string {
  const said = (headers.get("x-error-message") ?? errorIn(text)).replaceAll(/\s+/g, " ").trim();
  return (token === undefined ? said : said.replaceAll(token, "[token]")).slice(0, LONGEST_MESSAGE);
}

function errorIn(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === "string" ? error : "";
  } catch {
    return "";
  }
}

/** How long a server asks to wait: by `Retry-After`, or by the Hub's `RateLimit: "api";r=0;t=55`. */
function waitOf(headers: Headers): number | null {
  const after = headers.get("retry-after");
  if (after !== null) {
    const ms = /^\d{1,9}$/.test(after.trim()) ? Number(after) * 1_000 : Date.parse(after) - Date.now();
    if (Number.isFinite(ms)) return Math.max(0, ms);
  }
  const [, seconds] = /;\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d{1,9})/.exec(headers.get("ratelimit") ?? "") ?? [];
  // One second more, because the Hub rounds.
  return seconds === undefined ? null : (Number(seconds) + 1) * 1_000;
}
