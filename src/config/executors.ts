/** How calls reach a provider: a request each, or in its batches. */
export const EXECUTORS = ["live", "batch"] as const;
export type ExecutorName = (typeof EXECUTORS)[number];
