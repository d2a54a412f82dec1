import { randomBytes } from "node:crypto";
import { outputLimit } from "../../../src/models/limits.ts";
import type { CacheWrites, Usage } from "../answers.ts";
import type { BatchFacts } from "../batch-formats.ts";
import type { FakeBatches, FakeProvider, Question, Read } from "./fake-provider.ts";
import { numberIn, textOf } from "./shapes.ts";

const MODEL = "claude-sonnet-4-6";

/** The names of errors by their status, as Anthropic documents them; they do not depend on what the tests call an error. */
const TYPES: Record<number, string> = {
  400: "invalid_request_error",
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

const typeOf = (status: number) => TYPES[status] ?? (status < 500 ? "invalid_request_error" : "api_error");

/** What it says for what others have codes for. */
const WORDS: Record<string, string> = {
  insufficient_quota: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
  context_length_exceeded: "prompt is too long: 214315 tokens > 200000 maximum",
  content_policy_violation: "Output blocked by content filtering policy",
};

const STOP_REASONS = { stop: "end_turn", length: "max_tokens", content_filter: "refusal" };

const batches: FakeBatches = {
  mostBytes: 256_000_000,
  endpoints: { "/v1/messages": "chat" },
  operations: [
    [/^POST \/v1\/messages\/batches$/, "create"],
    [/^GET \/v1\/messages\/batches$/, "listBatches"],
    [/^GET \/v1\/messages\/batches\/([^/]+)$/, "get"],
    [/^POST \/v1\/messages\/batches\/([^/]+)\/cancel$/, "cancel"],
    [/^GET \/v1\/messages\/batches\/([^/]+)\/results$/, "content"],
    [/^DELETE \/v1\/messages\/batches\/([^/]+)$/, "delete"],
  ],
  upload: null,
  fileList: () => ({ data: [] }),
  batchList(all, query) {
    const newest = all.toReversed();
    const start = newest.findIndex(({ id }) => id === query.get("after_id")) + 1;
    const end = start + Number(query.get("limit") ?? 20);
    const data = newest.slice(start, end).map(batchObject) as { id: string }[];
    return { data, has_more: end < all.length, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  },
  creation: ({ requests, ...others }) =>
    Array.isArray(requests) && requests.length > 0 && Object.keys(others).length === 0
      ? {
          endpoint: "/v1/messages",
          source: { lines: requests.map((request) => JSON.stringify(request)) },
          metadata: undefined,
        }
      : { refused: "requests: Field required" },
  readLine: ({ custom_id: id, params: body, ...envelope }) => ({ id, body, envelope }),
  idPattern: /^[a-zA-Z0-9_-]{1,64}$/,
  created: (batch) => ({ status: 200, body: batchObject(batch) }),
  id: (hex) => `msgbatch_01${hex.slice(0, 22)}`,
  file: () => ({}),
  batch: batchObject,
  cancelled: batchObject,
  fileId: (hex) => `file-${hex}`,
  missingFile: 404,
  envelope: () => ({}),
  answerLine: (customId, { status, body }) =>
    status === 200
      ? `{"custom_id":${JSON.stringify(customId)},"result":{"type":"succeeded","message":${body}}}`
      : `{"custom_id":${JSON.stringify(customId)},"result":{"type":"errored","error":${body}}}`,
  problemLine(customId, { code, message }) {
    const ended = { batch_expired: "expired", batch_cancelled: "canceled" }[code];
    const type = code === "request_timeout" ? "timeout_error" : "api_error";
    const error = { type: "error", error: { type, message }, request_id: null };
    return JSON.stringify({ custom_id: customId, result: ended ? { type: ended } : { type: "errored", error } });
  },
  traits: {
    keepsMetadata: false,
    counts: true,
    validates: false,
    showsFinalizing: false,
    showsCancelling: true,
    hasOneList: true,
    hasOneFile: false,
    keepsExpired: true,
    writesUnprocessed: true,
    writesStatus: false,
    listsProblems: false,
  },
};

export const anthropic: FakeProvider = {
  model: MODEL,
  key: "sk-ant-api03-loopback-0123456789abcdef",
  beside: {
    variables: { ANTHROPIC_AUTH_TOKEN: "token-hush", ANTHROPIC_WEBHOOK_SIGNING_KEY: "webhook-hush" },
    customHeaders: "ANTHROPIC_CUSTOM_HEADERS",
    headers: {},
  },
  base: "",
  modelsPath: "v1/models",
  models: {
    data: [
      {
        id: MODEL,
        type: "model",
        display_name: "Claude",
        created_at: "2026-09-29T00:00:00Z",
        max_input_tokens: 200_000,
        max_tokens: 64_000,
        lifecycle: "active",
      },
      { id: "claude-2.1", type: "model", display_name: "Claude 2.1", lifecycle: "retired" },
    ],
    has_more: false,
    first_id: MODEL,
    last_id: MODEL,
  },
  endpoints: ["chat"],
  path: () => "/v1/messages",
  endpointAt: (path) => (path === "/v1/messages" ? "chat" : undefined),
  keyHeader: (key) => ["x-api-key", key],
  read: readBody,
  body: ({ model, messages, parameters }: Question) => {
    const {
      extra_body: extra,
      stop,
      max_tokens: most,
      max_completion_tokens: all,
      reasoning_effort,
      ...others
    } = parameters;
    const system = messages.find(({ role }) => role === "system")?.content;
    return {
      model,
      ...(system !== undefined && { system }),
      messages: messages.filter(({ role }) => role !== "system"),
      ...others,
      max_tokens: all ?? most ?? outputLimit(model),
      ...(stop !== undefined && { stop_sequences: stop }),
      ...(reasoning_effort !== undefined && {
        thinking: { type: "adaptive" },
        output_config: { effort: reasoning_effort },
      }),
      ...extra,
      stream: false,
    };
  },
  // With a reasoning effort it thinks, and takes no sampling parameters then.
  refused: ["temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"],
  detailsUsage: () => true,
  namesRequests: "all",
  requestId: () => `req_011C${randomBytes(10).toString("hex")}`,
  headers: (requestId) => ({
    "request-id": requestId,
    "anthropic-organization-id": "0c9a2f1e-0000-4000-8000-0000000100b0",
    "cf-ray": `${requestId.slice(-16)}-FRA`,
  }),
  answer({ model }, digest, _requestId, { content, refusal, finish, usage, noChoices }) {
    const text = content ?? refusal;
    const thinking = { type: "thinking", thinking: "A thought that is no answer.", signature: "c2lnbmF0dXJl" };
    const blocks = [
      ...(digest[24]! % 2 === 0 ? [thinking] : []),
      ...(text === null || text === undefined ? [] : textBlocks(text)),
    ];
    return {
      id: `msg_01${digest.toString("hex", 0, 11)}`,
      type: "message",
      role: "assistant",
      model,
      ...(!noChoices && { content: blocks }),
      stop_reason: refusal === undefined || refusal === null ? STOP_REASONS[finish] : "refusal",
      stop_sequence: null,
      ...(usage && { usage: usageOf(usage) }),
    };
  },
  errors: {
    notFoundCode: "not_found_error",
    rateLimit: { code: null, type: "rate_limit_error" },
    nameOf: typeOf,
  },
  refusal: ({ message, code }, requestId, status) => ({
    type: "error",
    error: { type: typeOf(status), message: WORDS[code ?? ""] ?? message },
    request_id: requestId,
  }),
  refusalReason: "content_filter",
  batches,
};

function batchObject({ id, status, times, counts }: BatchFacts): object {
  const created = times.get("validating")!;
  const ended = times.get("completed") ?? times.get("expired") ?? times.get("cancelled");
  const { total, completed, failed, unprocessed } = counts;
  const isCancelled = status === "cancelled";
  return {
    id,
    type: "message_batch",
    processing_status: ended ? "ended" : status === "cancelling" ? "canceling" : "in_progress",
    // The requests move on only when the whole batch has ended.
    request_counts: {
      processing: ended ? 0 : total,
      succeeded: ended ? completed : 0,
      errored: ended ? failed : 0,
      canceled: ended && isCancelled ? unprocessed : 0,
      expired: ended ? total - completed - failed - (isCancelled ? unprocessed : 0) : 0,
    },
    created_at: created.toISOString(),
    expires_at: new Date(created.getTime() + 86_400_000).toISOString(),
    ended_at: ended?.toISOString() ?? null,
    cancel_initiated_at: times.get("cancelling")?.toISOString() ?? null,
    archived_at: null,
    // Nobody asks there: it is the provider's own host.
    results_url: ended ? `https://api.anthropic.com/v1/messages/batches/${id}/results` : null,
  };
}

/** An answer may have several blocks with text, which follow each other. */
function textBlocks(text: string): object[] {
  const middle = text.indexOf(" ", text.length >> 1);
  const parts = middle > 0 ? [text.slice(0, middle), text.slice(middle)] : [text];
  return parts.map((part) => ({ type: "text", text: part }));
}

/** Tokens that were read from the cache or written to it are not among the input. */
function usageOf({
  prompt,
  completion,
  cached,
  reasoning,
  written = 0,
  writtenForHour = 0,
}: Usage & CacheWrites): object {
  return {
    input_tokens: prompt - cached - written,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: cached,
    cache_creation: {
      ephemeral_5m_input_tokens: written - writtenForHour,
      ephemeral_1h_input_tokens: writtenForHour,
    },
    output_tokens: completion,
    output_tokens_details: { thinking_tokens: reasoning },
    service_tier: "standard",
  };
}

function readBody(body: Record<string, unknown>): Read {
  const { model, messages, system, ...parameters } = body;
  const limit = numberIn(parameters["max_tokens"]);
  return {
    model: String(model),
    prompt: textOf(system === undefined ? messages : [{ role: "system", content: system }, messages].flat()),
    // What a config does not say, datagen adds.
    max_tokens: limit === outputLimit(String(model)) ? undefined : limit,
    max_completion_tokens: undefined,
    temperature: numberIn(parameters["temperature"]),
    parameters,
  };
}
