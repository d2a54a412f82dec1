import type { ProviderName } from "../config/providers.ts";
import { anthropic } from "./anthropic/info.ts";
import { gemini } from "./gemini/info.ts";
import { offline } from "./offline/info.ts";
import { openai } from "./openai/info.ts";
import type { ProviderInfo } from "./provider-info.ts";
import { together } from "./together/info.ts";

/** The providers. The code of one is loaded when a run needs it. */
export const providers: Record<ProviderName, ProviderInfo> = { openai, anthropic, gemini, together, offline };

/** The provider that is asked where a config names a server and no provider: most servers speak its protocol. */
export const OF_OTHER_SERVERS: ProviderName = "openai";

const names = Object.keys(providers) as ProviderName[];

/** The providers that need no network and no key. */
export const WITHOUT_SERVER: readonly ProviderName[] = names.filter((name) => providers[name].remote === null);

/** The variables that the providers' keys are read from. */
export const KEY_VARIABLES: readonly string[] = names.flatMap((name) => providers[name].remote?.keyVariable ?? []);

/** Other variables for the keys, by the variables that they count before. */
export const KEY_ALIASES: ReadonlyMap<string, string> = new Map(
  names.flatMap((name) => {
    const { keyVariable, keyAlias } = providers[name].remote ?? {};
    return keyVariable !== undefined && keyAlias !== undefined ? [[keyVariable, keyAlias]] : [];
  }),
);

/** The provider that is asked for models whose names no provider knows. */
export const OF_OTHER_MODELS: ProviderName = "together";

/** The provider if a config names none: the one that serves the model, else the one with open models. */
export function detectProvider(model: string): ProviderName {
  return names.find((name) => providers[name].serves(model)) ?? OF_OTHER_MODELS;
}
