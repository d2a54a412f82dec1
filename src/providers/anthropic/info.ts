import { outputLimit } from "../../models/limits.ts";
import type { ProviderInfo } from "../provider-info.ts";
import { isClaude } from "./models.ts";
import { addition, problems, refused } from "./parameters.ts";

/** Anthropic, which serves Claude. */
export const anthropic: ProviderInfo = {
  remote: {
    label: "Anthropic",
    keyVariable: "ANTHROPIC_API_KEY",
    baseUrlVariable: "ANTHROPIC_BASE_URL",
    defaultBaseUrl: "https://api.anthropic.com",
    hosts: ["api.anthropic.com"],
  },
  serves: isClaude,
  endpointOf: () => "chat",
  outputLimit,
  prices: {
    of: async (model, day) => (await import("./prices.ts")).anthropicPrice(model, day),
    all: async (day) => (await import("./prices.ts")).anthropicPriceList(day),
  },
  marksCache: true,
  refused,
  problems,
  addition,
  connect: async (connection) => (await import("./anthropic.ts")).connectAnthropic(connection),
  models: async (connection, signal) => (await import("./list-models.ts")).listAnthropicModels(connection, signal),
  batches: {
    endpoints: ["chat"],
    connect: async (connection) => (await import("./batches.ts")).connectAnthropicBatches(connection),
  },
};
