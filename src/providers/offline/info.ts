import { FREE } from "../../models/cost.ts";
import type { ProviderInfo } from "../provider-info.ts";

/** Answers without a model, to try things out. */
export const offline: ProviderInfo = {
  remote: null,
  serves: () => false,
  endpointOf: () => "chat",
  outputLimit: () => null,
  prices: {
    of: (_, day) => Promise.resolve({ ...FREE, source: "offline provider", date: day }),
    all: () => Promise.resolve([]),
  },
  refused: () => [],
  connect: async ({ model }) => (await import("./offline.ts")).connectOffline(model),
  models: null,
  batches: {
    endpoints: ["chat", "completions"],
    connect: async ({ model }, folder) => (await import("./batches.ts")).connectOfflineBatches(model, folder),
  },
};
