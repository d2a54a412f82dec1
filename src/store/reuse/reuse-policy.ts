/** Which answers of earlier calls do for the calls of a run. */
export const REUSE_POLICIES = [
  /** Those that asked the same: with the same key. */
  "same",
  /** Also those that were asked with another token limit, and were not cut off by it. */
  "unless_truncated",
  "none",
] as const;
export type ReusePolicy = (typeof REUSE_POLICIES)[number];
