import { parseJson } from "./json.ts";
import { CallError } from "./provider.ts";
import { connectionError } from "./connection-error.ts";
import { detailsOf } from "./response-details.ts";
import { readStream } from "./stream.ts";

/*
 * Reads the JSON in the bodies of answers with a status of success.
 */

/** How deep JSON text may be wrapped in JSON strings, or an answer in objects or arrays. */
export const MOST_WRAPPERS = 3;

/** The object or array in a response with a status of success. @throws CallError when there is none */
export async function readJson(response: Response): Promise<unknown> {
  const text = await response.text().catch((error: unknown) => {
    throw connectionError(error);
  });
  const body = readBody(text);
  if (typeof body === "object" && body !== null) return body;
  const notJson = isCrowded(text) ? `a body of more than ${MOST_VALUES} values` : "a body that is not JSON";
  const what = /^\s*</.test(text) ? "HTML" : notJson;
  const details = detailsOf(response.status, response.headers);
  // An answer that breaks off was generated, so it is paid.
  const isHalf = /^\s*(?:[[{"]|data:)/.test(text) && HOLDS_TEXT.test(text);
  throw new CallError(
    isHalf ? "broken" : "malformed",
    `the server answered ${response.status} with ${what}: ${text}`,
    details,
  );
}

/** Whether a body has generated text in it, as an answer or as a stream. */
const HOLDS_TEXT = /"(?:message|delta|text|content)\\?"\s*:/;

/** The value in the text of a body: JSON, JSON in a JSON string, or a stream; undefined for any other text. */
export function readBody(text: string): unknown {
  let value: unknown = text;
  for (let times = 0; typeof value === "string" && times <= MOST_WRAPPERS; times += 1) {
    value = isCrowded(value) ? undefined : (parseJson(value) ?? readStream(value));
  }
  return value;
}

/** Texts up to this length are always parsed. */
const SMALL = 500_000;
/** Each value may take a hundred bytes in memory. An answer of 8,000 tokens with their probabilities has fewer values. */
const MOST_VALUES = 300_000;

/** Whether a text has so many values that they would take many times its size in memory. */
function isCrowded(text: string): boolean {
  if (text.length <= SMALL) return false;
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    // Skip to the end of the string.
    if (code === 0x22) at = endOfString(text, at);
    // `,`, `[` and `{`
    else if (code === 0x2c || code === 0x5b || code === 0x7b) values += 1;
  }
  return values > MOST_VALUES;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
  return at;
}
