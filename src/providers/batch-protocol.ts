import type { BatchResult, BatchState, BatchStatus } from "./batch.ts";
import { asCount, asObject, asText, type Json, parseJson, shown } from "./json.ts";
import { completionOf, readBody, realError } from "./answer.ts";
import { cleaned, embeddedError, errorWithoutStatus, statusError, toCallError } from "./refusal.ts";
import { CallError } from "./provider.ts";
import { withoutKey } from "./secrets.ts";

/*
 * Batches and the lines of their files as OpenAI and Together write them, read with suspicion. Together's states are in
 * upper case, its error is a text, and it counts nothing but the progress.
 */

const STATUSES = new Set<string>([
  "validating",
  "in_progress",
  "finalizing",
  "completed",
  "failed",
  "expired",
  "cancelling",
  "cancelled",
] satisfies BatchStatus[]);

/** Codes of requests that their batch never came to. */
const NOT_PROCESSED = /^batch_(expired|cancelled)$/;

/** @throws CallError where the value is no batch */
export function readBatch(value: unknown, secret: string | undefined): BatchState {
  const batch = asObject(value);
  const id = asText(batch?.["id"]);
  // An id that quotes the key would be stored.
  if (!batch || id === null || withoutKey(id, secret) !== id) throw unexpected("a batch", value, secret);
  const status = asText(batch["status"])?.toLowerCase() ?? "";
  const error = readBatchError(batch);
  const counts = readCounts(batch["request_counts"]);
  return {
    id,
    // A state that is not known is none of the last ones: the batch is looked at again.
    status: STATUSES.has(status) ? (status as BatchStatus) : "in_progress",
    counts,
    progress: readProgress(batch["progress"], counts),
    outputFileId: asText(batch["output_file_id"]) || null,
    errorFileId: asText(batch["error_file_id"]) || null,
    error: error && { code: error.code, message: cleaned(error.message, secret) },
    isTokenLimit:
      status === "failed" && (error?.code === "token_limit_exceeded" || /enqueued token/i.test(error?.message ?? "")),
  };
}

/** The error for an answer with a status of success that is not what was asked for. */
export function unexpected(wanted: string, value: unknown, secret: string | undefined): CallError {
  const embedded = realError(asObject(value)?.["error"]);
  const error =
    embedded !== undefined
      ? embeddedError(embedded, {})
      : new CallError("malformed", `the server answered with what is not ${wanted}: ${shown(value)}`);
  return toCallError(error, secret);
}

function readBatchError({ error, errors }: Json): BatchState["error"] {
  const list = asObject(errors)?.["data"];
  const all = Array.isArray(list) ? list.map((one) => asObject(one) ?? {}) : [];
  const first = all[0] ?? asObject(error);
  if (!first) return typeof error === "string" && error !== "" ? { code: null, message: error } : null;
  const code = asText(first["code"]);
  const line = asCount(first["line"]);
  const message = asText(first["message"]) ?? code ?? shown(first);
  const more = all.length > 1 ? ` (and ${all.length - 1} more)` : "";
  return { code, message: `${line === null ? "" : `line ${line}: `}${message}${more}` };
}

function readCounts(value: unknown): BatchState["counts"] {
  const counts = asObject(value);
  const [total, completed, failed] = ["total", "completed", "failed"].map((name) => asCount(counts?.[name]));
  return total == null || completed == null || failed == null ? null : { total, completed, failed };
}

function readProgress(percent: unknown, counts: BatchState["counts"]): number | null {
  if (typeof percent === "number") return Math.min(1, Math.max(0, percent / 100));
  return counts && counts.total > 0 ? Math.min(1, (counts.completed + counts.failed) / counts.total) : null;
}

/** @param model the one that was asked for */
export function readResult(text: string, model: string, secret: string | undefined): BatchResult {
  const line = asObject(parseJson(text));
  const customId = line ? asText(line["custom_id"]) : customIdIn(text);
  try {
    if (!line) throw new CallError("malformed", `a line of the results is no JSON object, or too long: ${text}`);
    if (customId === null) throw new CallError("malformed", `a line of the results has no custom_id: ${text}`);
    const response = asObject(unfolded(line["response"]));
    const requestId = asText(response?.["request_id"]) || asText(line["id"]);
    const error = realError(line["error"]);
    if (error !== undefined) throw lineError(error, requestId);
    if (!response) throw new CallError("malformed", `a line of the results has no response: ${text}`, { requestId });
    // A status of 0 was seen where there was no answer.
    const httpStatus = asCount(response["status_code"]) || null;
    if (httpStatus === null || httpStatus >= 300) {
      const body = unfolded(response["body"]);
      const fallback = `the request failed: ${shown(body)}`;
      throw statusError(httpStatus ?? 500, body, fallback, { httpStatus, requestId });
    }
    const known = { httpStatus, requestId, rateLimits: null };
    return { customId, completion: completionOf(response["body"], model, known, secret) };
  } catch (error) {
    return { customId, error: toCallError(error, secret) };
  }
}

/** A part of a line, which some servers write as a text of JSON. */
function unfolded(part: unknown): unknown {
  return typeof part === "string" ? (readBody(part) ?? part) : part;
}

/** The id in a line that was cut off. */
function customIdIn(text: string): string | null {
  const id = /"custom_id":\s*("(?:[^"\\]|\\.)*")/.exec(text)?.[1];
  return id === undefined ? null : asText(parseJson(id));
}

/** An error that stands in the place of a response, with a code but hardly ever a status. */
function lineError(value: unknown, requestId: string | null): CallError {
  const error = errorWithoutStatus(value, { requestId });
  const { code } = error.details;
  return NOT_PROCESSED.test(code ?? "") ? new CallError("not_processed", error.message, { requestId, code }) : error;
}
