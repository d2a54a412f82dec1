/** The status of a run. It is derived from its calls and its lease, and never stored. */
export type RunStatus = "running" | "waiting" | "interrupted" | "completed" | "failed";
