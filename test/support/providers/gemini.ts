import { randomBytes } from "node:crypto";
import type { Usage } from "../answers.ts";
import type { BatchFacts, BatchProblem } from "../batch-formats.ts";
import type { StoredFile } from "../files.ts";
import type { FakeBatches, FakeProvider, Question, Read } from "./fake-provider.ts";
import { numberIn, textOf } from "./shapes.ts";

const MODEL = "gemini-3.8-flash";

/** The names of google.rpc.Code for the statuses of HTTP, with the code that a line of a batch has. */
const NAMES: Record<number, readonly [name: string, code: number]> = {
  400: ["INVALID_ARGUMENT", 3],
  401: ["UNAUTHENTICATED", 16],
  403: ["PERMISSION_DENIED", 7],
  404: ["NOT_FOUND", 5],
  408: ["DEADLINE_EXCEEDED", 4],
  409: ["ABORTED", 10],
  429: ["RESOURCE_EXHAUSTED", 8],
  500: ["INTERNAL", 13],
  503: ["UNAVAILABLE", 14],
};

const nameOf = (status: number) => NAMES[status]?.[0] ?? "UNKNOWN";

const FINISH = { stop: "STOP", length: "MAX_TOKENS", content_filter: "SAFETY" } as const;

/** The codes of problems that the tests name. */
const CODES: Record<string, number> = {
  request_timeout: 4,
  token_limit_exceeded: 8,
  server_error: 13,
  batch_expired: 1,
  internal: 13,
};

const problemLine = (key: string, { code, message }: BatchProblem) =>
  JSON.stringify({ key, error: { code: CODES[code] ?? 3, message } });

/** Google's batch mode. It is not documented what a batch that was cancelled gives: here, what was done. */
const batches: FakeBatches = {
  mostBytes: 2_000_000_000,
  endpoints: { batchGenerateContent: "chat" },
  operations: [
    [/^GET \/files$/, "listFiles"],
    [/^GET \/(files\/[^/:]+)$/, "getFile"],
    [/^GET \/(files\/[^/:]+):download$/, "content"],
    [/^DELETE \/(files\/[^/:]+)$/, "delete"],
    [/^POST \/models\/(.+):batchGenerateContent$/, "create"],
    [/^GET \/batches$/, "listBatches"],
    [/^GET \/(batches\/[^/:]+)$/, "get"],
    [/^POST \/(batches\/[^/:]+):cancel$/, "cancel"],
  ],
  upload: { purpose: "batch", path: "/upload/v1beta/files" },
  fileId: (hex) => `files/${hex}`,
  missingFile: 403,
  fileList: (files, query) => page("files", files.map(fileObject), query),
  batchList: (all, query) => page("operations", all.map(operation), query),
  creation({ batch }, model) {
    const { displayName, inputConfig } = Object(batch) as { displayName?: string; inputConfig?: { fileName?: string } };
    if (!displayName) return { refused: "A batch needs a display name." };
    const source = { fileId: inputConfig?.fileName };
    return { endpoint: "batchGenerateContent", source, metadata: displayName, model };
  },
  readLine: ({ key, request, ...envelope }) => ({ id: key, body: request, envelope }),
  idPattern: /^.{1,64}$/s,
  created: (batch) => ({ status: 200, body: operation(batch) }),
  id: (hex) => `batches/${hex}`,
  file: fileObject,
  batch: operation,
  cancelled: () => ({}),
  envelope: () => ({}),
  answerLine(customId, { status, body }) {
    const key = JSON.stringify(customId);
    if (status === 200) return `{"key":${key},"response":${body}}`;
    const { error } = JSON.parse(body) as { error?: { message?: string; details?: object[] } };
    return JSON.stringify({ key: customId, error: { ...error, status: undefined, code: NAMES[status]?.[1] ?? 2 } });
  },
  problemLine,
  traits: {
    keepsMetadata: true,
    counts: true,
    validates: true,
    showsFinalizing: false,
    showsCancelling: false,
    hasOneList: false,
    hasOneFile: true,
    keepsExpired: false,
    writesUnprocessed: false,
    writesStatus: false,
    listsProblems: false,
  },
};

export const gemini: FakeProvider = {
  model: MODEL,
  key: "AIzaSyLoopback-gemini-0123456789abcdefghi",
  beside: {
    variables: {
      GOOGLE_GENAI_USE_VERTEXAI: "true",
      GOOGLE_GENAI_USE_ENTERPRISE: "true",
      GOOGLE_CLOUD_PROJECT: "proj-hush",
      GOOGLE_CLOUD_LOCATION: "location-hush",
      GOOGLE_GEMINI_BASE_URL: "http://127.0.0.1:9/hush",
      GOOGLE_VERTEX_BASE_URL: "http://127.0.0.1:9/hush",
      GOOGLE_GENAI_API_VERSION: "v9hush",
      GOOGLE_APPLICATION_CREDENTIALS: "/nowhere/hush.json",
    },
    customHeaders: null,
    headers: {},
  },
  base: "/v1beta",
  modelsPath: "models",
  models: {
    models: [
      {
        name: `models/${MODEL}`,
        version: "001",
        displayName: "Gemini",
        inputTokenLimit: 1_048_576,
        outputTokenLimit: 65_536,
        supportedGenerationMethods: ["generateContent", "countTokens"],
      },
      { name: "models/gemini-embedding-001", supportedGenerationMethods: ["embedContent"] },
    ],
  },
  endpoints: ["chat"],
  path: (_, model) => `/models/${model}:generateContent`,
  endpointAt: (path) => (/^\/models\/.+:generateContent$/.test(path) ? "chat" : undefined),
  keyHeader: (key) => ["x-goog-api-key", key],
  read: readBody,
  body: ({ messages, parameters }) => bodyOf(messages, parameters),
  refused: ["frequency_penalty", "presence_penalty"],
  detailsUsage: () => true,
  requestId: () => randomBytes(16).toString("base64url"),
  headers: (_, tookMs) => ({
    "server-timing": `gfet4t7; dur=${Math.round(tookMs)}`,
    "x-gemini-service-tier": "standard",
  }),
  namesRequests: "answers",
  answer({ model }, _, responseId, { content, refusal, finish, usage, noChoices }) {
    const thought = usage && usage.reasoning > 0 ? [{ text: "**Thinking of it**", thought: true }] : [];
    const parts =
      content === null ? [] : [...thought, { text: content, ...(thought[0] && { thoughtSignature: "c2ln" }) }];
    const finishReason = refusal ? "PROHIBITED_CONTENT" : FINISH[finish];
    const candidate = { ...(parts.length > 0 && { content: { parts, role: "model" } }), finishReason, index: 0 };
    return {
      ...(!noChoices && { candidates: [candidate] }),
      ...(usage && { usageMetadata: usageOf(usage) }),
      modelVersion: model,
      responseId,
    };
  },
  errors: {
    notFoundCode: "model_not_found",
    rateLimit: { code: null, type: "rate_limit" },
    nameOf,
    haveStatus: true,
  },
  refusal({ message, code }, _, given) {
    const status = code === "insufficient_quota" ? 429 : given;
    return {
      error: { code: status, message, status: nameOf(status), ...(status === 429 && { details: detailsOf(code) }) },
    };
  },
  refusalReason: "content_filter",
  batches,
};

/** What a 429 says beside its message. */
function detailsOf(code: string | null): object[] {
  const per = code === "insufficient_quota" ? "Day" : "Minute";
  return [
    {
      "@type": "type.googleapis.com/google.rpc.Help",
      links: [{ description: "Learn more", url: "https://example.org" }],
    },
    {
      "@type": "type.googleapis.com/google.rpc.QuotaFailure",
      violations: [{ quotaId: `GenerateRequestsPer${per}PerProjectPerModel-FreeTier`, quotaValue: "20" }],
    },
  ];
}

function usageOf({ prompt, completion, total, cached, reasoning }: Usage) {
  return {
    promptTokenCount: prompt,
    candidatesTokenCount: completion - reasoning,
    totalTokenCount: total,
    ...(cached > 0 && { cachedContentTokenCount: cached }),
    promptTokensDetails: [{ modality: "TEXT", tokenCount: prompt }],
    ...(reasoning > 0 && { thoughtsTokenCount: reasoning }),
    serviceTier: "standard",
  };
}

interface Content {
  role?: string;
  parts: { text: string }[];
}

const textIn = ({ parts }: Content) => parts.map(({ text }) => text).join("");

function readBody(body: Record<string, unknown>, { path }: { path: string }): Read {
  const { contents, ...parameters } = body;
  const { systemInstruction, generationConfig = {} } = parameters as {
    systemInstruction?: Content;
    generationConfig?: Record<string, unknown>;
  };
  const messages = [
    ...(systemInstruction ? [{ role: "system", content: textIn(systemInstruction) }] : []),
    ...(contents as Content[]).map((one) => ({
      role: one.role === "model" ? "assistant" : "user",
      content: textIn(one),
    })),
  ];
  return {
    model: /^\/models\/(.+):/.exec(path)?.[1] ?? "",
    prompt: textOf(messages),
    max_tokens: numberIn(generationConfig["maxOutputTokens"]),
    max_completion_tokens: undefined,
    temperature: numberIn(generationConfig["temperature"]),
    parameters,
  };
}

/** The parameters of a config by their names in `generationConfig`. */
const CONFIG_NAMES: Record<string, string> = {
  max_tokens: "maxOutputTokens",
  max_completion_tokens: "maxOutputTokens",
  temperature: "temperature",
  top_p: "topP",
  seed: "seed",
};

function bodyOf(messages: Question["messages"], { extra_body: extra, ...parameters }: Question["parameters"]): object {
  const { stop, reasoning_effort: effort, ...others } = parameters as { stop?: string[]; reasoning_effort?: string };
  const named = Object.entries(others).filter(([, value]) => value !== undefined);
  const system = messages.filter(({ role }) => role === "system");
  return {
    contents: messages
      .filter(({ role }) => role !== "system")
      .map(({ role, content }) => ({ role: role === "assistant" ? "model" : "user", parts: [{ text: content }] })),
    ...(system.length > 0 && { systemInstruction: { parts: system.map(({ content }) => ({ text: content })) } }),
    generationConfig: {
      ...Object.fromEntries(named.map(([name, value]) => [CONFIG_NAMES[name], value])),
      ...(stop && { stopSequences: stop }),
      ...(effort && { thinkingConfig: { thinkingLevel: effort.toUpperCase() } }),
    },
    ...extra,
  };
}

function fileObject({ id, name, bytes, createdAt }: StoredFile) {
  return {
    name: id,
    displayName: name,
    mimeType: "application/jsonl",
    sizeBytes: String(bytes),
    createTime: createdAt.toISOString(),
    expirationTime: new Date(createdAt.getTime() + 48 * 3_600_000).toISOString(),
    state: "ACTIVE",
  };
}

const STATES = {
  validating: "PENDING",
  in_progress: "RUNNING",
  finalizing: "RUNNING",
  cancelling: "RUNNING",
  completed: "SUCCEEDED",
  failed: "FAILED",
  expired: "EXPIRED",
  cancelled: "CANCELLED",
} as const;

/** A batch is a long-running operation. Numbers are texts, and left out if they are 0. */
function operation({ id, file, metadata, model, status, times, counts, outputFileId, problems }: BatchFacts) {
  const isDone = ["completed", "failed", "expired", "cancelled"].includes(status);
  const [problem] = problems;
  const output = outputFileId !== null && { responsesFile: outputFileId };
  const stats = {
    requestCount: counts.total,
    successfulRequestCount: counts.completed,
    failedRequestCount: counts.failed,
    pendingRequestCount: counts.total - counts.completed - counts.failed,
  };
  return {
    name: id,
    metadata: {
      "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
      name: id,
      model: `models/${model}`,
      displayName: metadata,
      inputConfig: { fileName: file.id },
      ...(output && { output }),
      createTime: times.get("validating")!.toISOString(),
      updateTime: new Date().toISOString(),
      batchStats: Object.fromEntries(
        Object.entries(stats).flatMap(([name, count]) => (count ? [[name, `${count}`]] : [])),
      ),
      state: `BATCH_STATE_${STATES[status]}`,
    },
    ...(isDone && { done: true }),
    ...(status === "failed" && problem && { error: rpcError(problem) }),
    ...(isDone && output && { response: { "@type": "…GenerateContentBatchOutput", ...output } }),
  };
}

function rpcError({ code, message, line }: BatchProblem) {
  return { code: CODES[code] ?? 3, message: `${line ? `line ${line}: ` : ""}${message}` };
}

/** A page of a list, the newest first; what is empty is left out. */
function page(member: string, all: object[], query: URLSearchParams): object {
  const start = Number(query.get("pageToken") ?? 0);
  const end = start + Number(query.get("pageSize") ?? 10);
  const shown = all.toReversed().slice(start, end);
  return { ...(shown.length > 0 && { [member]: shown }), ...(end < all.length && { nextPageToken: String(end) }) };
}
