/** The text that the reference pipeline stores if no answer came. */
const PLACEHOLDER = /^No response generated\.?$/;

/** The reference pipeline stores an exception as this prefix and the exception's message. */
const PREFIX = "Error: ";

/**
 * Messages of exceptions in the reference pipeline: from the SDKs of OpenAI and Together, from their HTTP libraries, and
 * from Python when an answer has an unexpected shape.
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

/** Whether a text of a dataset is the error of a failed call, not an answer. */
export function isErrorText(text: string): boolean {
  const trimmed = text.trim();
  if (PLACEHOLDER.test(trimmed)) return true;
  return trimmed.startsWith(PREFIX) && EXCEPTIONS.some((pattern) => pattern.test(trimmed.slice(PREFIX.length)));
}

/** Whether a text begins like an error text but is not a known one. An answer may begin so too. */
export function isLikeErrorText(text: string): boolean {
  return text.trimStart().startsWith(PREFIX) && !isErrorText(text);
}
