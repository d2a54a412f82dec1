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
  return { engine, href: text, shown: `${url.protocol}//${url.host}${url.pathname}` };
}

/** A text of the engine without the credentials of the URL. */
export function withoutCredentials(text: string, { href }: QueueUrl): string {
  const { username, password, searchParams } = new URL(href);
  const secrets = [password, decoded(password), searchParams.get("password") ?? "", username, decoded(username)];
  return secrets.filter(Boolean).reduce((shown, secret) => shown.replaceAll(secret, "[hidden]"), text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
