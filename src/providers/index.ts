import type { ProviderName } from "../config/providers.ts";
import { offline } from "./offline/info.ts";
import { openai } from "./openai/info.ts";
import type { ProviderInfo } from "./provider-info.ts";
import { together } from "./together/info.ts";

/**
 * Who can answer. A provider's code is loaded when a run needs it. Where a config names none, the first that serves its
 * model is asked.
 */
export const providers: Record<ProviderName, ProviderInfo> = { openai, together, offline };
