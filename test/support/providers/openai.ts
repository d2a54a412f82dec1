import { randomBytes } from "node:crypto";
import type { BatchFacts, BatchProblem, BatchStatus } from "../batch-formats.ts";
import type { Endpoint } from "../answers.ts";
import type { StoredFile } from "../files.ts";
import type { FakeBatches, FakeProvider } from "./fake-provider.ts";
import { openAiCreation, openAiLine, openAiOperations, openAiProtocol, seconds, totals } from "./shapes.ts";

const problemLine = (customId: string, { code, message }: BatchProblem) =>
  JSON.stringify({ id: lineId(), custom_id: customId, response: null, error: { code, message } });

const batches: FakeBatches = {
  mostBytes: 200_000_000,
  endpoints: { "/v1/chat/completions": "chat", "/v1/completions": "completions" },
  operations: [[/^POST \/files$/, "upload"], ...openAiOperations],
  upload: { purpose: "batch", nameIn: (form) => form.get("file")?.filename },
  fileList: (files, query) => page(files, fileObject, query, 10_000),
  batchList: (all, query) => page(all, batchObject, query, 20),
  creation: (body) =>
    body["completion_window"] === "24h" ? openAiCreation(body) : { refused: "The completion_window must be 24h." },
  readLine: openAiLine,
  idPattern: /^.{1,64}$/s,
  created: (batch) => ({ status: 200, body: batchObject(batch) }),
  id: (hex) => `batch_${hex}`,
  file: fileObject,
  batch: batchObject,
  cancelled: batchObject,
  fileId: (hex) => `file-${hex}`,
  missingFile: 404,
  envelope: (endpoint) => ({ method: "POST", url: endpoint }),
  answerLine(customId, { status, requestId, body }) {
    const response = `{"status_code":${status},"request_id":"${requestId}","body":${body}}`;
    return `{"id":"${lineId()}","custom_id":${JSON.stringify(customId)},"response":${response},"error":null}`;
  },
  problemLine,
  traits: {
    keepsMetadata: true,
    counts: true,
    validates: true,
    showsFinalizing: true,
    showsCancelling: true,
    hasOneList: false,
    hasOneFile: false,
    keepsExpired: true,
    writesUnprocessed: true,
    writesStatus: true,
    listsProblems: true,
  },
};

export const openai: FakeProvider = {
  ...openAiProtocol,
  model: "gpt-4o-mini",
  key: "sk-proj-loopback-openai-0123456789abcdef",
  beside: {
    variables: { OPENAI_ORG_ID: "org-hush", OPENAI_PROJECT_ID: "proj-hush", OPENAI_ADMIN_KEY: "admin-hush" },
    customHeaders: "OPENAI_CUSTOM_HEADERS",
    headers: { "openai-organization": "org-hush", "openai-project": "proj-hush" },
  },
  modelsPath: "models",
  models: {
    object: "list",
    data: [
      { id: "gpt-4o-mini", object: "model", created: 1_721_172_741, owned_by: "system" },
      { id: "ft:gpt-4o-mini-2024-07-18:org::abc", object: "model", created: 1_721_172_742, owned_by: "org" },
    ],
  },
  detailsUsage: (endpoint) => endpoint === "chat",
  requestId: () => `req_${randomBytes(16).toString("hex")}`,
  headers: (requestId, tookMs) => ({
    "x-request-id": requestId,
    "openai-processing-ms": String(Math.round(tookMs)),
    "openai-version": "2020-10-01",
  }),
  answer({ model, endpoint }, digest, requestId, reply) {
    const { content, refusal = null, finish, usage } = reply;
    const choice = { index: 0, logprobs: null, finish_reason: finish };
    const common = { created: seconds(new Date()), model: snapshotOf(model, endpoint) };
    if (endpoint === "completions") {
      return {
        id: `cmpl-${requestId.slice(4)}`,
        object: "text_completion",
        ...common,
        choices: reply.noChoices ? [] : [{ text: content, ...choice }],
        ...(usage && { usage: totals(usage) }),
      };
    }
    const message = { role: "assistant", content, refusal, annotations: [] };
    return {
      id: `chatcmpl-${requestId.slice(4)}`,
      object: "chat.completion",
      ...common,
      choices: reply.noChoices ? [] : [{ message, ...choice }],
      ...(usage && {
        usage: {
          ...totals(usage),
          prompt_tokens_details: { cached_tokens: usage.cached, audio_tokens: 0 },
          completion_tokens_details: {
            reasoning_tokens: usage.reasoning,
            audio_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
          },
        },
      }),
      service_tier: "default",
      system_fingerprint: `fp_${digest.toString("hex", 24, 29)}`,
    };
  },
  errors: { notFoundCode: "model_not_found", rateLimit: { code: "rate_limit_exceeded", type: "requests" } },
  refusal: (error) => ({ error }),
  batches,
};

/** OpenAI answers with the dated name of the model that an undated one stands for. */
function snapshotOf(model: string, endpoint: Endpoint): string {
  if (/\d{4}-\d{2}-\d{2}$/.test(model)) return model;
  return endpoint === "chat" ? `${model}-2024-07-18` : `${model}:20230824-v2`;
}

function lineId(): string {
  return `batch_req_${randomBytes(12).toString("hex")}`;
}

function fileObject({ id, name, purpose, bytes, createdAt }: StoredFile) {
  const created = seconds(createdAt);
  return {
    id,
    object: "file",
    bytes,
    created_at: created,
    filename: name,
    purpose,
    expires_at: created + 30 * 86_400,
    status: "processed",
    status_details: null,
  };
}

function batchObject(batch: BatchFacts) {
  const { id, endpoint, file, metadata, model, status, times, counts, outputFileId, errorFileId, problems } = batch;
  const at = (name: BatchStatus) => (times.has(name) ? seconds(times.get(name)!) : null);
  const created = seconds(times.get("validating")!);
  const data = problems.map(({ code, message, line = 0 }) => ({ code, message, line: line || null, param: null }));
  return {
    id,
    object: "batch",
    endpoint,
    model: model ?? null,
    errors: status === "failed" ? { object: "list", data } : null,
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
    request_counts: { total: counts.total, completed: counts.completed, failed: counts.failed },
    metadata: metadata ?? null,
  };
}

/** A page of a list, the newest first unless `order` is `asc`. */
function page<T extends { id: string }>(
  all: T[],
  show: (one: T) => object,
  query: URLSearchParams,
  usual: number,
): object {
  const ordered = query.get("order") === "asc" ? all : all.toReversed();
  const start = ordered.findIndex(({ id }) => id === query.get("after")) + 1;
  const end = start + Number(query.get("limit") ?? usual);
  const shown = ordered.slice(start, end);
  return {
    object: "list",
    data: shown.map(show),
    first_id: shown[0]?.id ?? null,
    last_id: shown.at(-1)?.id ?? null,
    has_more: end < ordered.length,
  };
}
