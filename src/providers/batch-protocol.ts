import type { BatchResult, BatchState, BatchStatus } from "./batch.ts";
import { asCount, asObject, asText, type Json, shown } from "./json.ts";
import { realError, unwrapped } from "./answer.ts";
import { fileIdIn, idIn } from "./batch-ids.ts";
import { readLine } from "./batch-lines.ts";
import { unexpected } from "./batch-requests.ts";
import { readBody } from "./json-body.ts";
import { completionOf } from "./openai-answer.ts";
import { cleaned, errorWithoutStatus, statusError } from "./refusal.ts";
import { CallError } from "./provider.ts";

/*
 * Reads batches and the lines of their files, as OpenAI and Together write them. Nothing in them is trusted. Together's
 * states are in upper case, its error is a text, and it reports only the progress.
 */

/** What servers call the states of a batch. */
const STATUSES: readonly [status: BatchStatus, words: RegExp][] = [
  ["validating", /^validating$/],
  ["in_progress", /^(?:in_progress|in-progress|created|accepted|queued|pending|starting|running|processing)$/],
  ["finalizing", /^finalizing$/],
  ["completed", /^(?:completed?|succeeded|success|done|finished|ended)$/],
  ["failed", /^(?:failed|failure|error|errored|rejected|invalid)$/],
  ["expired", /^(?:expired|timed_out|timeout)$/],
  ["cancelling", /^(?:cancell?ing|cancel_requested|aborting|stopping)$/],
  ["cancelled", /^(?:cancell?ed|aborted|stopped|terminated)$/],
];

/** The longest word for a state that is shown. */
const LONGEST_WORD = 40;

/** Error codes of requests that the batch did not process. */
const NOT_PROCESSED = /^batch_(expired|cancelled)$/;

/** @throws CallError when the value is not a batch */
export function readBatch(value: unknown, secret: string | undefined): BatchState {
  const batch = asObject(value);
  const id = idIn(batch?.["id"], secret);
  if (!batch || id === null) throw unexpected("a batch", value, secret);
  const word = asText(batch["status"])?.trim().toLowerCase() ?? "";
  const status = STATUSES.find(([, words]) => words.test(word))?.[0];
  const error = readBatchError(batch);
  const counts = readCounts(batch["request_counts"]);
  return {
    id,
    status: status ?? "in_progress",
    unknownStatus: status ? null : cleaned(word, secret).slice(0, LONGEST_WORD) || "without a status",
    dueAt: readTime(batch["expires_at"] ?? batch["job_deadline"]),
    counts,
    progress: readProgress(batch["progress"], counts),
    outputFileId: fileIdIn(batch["output_file_id"], secret),
    errorFileId: fileIdIn(batch["error_file_id"], secret),
    error: error && { code: error.code, message: cleaned(error.message, secret) },
    failure: error && errorWithoutStatus(error, {}).reason,
    isTokenLimit:
      status === "failed" && (error?.code === "token_limit_exceeded" || /enqueued token/i.test(error?.message ?? "")),
  };
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

/** A time in seconds since 1970 or in ISO 8601, as milliseconds since 1970. */
function readTime(value: unknown): number | null {
  const time = typeof value === "number" ? value * 1_000 : Date.parse(asText(value) ?? "");
  return Number.isFinite(time) && time > 0 ? time : null;
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

/** @param model the name of the model in the request */
export function readResult(text: string, model: string, secret: string | undefined): BatchResult {
  return readLine(text, { idMember: "custom_id", secret }, (line) => {
    const response = asObject(unfolded(line["response"]));
    const requestId = asText(response?.["request_id"]) || asText(line["id"]);
    const error = realError(line["error"]);
    if (error !== undefined) throw lineError(error, requestId);
    if (!response) throw new CallError("malformed", `a line of the results has no response: ${text}`, { requestId });
    // Some servers write a status of 0 when there was no answer, and others write none at all.
    const stated = asCount(Number(asText(response["status_code"]) ?? 0)) || null;
    const body = unfolded(response["body"] ?? (stated === null ? response : undefined));
    const httpStatus = stated === null && isAnswer(body) ? 200 : stated;
    if (httpStatus === null || httpStatus >= 300) {
      const fallback = `the request failed: ${shown(body)}`;
      throw statusError(httpStatus ?? 500, body, fallback, { httpStatus, requestId });
    }
    return completionOf(body, model, { httpStatus, requestId, rateLimits: null }, secret);
  });
}

/** Whether a body holds an answer that was generated, and so is paid. */
function isAnswer(body: unknown): boolean {
  const choices = unwrapped(body, "choices")?.["choices"];
  return Array.isArray(choices) && choices.length > 0;
}

/** A part of a line. Some servers write it as JSON text. */
function unfolded(part: unknown): unknown {
  return typeof part === "string" ? (readBody(part) ?? part) : part;
}

/** An error instead of a response. It usually has a code but no status. */
function lineError(value: unknown, requestId: string | null): CallError {
  const error = errorWithoutStatus(value, { requestId });
  const { code } = error.details;
  return NOT_PROCESSED.test(code ?? "") ? new CallError("not_processed", error.message, { requestId, code }) : error;
}
