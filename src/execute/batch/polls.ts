import type { BatchState } from "../../providers/batch.ts";
import type { BatchRow } from "../../store/runs/batches.ts";

/** A batch is checked again after a tenth of the time that it has taken so far. */
const POLL_SHARE = 0.1;
export const FIRST_POLL_MS = 500;
export const LONGEST_POLL_MS = 60_000;

const HOUR_MS = 3_600_000;
/** How long a batch may take, if the provider does not say that it may take longer. */
const WINDOW_MS = 24 * HOUR_MS;
/** Whatever an account has sent before has ended by then. */
export const LONGEST_MS = WINDOW_MS + HOUR_MS;
/** The longest time that a provider may ask for. */
const LONGEST_WINDOW_MS = 14 * 24 * HOUR_MS;
/** Providers may end a batch a while after its deadline. */
const LATENESS_MS = HOUR_MS;

/**
 * How long to wait before the next check of batches.
 * @param waitedMs how long the run has waited for them
 */
export function pollDelay(waitedMs: number): number {
  return Math.min(LONGEST_POLL_MS, Math.max(FIRST_POLL_MS, waitedMs * POLL_SHARE));
}

/** When a batch should have ended. */
export function dueAt({ createdAt }: BatchRow, { dueAt: said }: Pick<BatchState, "dueAt">): number {
  return Math.min(createdAt + LONGEST_WINDOW_MS, Math.max(createdAt + WINDOW_MS, said ?? 0));
}

export function isOverdue(row: BatchRow, state: Pick<BatchState, "dueAt">): boolean {
  return Date.now() > dueAt(row, state) + LATENESS_MS;
}
