/** How calls reach a provider: one request for each call, or batches of calls. */
export const EXECUTORS = ["live", "batch"] as const;
export type ExecutorName = (typeof EXECUTORS)[number];
