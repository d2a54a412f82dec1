import { outputLimit } from "../../models/limits.ts";
import type { ProviderInfo } from "../provider-info.ts";
import { isGeminiModel } from "./models.ts";
import { problems, refusedByGemini } from "./parameters.ts";

/** The Gemini API of Google AI. Vertex AI is another service, with other addresses and keys. */
export const gemini: ProviderInfo = {
  remote: {
    label: "Gemini",
    keyVariable: "GEMINI_API_KEY",
    keyAlias: "GOOGLE_API_KEY",
    baseUrlVariable: "GEMINI_BASE_URL",
    defaultBaseUrl: "https://generativelanguage.googleapis.com/v1beta",
    hosts: ["generativelanguage.googleapis.com"],
  },
  serves: isGeminiModel,
  endpointOf: () => "chat",
  outputLimit,
  prices: {
    of: async (model, day) => (await import("./prices.ts")).geminiPrice(model, day),
    all: async (day) => (await import("./prices.ts")).geminiPriceList(day),
  },
  refused: ({ model, parameters }) => refusedByGemini(model, parameters),
  problems,
  connect: async (connection) => (await import("./gemini.ts")).connectGemini(connection),
  models: async (connection, signal) => (await import("./list-models.ts")).listGeminiModels(connection, signal),
  batches: {
    endpoints: ["chat"],
    connect: async (connection) => (await import("./batches.ts")).connectGeminiBatches(connection),
  },
};
