import type { ReportedUsage } from "../../src/providers/provider.ts";

/** The usage that a provider reports, without caches and reasoning unless they are given. */
export function reportedUsage(
  promptTokens: number,
  completionTokens: number,
  rest: Partial<ReportedUsage> = {},
): ReportedUsage {
  return {
    promptTokens,
    completionTokens,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    reasoningTokens: 0,
    ...rest,
  };
}
