/** What the reference pipeline stores in the place of an answer where none came. */
const PLACEHOLDER = /^No response generated\.?$/;

/** What it makes of an exception: this, and what the exception says. */
const PREFIX = "Error: ";

/**
 * What the exceptions of its clients say: of the SDKs of OpenAI and Together, of the HTTP libraries beneath them, and of
 * Python where an answer has not the shape that was expected.
 */
const EXCEPTIONS = [
  /^Error code: \d{3}\b/,
  /^HTTP code \d{3}\b/,
  /^(Request timed out|Connection error)\b/,
  /^Error communicating with API\b/,
  /^(Server disconnected|peer closed connection|Response payload is not completed)\b/,
  /^(All connection attempts failed|Cannot connect to host)\b/,
  /^\[(Errno -?\d+|SSL[:\]])/,
  /^'NoneType' object (is not|has no attribute)\b/,
  /^(list index out of range|Expecting value: line \d+ column \d+)/,
];

/** Whether a text of a dataset is no answer, but what was stored in its place when the call failed. */
export function isErrorText(text: string): boolean {
  const trimmed = text.trim();
  if (PLACEHOLDER.test(trimmed)) return true;
  return trimmed.startsWith(PREFIX) && EXCEPTIONS.some((pattern) => pattern.test(trimmed.slice(PREFIX.length)));
}

/** Whether a text begins as an error text does, though it is none that is known: an answer may begin so too. */
export function isLikeErrorText(text: string): boolean {
  return text.trimStart().startsWith(PREFIX) && !isErrorText(text);
}
