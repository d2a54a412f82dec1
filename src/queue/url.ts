import { UsageError } from "../errors.ts";

/** Where a queue is. */
export interface QueueUrl {
  engine: "redis" | "postgres";
  /** With its credentials: only for the engine's client. */
  href: string;
  /** Without credentials: for messages. */
  shown: string;
}

const ENGINES: Readonly<Record<string, QueueUrl["engine"]>> = {
  "redis:": "redis",
  "rediss:": "redis",
  "postgres:": "postgres",
  "postgresql:": "postgres",
};

const HIDDEN = "[hidden]";
const SHORTEST_NAME = 4;
const DATABASE_OF_REDIS = /^\/?\d{0,9}$/;

/**
 * Reads the URL of a queue.
 * @param from the flag or variable that gave it
 * @throws UsageError when it is none; the message does not repeat it, because it may hold a password
 */
export function parseQueueUrl(text: string, from: string): QueueUrl {
  const url = URL.parse(text);
  const engine = url === null ? undefined : ENGINES[url.protocol];
  if (url === null || engine === undefined || url.hostname === "") {
    throw new UsageError(
      `${from} is not the URL of a queue`,
      "Expected redis://HOST:PORT, rediss://HOST:PORT or postgres://HOST:PORT/DATABASE, with a user and a password if the server wants them.",
    );
  }
  if (engine === "redis" && !DATABASE_OF_REDIS.test(url.pathname)) {
    throw new UsageError(
      `${from} names a database that Redis cannot have`,
      "Its databases are numbers: redis://HOST:PORT/1, or no path for the first one.",
    );
  }
  if (isBadlyEscaped(url.username) || isBadlyEscaped(url.password) || isBadlyEscaped(url.pathname)) {
    throw new UsageError(
      `${from} has a % that begins no escaped character`,
      "Write %25 for a % in a user, a password or the name of a database.",
    );
  }
  return { engine, href: text, shown: `${url.protocol}//${url.host}${url.pathname}` };
}

/** A text of the engine without the credentials of the URL. */
export function withoutCredentials(text: string, { href }: QueueUrl): string {
  const { username, password, searchParams } = new URL(href);
  const secrets = [password, decodeURIComponent(password), searchParams.get("password") ?? ""];
  const names = [username, decodeURIComponent(username)];
  const withoutSecrets = secrets.filter(Boolean).reduce((shown, secret) => shown.replaceAll(secret, HIDDEN), text);
  // A short name, such as `u`, occurs in ordinary words, too.
  const long = names.filter(({ length }) => length >= SHORTEST_NAME);
  return long.reduce((shown, name) => shown.replaceAll(name, HIDDEN), withoutSecrets);
}

function isBadlyEscaped(text: string): boolean {
  try {
    decodeURIComponent(text);
    return false;
  } catch {
    return true;
  }
}
