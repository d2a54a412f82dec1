/** Which answers of earlier calls a run may reuse. */
export const REUSE_POLICIES = [
  /** Answers of calls with the same key. */
  "same",
  /** Also answers that had another token limit, unless it cut them off. */
  "unless_truncated",
  "none",
] as const;
export type ReusePolicy = (typeof REUSE_POLICIES)[number];
