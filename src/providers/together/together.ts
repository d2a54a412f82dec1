import Together from "together-ai";
import type { BatchProvider } from "../batch.ts";
import { serverBatches } from "../batches.ts";
import type { ListedModel } from "../model-list.ts";
import { OPENAI_NAMES } from "../parameters.ts";
import type { Provider } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { connectServer, type Server } from "../server.ts";
import { serverModels } from "../server-models.ts";
import { createFileFetch, createTransport, headersOf } from "../transport.ts";

export function connectTogether(connection: Connection): Provider {
  const { fetch, close } = createTransport(connection);
  return connectServer(togetherServer(connection, fetch), close);
}

export function listTogetherModels(connection: Connection, signal: AbortSignal): AsyncIterable<ListedModel> {
  return serverModels(togetherServer(connection, createFileFetch(connection)), signal);
}

export function connectTogetherBatches(connection: Connection): BatchProvider {
  return serverBatches(togetherServer(connection, createFileFetch(connection)), {
    limits: { requests: 50_000, bytes: 100_000_000 },
    envelope: () => ({}),
    // The SDK's own upload ignores the base URL, and refuses the lines of batches.
    upload: {
      path: "/files/upload",
      fields: (name) => ({ purpose: "batch-api", file_name: name, file_type: "jsonl" }),
    },
    creation: () => ({}),
    files: {},
    batches: {},
  });
}

function togetherServer(connection: Connection, fetch: typeof globalThis.fetch): Server {
  const { model, baseUrl, apiKey, isTrusted, maxAnswerBytes } = connection;
  const client = new Together({
    baseURL: baseUrl,
    // The SDK needs a key. Without one, `headersOf` removes the header again.
    apiKey: apiKey ?? "",
    ...(!isTrusted && { projectID: null }),
    defaultHeaders: headersOf(connection, "TOGETHER_CUSTOM_HEADERS"),
    maxRetries: 0,
    logLevel: "off",
    fetch,
  });
  return {
    client,
    apiKey,
    model,
    maxAnswerBytes,
    bodyNames: () => OPENAI_NAMES,
    systemRole: () => "system",
  };
}
