/** How a run stands; derived from its calls and its lease, never stored. */
export type RunStatus = "running" | "waiting" | "interrupted" | "completed" | "failed";
