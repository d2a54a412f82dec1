import { unexpected } from "./batch-requests.ts";
import { asText } from "./json.ts";
import { withoutKey } from "./secrets.ts";

/*
 * The ids of batches and files. They are stored, and become parts of addresses.
 */

/** Gateways pack the id of the server behind them into theirs. */
const LONGEST_ID = 1_000;

/** An id; null if there is none, or one that cannot be used: an empty one, a very long one, or one with the key in it. */
export function idIn(value: unknown, secret: string | undefined): string | null {
  const id = asText(value);
  if (id === null || id === "" || id.length > LONGEST_ID || /\p{Cc}/u.test(id)) return null;
  return withoutKey(id, secret) === id ? id : null;
}

/** The id of a file in a batch; null if there is none. @throws CallError when it cannot be used */
export function fileIdIn(value: unknown, secret: string | undefined): string | null {
  if (!asText(value)) return null;
  const id = idIn(value, secret);
  if (id === null) throw unexpected("a file", value, secret);
  return id;
}
