import OpenAI from "openai";
import type { BatchProvider } from "../batch.ts";
import { serverBatches } from "../batches.ts";
import type { ListedModel } from "../model-list.ts";
import type { Provider } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { connectServer, type Server } from "../server.ts";
import { serverModels } from "../server-models.ts";
import { createFileFetch, createTransport, headersOf } from "../transport.ts";
import { bodyNames, systemRole } from "./parameters.ts";

/** OpenAI, or any server that speaks its protocol. */
export function connectOpenAi(connection: Connection): Provider {
  const { fetch, close } = createTransport(connection);
  return connectServer(openAiServer(connection, fetch), close);
}

export function listOpenAiModels(connection: Connection, signal: AbortSignal): AsyncIterable<ListedModel> {
  return serverModels(openAiServer(connection, createFileFetch(connection)), signal);
}

export function connectOpenAiBatches(connection: Connection): BatchProvider {
  return serverBatches(openAiServer(connection, createFileFetch(connection)), {
    limits: { requests: 50_000, bytes: 200_000_000 },
    envelope: (path) => ({ method: "POST", url: path }),
    upload: { path: "/files", fields: () => ({ purpose: "batch" }) },
    creation: (name) => ({ completion_window: "24h", metadata: { datagen: name } }),
    files: { purpose: "batch" },
    batches: { limit: "100" },
  });
}

function openAiServer(connection: Connection, fetch: typeof globalThis.fetch): Server {
  const { model, baseUrl, apiKey, isTrusted, maxAnswerBytes } = connection;
  const client = new OpenAI({
    baseURL: baseUrl,
    // The SDK needs a key. Without one, `headersOf` removes the header again.
    apiKey: apiKey ?? "none",
    adminAPIKey: null,
    ...(!isTrusted && { organization: null, project: null }),
    defaultHeaders: headersOf(connection, "OPENAI_CUSTOM_HEADERS"),
    maxRetries: 0,
    logLevel: "off",
    fetch,
  });
  return {
    client,
    apiKey,
    model,
    maxAnswerBytes,
    bodyNames,
    systemRole,
  };
}
