/** How calls reach a provider: one request for each call, batches of calls, or workers that send the requests. */
export const EXECUTORS = ["live", "batch", "queue"] as const;
export type ExecutorName = (typeof EXECUTORS)[number];
