import { randomBytes } from "node:crypto";
import type { BatchFacts, BatchProblem } from "../batch-formats.ts";
import type { StoredFile } from "../files.ts";
import type { FakeBatches, FakeProvider } from "./fake-provider.ts";
import { openAiCreation, openAiLine, openAiOperations, openAiProtocol, seconds, totals } from "./shapes.ts";

const problemLine = (customId: string, { code, message }: BatchProblem) =>
  JSON.stringify({ custom_id: customId, error: { message, code } });

const batches: FakeBatches = {
  mostBytes: 100_000_000,
  endpoints: { "/v1/chat/completions": "chat" },
  operations: [[/^POST \/files\/upload$/, "upload"], ...openAiOperations],
  upload: {
    purpose: "batch-api",
    nameIn: (form) => form.get("file_name")?.content.toString(),
  },
  fileList: (files) => ({ data: files.toReversed().map(fileObject) }),
  batchList: (all) => all.toReversed().map(batchObject),
  creation: (body) => ({ ...openAiCreation(body), metadata: undefined }),
  readLine: openAiLine,
  idPattern: /^.{1,64}$/s,
  created: (batch) => ({ status: 201, body: { job: batchObject(batch), warning: "" } }),
  id: (hex) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"),
  file: fileObject,
  batch: batchObject,
  cancelled: batchObject,
  fileId: (hex) => `file-${hex}`,
  missingFile: 404,
  envelope: () => ({}),
  answerLine(customId, { status, body }) {
    if (status === 200) {
      return `{"custom_id":${JSON.stringify(customId)},"response":{"status_code":200,"body":${body}}}`;
    }
    const { error } = JSON.parse(body) as { error?: { code?: string | null; type?: string; message?: string } };
    return problemLine(customId, {
      code: error?.code ?? error?.type ?? "error",
      message: error?.message ?? body,
    });
  },
  problemLine,
  traits: {
    keepsMetadata: false,
    counts: false,
    validates: true,
    showsFinalizing: false,
    showsCancelling: false,
    hasOneList: false,
    hasOneFile: false,
    keepsExpired: true,
    writesUnprocessed: false,
    writesStatus: false,
    listsProblems: false,
  },
};

export const together: FakeProvider = {
  ...openAiProtocol,
  model: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
  key: "loopback-together-0123456789abcdef",
  beside: {
    variables: { TOGETHER_PROJECT_ID: "proj-hush" },
    customHeaders: "TOGETHER_CUSTOM_HEADERS",
    headers: {},
  },
  modelsPath: "models",
  models: [
    {
      id: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
      object: "model",
      type: "chat",
      display_name: "Llama 3.3 70B",
      context_length: 131_000,
      pricing: { hourly: 0, input: 0.9, output: 0.9, base: 0, finetune: 0 },
    },
    {
      id: "org/New",
      object: "model",
      type: "chat",
      display_name: "New",
      context_length: 4_096,
      pricing: { hourly: 0, input: 0.2, cached_input: 0.05, output: 0.4, base: 0, finetune: 0 },
    },
    { id: "black-forest-labs/FLUX.1", object: "model", type: "image", display_name: "FLUX", pricing: {} },
  ],
  detailsUsage: () => false,
  requestId() {
    const hex = randomBytes(16).toString("hex");
    return `o${hex.slice(0, 6)}-${hex.slice(6, 12)}-${hex.slice(12, 28)}`;
  },
  headers: (requestId) => ({
    "x-request-id": requestId,
    "x-together-traceid": requestId.slice(-16).padStart(32, "0"),
    "cf-ray": `${requestId.slice(-16)}-FRA`,
  }),
  answer({ model, endpoint }, digest, requestId, { content, refusal, finish, usage, noChoices }) {
    const common = {
      // Together says "eos" where the model itself ended, and both are seen from one model.
      finish_reason: finish === "stop" && digest[24]! % 2 === 0 ? "eos" : finish,
      seed: Number(digest.readBigUInt64BE(24)),
      logprobs: null,
      index: 0,
    };
    const message = { role: "assistant", content, ...(refusal && { refusal }), tool_calls: [] };
    return {
      id: requestId,
      object: endpoint === "chat" ? "chat.completion" : "text.completion",
      created: seconds(new Date()),
      model,
      prompt: [],
      choices: noChoices ? [] : [{ ...common, ...(endpoint === "chat" ? { message } : { text: content }) }],
      ...(usage && { usage: totals(usage) }),
    };
  },
  errors: { notFoundCode: "model_not_available", rateLimit: { code: null, type: "model_rate_limit" } },
  refusal: (error, requestId) => ({ id: requestId, error }),
  batches,
};

function fileObject({ id, name, bytes, createdAt }: StoredFile) {
  return {
    id,
    object: "file",
    bytes,
    created_at: seconds(createdAt),
    filename: name,
    purpose: "batch-api",
    FileType: "jsonl",
    Processed: true,
  };
}

function batchObject(batch: BatchFacts) {
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
