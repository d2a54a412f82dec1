import { outputLimit } from "../../models/limits.ts";
import type { ProviderInfo } from "../provider-info.ts";
import { refusedParameters } from "../parameters.ts";
import { isLegacyCompletionsModel, isOpenAiModel } from "./models.ts";
import { bodyNames } from "./parameters.ts";

/** OpenAI, or any server that speaks its protocol. */
export const openai: ProviderInfo = {
  remote: {
    label: "OpenAI",
    keyVariable: "OPENAI_API_KEY",
    baseUrlVariable: "OPENAI_BASE_URL",
    defaultBaseUrl: "https://api.openai.com/v1",
    hosts: ["api.openai.com"],
  },
  serves: isOpenAiModel,
  endpointOf: (model) => (isLegacyCompletionsModel(model) ? "completions" : "chat"),
  outputLimit,
  prices: {
    of: async (model, day) => (await import("./prices.ts")).openAiPrice(model, day),
    all: async (day) => (await import("./prices.ts")).openAiPriceList(day),
  },
  refused: ({ model, endpoint, parameters }) => refusedParameters(bodyNames(model, endpoint), parameters),
  connect: async (connection) => (await import("./openai.ts")).connectOpenAi(connection),
  models: async (connection, signal) => (await import("./openai.ts")).listOpenAiModels(connection, signal),
  batches: {
    endpoints: ["chat", "completions"],
    connect: async (connection) => (await import("./openai.ts")).connectOpenAiBatches(connection),
  },
};
