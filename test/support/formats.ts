import { randomBytes } from "node:crypto";
import type { Asked, Endpoint, ProviderName, Usage } from "./answers.ts";

/** What an answer says, before a provider's format is put around it. */
export interface Reply {
  content: string | null;
  refusal?: string | undefined;
  finish: "stop" | "length" | "content_filter";
  /** Undefined leaves the usage out. */
  usage: Usage | undefined;
  /** Answers with an empty list of choices. */
  noChoices?: boolean | undefined;
}

/** What a provider says is wrong; what is left out is what it says for that status (and code). */
export interface ErrorParts {
  code?: string | null | undefined;
  type?: string | undefined;
  message?: string | undefined;
}

/** A name for one request, in the shape that the provider gives it. */
export function requestIdOf(provider: ProviderName): string {
  const hex = randomBytes(16).toString("hex");
  return provider === "openai" ? `req_${hex}` : `o${hex.slice(0, 6)}-${hex.slice(6, 12)}-${hex.slice(12, 28)}`;
}

/** The headers that the provider puts on every response. */
export function headersOf(provider: ProviderName, requestId: string, tookMs: number): Record<string, string> {
  return provider === "openai"
    ? {
        "x-request-id": requestId,
        "openai-processing-ms": String(Math.round(tookMs)),
        "openai-version": "2020-10-01",
      }
    : {
        "x-request-id": requestId,
        "x-together-traceid": requestId.slice(-16).padStart(32, "0"),
        "cf-ray": `${requestId.slice(-16)}-FRA`,
      };
}

/** A response's body as OpenAI and Together document it (and as their SDKs type it). */
export function answerBody(asked: Asked, digest: Buffer, requestId: string, reply: Reply): object {
  const { provider = "openai", endpoint = "chat" } = asked;
  return provider === "openai"
    ? openaiBody(asked.model, endpoint, digest, requestId, reply)
    : togetherBody(asked.model, endpoint, digest, requestId, reply);
}

function openaiBody(model: string, endpoint: Endpoint, digest: Buffer, requestId: string, reply: Reply): object {
  const created = Math.floor(Date.now() / 1000);
  const { content, refusal = null, finish, usage } = reply;
  const common = { logprobs: null, finish_reason: finish };
  if (endpoint === "completions") {
    const choice = { text: content, index: 0, ...common };
    return {
      id: `cmpl-${requestId.slice(4)}`,
      object: "text_completion",
      created,
      model: snapshotOf(model, endpoint),
      choices: reply.noChoices ? [] : [choice],
      ...(usage && { usage: totals(usage) }),
    };
  }
  const message = { role: "assistant", content, refusal, annotations: [] };
  return {
    id: `chatcmpl-${requestId.slice(4)}`,
    object: "chat.completion",
    created,
    model: snapshotOf(model, endpoint),
    choices: reply.noChoices ? [] : [{ index: 0, message, ...common }],
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
}

function togetherBody(model: string, endpoint: Endpoint, digest: Buffer, requestId: string, reply: Reply): object {
  const { content, refusal, finish, usage } = reply;
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
    created: Math.floor(Date.now() / 1000),
    model,
    prompt: [],
    choices: reply.noChoices ? [] : [{ ...common, ...(endpoint === "chat" ? { message } : { text: content }) }],
    ...(usage && { usage: totals(usage) }),
  };
}

function totals({ prompt, completion, total }: Usage) {
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total };
}

/** OpenAI answers with the dated name of the model that an undated one stands for. */
function snapshotOf(model: string, endpoint: Endpoint): string {
  if (/\d{4}-\d{2}-\d{2}$/.test(model)) return model;
  return endpoint === "chat" ? `${model}-2024-07-18` : `${model}:20230824-v2`;
}

/** An error's body as the provider words it. `key` is the Authorization header: OpenAI repeats a bad key, masked. */
export function errorBody(
  asked: Asked,
  status: number,
  parts: ErrorParts,
  requestId: string,
  key: string | undefined,
): object {
  const { provider = "openai" } = asked;
  const code = parts.code === undefined ? defaultCode(provider, status) : parts.code;
  const usual = usualError(asked, status, code, key);
  const error = {
    message: parts.message ?? usual.message,
    type: parts.type ?? usual.type,
    param: usual.param ?? null,
    code,
  };
  return provider === "openai" ? { error } : { id: requestId, error };
}

function defaultCode(provider: ProviderName, status: number): string | null {
  if (status === 401) return "invalid_api_key";
  if (status === 404) return provider === "openai" ? "model_not_found" : "model_not_available";
  if (status === 429) return provider === "openai" ? "rate_limit_exceeded" : null;
  return null;
}

/** What providers say for a status and a code. */
function usualError(
  asked: Asked,
  status: number,
  code: string | null,
  key: string | undefined,
): { type: string; message: string; param?: string } {
  const invalid = { type: "invalid_request_error" };
  switch (code) {
    case "invalid_api_key":
      return {
        ...invalid,
        message: `Incorrect API key provided: ${masked(key)}. Look your keys up in the settings.`,
      };
    case "model_not_found":
    case "model_not_available":
      return {
        ...invalid,
        message: `The model \`${asked.model}\` does not exist or you do not have access to it.`,
      };
    case "insufficient_quota":
      return {
        type: "insufficient_quota",
        message: "You exceeded your current quota, check your plan and billing.",
      };
    case "context_length_exceeded":
      return {
        ...invalid,
        param: "messages",
        message:
          "This model's maximum context length is 8192 tokens. However, your messages resulted in " +
          `${Math.ceil(Buffer.byteLength(asked.prompt) / 4) + 7} tokens. Please reduce their length.`,
      };
    case "content_policy_violation":
      return { ...invalid, message: "Your request was rejected: it may violate the content policy." };
  }
  if (status === 429) {
    return {
      type: asked.provider === "together" ? "model_rate_limit" : "requests",
      message: `Rate limit reached for ${asked.model} on requests per min (RPM). Please try again later.`,
    };
  }
  if (status === 402) return { type: "credit_limit", message: "Credit limit exceeded, add credits in the settings." };
  if (status === 403) return { ...invalid, message: "You are not allowed to do this." };
  if (status === 408) return { type: "timeout", message: "The request took too long." };
  if (status < 500) return { ...invalid, message: `The request was refused with status ${status}.` };
  return { type: "server_error", message: "The server had an error while processing your request." };
}

/** The first and last characters of a key, as OpenAI shows it in an error. */
function masked(authorization: string | undefined): string {
  const key = authorization?.replace(/^Bearer /, "") ?? "";
  return key.length < 12 ? "*".repeat(key.length) : `${key.slice(0, 7)}${"*".repeat(20)}${key.slice(-4)}`;
}

/** The page that a proxy in front of a provider answers with. */
export const HTML_PAGE =
  "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head>" +
  "<body><h1>Error 502</h1><p>The origin could not be reached.</p></body></html>\n";
