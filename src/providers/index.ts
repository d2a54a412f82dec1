import type { ProviderName } from "../config/providers.ts";
import { offline } from "./offline/info.ts";
import { openai } from "./openai/info.ts";
import type { ProviderInfo } from "./provider-info.ts";
import { together } from "./together/info.ts";

/** The providers. The code of one is loaded when a run needs it. */
export const providers: Record<ProviderName, ProviderInfo> = { openai, together, offline };

/** Who is asked where a config names no provider: the one that serves the model, else the one with the open models. */
export function detectProvider(model: string): ProviderName {
  const names = Object.keys(providers) as ProviderName[];
  return names.find((name) => providers[name].serves(model)) ?? "together";
}
