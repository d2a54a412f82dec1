import { randomBytes } from "node:crypto";
import type { Usage } from "../answers.ts";
import type { FakeProvider, Question, Read } from "./fake-provider.ts";
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
  endpoints: ["chat"],
  path: (_, model) => `/models/${model}:generateContent`,
  endpointAt: (path) => (/^\/models\/[^/]+:generateContent$/.test(path) ? "chat" : undefined),
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
  batches: null,
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
    model: /^\/models\/([^/]+):/.exec(path)?.[1] ?? "",
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
