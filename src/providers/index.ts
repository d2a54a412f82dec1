import type { ProviderName } from "../config/providers.ts";
import { adaptParameters } from "./openai/adapt.ts";
import type { ProviderInfo } from "./provider-info.ts";

/** Who can answer. A provider's code is loaded when a run needs it. */
export const providers: Record<ProviderName, ProviderInfo> = {
  openai: {
    remote: {
      label: "OpenAI",
      keyVariable: "OPENAI_API_KEY",
      baseUrlVariable: "OPENAI_BASE_URL",
      defaultBaseUrl: "https://api.openai.com/v1",
      hosts: ["api.openai.com"],
    },
    refused: ({ model, endpoint, parameters }) => adaptParameters(model, endpoint, parameters).dropped,
    connect: async (connection) => (await import("./openai/openai.ts")).connectOpenAi(connection),
    batches: {
      endpoints: ["chat", "completions"],
      connect: async (connection) => (await import("./openai/openai.ts")).connectOpenAiBatches(connection),
    },
  },
  together: {
    remote: {
      label: "Together",
      keyVariable: "TOGETHER_API_KEY",
      baseUrlVariable: "TOGETHER_BASE_URL",
      defaultBaseUrl: "https://api.together.ai/v1",
      hosts: ["api.together.ai", "api.together.xyz"],
    },
    refused: () => [],
    connect: async (connection) => (await import("./together/together.ts")).connectTogether(connection),
    batches: {
      endpoints: ["chat"],
      connect: async (connection) => (await import("./together/together.ts")).connectTogetherBatches(connection),
    },
  },
  offline: {
    remote: null,
    refused: () => [],
    connect: async ({ model }) => (await import("./offline/offline.ts")).connectOffline(model),
    batches: {
      endpoints: ["chat", "completions"],
      connect: async ({ model }, folder) => (await import("./offline/batches.ts")).connectOfflineBatches(model, folder),
    },
  },
};
