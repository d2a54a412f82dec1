import type { Endpoint, Usage } from "../answers.ts";
import type { Creation, FakeProvider, Question, Read } from "./fake-provider.ts";

/** The sums of a usage, as every provider names them. */
export function totals({ prompt, completion, total }: Usage) {
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total };
}

/** A time as providers write it: whole seconds since 1970. */
export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}

/** What the servers with OpenAI's protocol have in common. */
export const openAiProtocol = {
  base: "/v1",
  endpoints: ["chat", "completions"],
  path: (endpoint) => (endpoint === "chat" ? "/chat/completions" : "/completions"),
  endpointAt: (path) => ({ "/chat/completions": "chat", "/completions": "completions" } as const)[path],
  keyHeader: (key) => ["authorization", `Bearer ${key}`],
  read: readBody,
  body: ({ endpoint, model, messages, parameters: { extra_body, ...parameters } }: Question) => ({
    model,
    ...(endpoint === "chat" ? { messages } : { prompt: messages.map(({ content }) => content).join("\n\n") }),
    ...parameters,
    ...extra_body,
    stream: false,
  }),
  refused: [],
  refusalReason: "refusal",
  namesRequests: "all",
} satisfies Partial<FakeProvider>;

/** The requests about files and batches, besides uploads. */
export const openAiOperations = [
  [/^GET \/files$/, "listFiles"],
  [/^GET \/files\/([^/]+)$/, "getFile"],
  [/^GET \/files\/([^/]+)\/content$/, "content"],
  [/^DELETE \/files\/([^/]+)$/, "delete"],
  [/^POST \/batches$/, "create"],
  [/^GET \/batches$/, "listBatches"],
  [/^GET \/batches\/([^/]+)$/, "get"],
  [/^POST \/batches\/([^/]+)\/cancel$/, "cancel"],
] as const;

/** What a body that creates a batch asks for. */
export function openAiCreation({ input_file_id: fileId, endpoint, metadata }: Record<string, unknown>): Creation {
  return { endpoint: String(endpoint), source: { fileId }, metadata };
}

export function openAiLine({ custom_id: id, body, ...envelope }: Record<string, unknown>) {
  return { id, body, envelope };
}

function readBody(body: Record<string, unknown>, { endpoint }: { endpoint: Endpoint }): Read {
  const { model, messages, prompt, ...parameters } = body;
  return {
    model: String(model),
    prompt: textOf(endpoint === "chat" ? messages : prompt),
    max_tokens: numberIn(parameters["max_tokens"]),
    max_completion_tokens: numberIn(parameters["max_completion_tokens"]),
    temperature: numberIn(parameters["temperature"]),
    parameters,
  };
}

/** The text of a prompt or of the single user message; the JSON of any other messages. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.length === 1) {
    const { role, content, ...rest } = Object(value[0]) as Record<string, unknown>;
    if (role === "user" && typeof content === "string" && Object.keys(rest).length === 0) return content;
  }
  return JSON.stringify(value ?? null);
}

export function numberIn(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
