import { outputLimit } from "../../models/limits.ts";
import type { ProviderInfo } from "../provider-info.ts";

/** Together, which serves open models. */
export const together: ProviderInfo = {
  remote: {
    label: "Together",
    keyVariable: "TOGETHER_API_KEY",
    baseUrlVariable: "TOGETHER_BASE_URL",
    defaultBaseUrl: "https://api.together.ai/v1",
    hosts: ["api.together.ai", "api.together.xyz"],
  },
  // Together gets every model that no other provider serves.
  serves: () => false,
  endpointOf: () => "chat",
  outputLimit,
  prices: {
    of: async (model) => (await import("./prices.ts")).togetherPrices().get(model) ?? null,
    all: async () => [...(await import("./prices.ts")).togetherPrices()].map(([model, prices]) => ({ model, prices })),
  },
  refused: () => [],
  connect: async (connection) => (await import("./together.ts")).connectTogether(connection),
  models: async (connection, signal) => (await import("./together.ts")).listTogetherModels(connection, signal),
  batches: {
    endpoints: ["chat"],
    connect: async (connection) => (await import("./together.ts")).connectTogetherBatches(connection),
  },
};
