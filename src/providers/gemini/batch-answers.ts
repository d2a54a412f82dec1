import { realError } from "../answer.ts";
import type { BatchResult, BatchState, BatchStatus } from "../batch.ts";
import { fileIdIn, idIn } from "../batch-ids.ts";
import { readLine } from "../batch-lines.ts";
import { unexpected } from "../batch-requests.ts";
import { asCount, asObject, asText, type Json, shown } from "../json.ts";
import { CallError } from "../provider.ts";
import { cleaned, statusError } from "../refusal.ts";
import { completionOf } from "./answer.ts";

/*
 * Reads the batches of the Gemini API, and the lines of their results. Nothing in them is trusted.
 */

/** A batch that was not done within this time after its creation expires, and has no results (Google's documentation). */
const LONGEST_MS = 48 * 3_600_000;

/** What the API calls the states of a batch, after `BATCH_STATE_` or `JOB_STATE_`. */
const STATUSES: Record<string, BatchStatus> = {
  QUEUED: "validating",
  PENDING: "validating",
  RUNNING: "in_progress",
  UPDATING: "in_progress",
  SUCCEEDED: "completed",
  PARTIALLY_SUCCEEDED: "completed",
  FAILED: "failed",
  CANCELLING: "cancelling",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
};

/** The longest word for a state that is shown. */
const LONGEST_WORD = 40;

/** Ids are parts of addresses. */
const ID = /^(?:batches|files)\/[\w-]+$/;

/** @returns the id itself. @throws CallError when it could lead to another address */
export function checkedId(id: string): string {
  if (ID.test(id)) return id;
  throw new CallError("bad_request", `${JSON.stringify(id.slice(0, 100))} is not the id of a batch or a file`);
}

/** @param value a long-running operation whose metadata are a batch. @throws CallError when it is none */
export function readBatch(value: unknown, secret: string | undefined): BatchState {
  const operation = asObject(value);
  const metadata = asObject(operation?.["metadata"]);
  const id = idIn(operation?.["name"], secret);
  if (!operation || !metadata || id === null || !ID.test(id)) {
    throw unexpected("a batch", value, secret);
  }
  const word = asText(metadata["state"]) ?? "";
  const status = STATUSES[word.replace(/^(?:BATCH|JOB)_STATE_/, "")];
  const outputFileId = fileIn(metadata["output"], secret) ?? fileIn(operation["response"], secret);
  const error = status === "failed" ? rpcError(operation["error"] ?? metadata["error"]) : null;
  const stated = readCounts(metadata["batchStats"]);
  // The file may come after the end of the work, and the counts, too: then they do not say that nothing was answered.
  const isBehind = status === "completed" && outputFileId === null;
  const counts = isBehind && stated && stated.completed + stated.failed < stated.total ? null : stated;
  return {
    id,
    status: status ?? "in_progress",
    unknownStatus: status ? null : cleaned(word, secret).slice(0, LONGEST_WORD) || "without a status",
    dueAt: dueAt(metadata["createTime"]),
    counts,
    progress: counts && counts.total > 0 ? Math.min(1, (counts.completed + counts.failed) / counts.total) : null,
    outputFileId,
    errorFileId: null,
    error: error && { code: error.details.code, message: cleaned(error.message, secret) },
    failure: error && error.reason,
    isTokenLimit: error?.reason === "rate_limited",
  };
}

function fileIn(output: unknown, secret: string | undefined): string | null {
  return fileIdIn(asObject(output)?.["responsesFile"], secret);
}

function dueAt(createTime: unknown): number | null {
  const time = Date.parse(asText(createTime) ?? "");
  return Number.isFinite(time) ? time + LONGEST_MS : null;
}

/** Counts are texts, and left out if they are 0. */
function readCounts(value: unknown): BatchState["counts"] {
  const stats = asObject(value);
  const countOf = (name: string) => asCount(Number(asText(stats?.[name]) ?? 0));
  const total = countOf("requestCount");
  const [completed, failed] = [countOf("successfulRequestCount"), countOf("failedRequestCount")];
  return !total || completed === null || failed === null ? null : { total, completed, failed };
}

/** @param model the name of the model in the request */
export function readResult(text: string, model: string, secret: string | undefined): BatchResult {
  return readLine(text, { idMember: "key", secret }, (line) => {
    const error = realError(line["error"]);
    if (error !== undefined) throw rpcError(error);
    if (!asObject(line["response"])) throw new CallError("malformed", `a line of the results has no response: ${text}`);
    return completionOf(line["response"], model, { httpStatus: 200, requestId: null, rateLimits: null }, secret);
  });
}

/** The codes of google.rpc.Status, with their names and the statuses of the same meaning. */
const CODES: Record<string, readonly [name: string, status: number]> = {
  2: ["UNKNOWN", 500],
  3: ["INVALID_ARGUMENT", 400],
  4: ["DEADLINE_EXCEEDED", 408],
  5: ["NOT_FOUND", 404],
  6: ["ALREADY_EXISTS", 409],
  7: ["PERMISSION_DENIED", 403],
  8: ["RESOURCE_EXHAUSTED", 429],
  9: ["FAILED_PRECONDITION", 400],
  10: ["ABORTED", 409],
  11: ["OUT_OF_RANGE", 400],
  12: ["UNIMPLEMENTED", 400],
  13: ["INTERNAL", 500],
  14: ["UNAVAILABLE", 503],
  15: ["DATA_LOSS", 500],
  16: ["UNAUTHENTICATED", 401],
};

/** The code of a request that the batch did not process. */
const CANCELLED = "1";

/** The error of a batch or of one of its requests. It has a code, but no status of HTTP that could be stored. */
function rpcError(value: unknown): CallError {
  const error: Json = asObject(value) ?? { message: shown(value) };
  const code = asText(error["code"]) ?? "";
  const [name, status] = CODES[code] ?? [code, /^[45]\d\d$/.test(code) ? Number(code) : 500];
  const read = statusError(status, { status: name, ...error }, `the request failed: ${shown(value)}`, {});
  if (code !== CANCELLED) return read;
  return new CallError("not_processed", read.message, { code: "CANCELLED" });
}
