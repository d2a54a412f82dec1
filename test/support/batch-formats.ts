import { randomBytes } from "node:crypto";
import type { ProviderName } from "./answers.ts";
import type { StoredFile } from "./files.ts";

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

/** Why a batch failed whole. */
export interface BatchProblem {
  code: string;
  message: string;
  /** From 1. */
  line?: number;
}

/** A batch before a provider's format is put around it. */
export interface BatchFacts {
  id: string;
  provider: ProviderName;
  endpoint: string;
  file: StoredFile;
  metadata: unknown;
  model: string | undefined;
  status: BatchStatus;
  /** When it got into each state. */
  times: Map<BatchStatus, Date>;
  counts: { total: number; completed: number; failed: number };
  outputFileId: string | null;
  errorFileId: string | null;
  problems: BatchProblem[];
}

/** The object of a file as the provider shows it. */
export function fileBody({ provider, id, name, purpose, bytes, createdAt }: StoredFile): object {
  const common = { id, object: "file", bytes, created_at: seconds(createdAt), filename: name, purpose };
  return provider === "openai"
    ? { ...common, expires_at: seconds(createdAt) + 30 * 86_400, status: "processed", status_details: null }
    : { ...common, purpose: "batch-api", FileType: "jsonl", Processed: true };
}

/** The object of a batch as the provider shows it. */
export function batchBody(batch: BatchFacts): object {
  return batch.provider === "openai" ? openaiBatch(batch) : togetherBatch(batch);
}

function openaiBatch(batch: BatchFacts): object {
  const { id, endpoint, file, metadata, model, status, times, counts, outputFileId, errorFileId, problems } = batch;
  const at = (name: BatchStatus) => (times.has(name) ? seconds(times.get(name)!) : null);
  const created = seconds(times.get("validating")!);
  return {
    id,
    object: "batch",
    endpoint,
    model: model ?? null,
    errors: status === "failed" ? { object: "list", data: problems.map(openaiProblem) } : null,
    input_file_id: file.id,
    completion_window: "24h",
    status,
    output_file_id: outputFileId,
    error_file_id: errorFileId,
    created_at: created,
    in_progress_at: at("in_progress"),
    expires_at: created + 86_400,
    finalizing_at: at("finalizing"),
    completed_at: at("completed"),
    failed_at: at("failed"),
    expired_at: at("expired"),
    cancelling_at: at("cancelling"),
    cancelled_at: at("cancelled"),
    request_counts: counts,
    metadata: metadata ?? null,
  };
}

function openaiProblem({ code, message, line = 0 }: BatchProblem): object {
  return { code, message, line: line || null, param: null };
}

function togetherBatch(batch: BatchFacts): object {
  const { id, endpoint, file, model, status, times, counts, outputFileId, errorFileId, problems } = batch;
  // Together knows no states between the end of the work and that of the batch.
  const shown = status === "finalizing" || status === "cancelling" ? "in_progress" : status;
  const problem = problems[0];
  return {
    id,
    user_id: "user-loop",
    input_file_id: file.id,
    file_size_bytes: file.bytes,
    status: shown.toUpperCase(),
    job_deadline: new Date(times.get("validating")!.getTime() + 86_400_000).toISOString(),
    created_at: times.get("validating")!.toISOString(),
    endpoint,
    progress: (100 * (counts.completed + counts.failed)) / Math.max(1, counts.total),
    model_id: model ?? "",
    output_file_id: outputFileId ?? "",
    error_file_id: errorFileId ?? "",
    ...(status === "failed" &&
      problem && { error: `${problem.line ? `line ${problem.line}: ` : ""}${problem.message}` }),
    ...(times.has("completed") && { completed_at: times.get("completed")!.toISOString() }),
  };
}

/** A line of an output or error file with an answer, good or not; `body` is JSON. */
export function answerLine(
  provider: ProviderName,
  customId: string,
  answer: { status: number; requestId: string; body: string },
): string {
  const custom = JSON.stringify(customId);
  if (provider === "openai") {
    const response = `{"status_code":${answer.status},"request_id":"${answer.requestId}","body":${answer.body}}`;
    return `{"id":"${lineId()}","custom_id":${custom},"response":${response},"error":null}`;
  }
  if (answer.status === 200) return `{"custom_id":${custom},"response":{"status_code":200,"body":${answer.body}}}`;
  const { error } = JSON.parse(answer.body) as { error?: { code?: string | null; type?: string; message?: string } };
  return problemLine(provider, customId, {
    code: error?.code ?? error?.type ?? "error",
    message: error?.message ?? answer.body,
  });
}

/** A line of an error file for a request that got no answer. */
export function problemLine(provider: ProviderName, customId: string, { code, message }: BatchProblem): string {
  return JSON.stringify(
    provider === "openai"
      ? { id: lineId(), custom_id: customId, response: null, error: { code, message } }
      : { custom_id: customId, error: { message, code } },
  );
}

function lineId(): string {
  return `batch_req_${randomBytes(12).toString("hex")}`;
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
