/** A batch is checked again after a tenth of the time that it has taken so far. */
const POLL_SHARE = 0.1;
export const FIRST_POLL_MS = 500;
export const LONGEST_POLL_MS = 60_000;

/** How long to wait before the next check of batches that have been waited for this long. */
export function pollDelay(waitedMs: number): number {
  return Math.min(LONGEST_POLL_MS, Math.max(FIRST_POLL_MS, waitedMs * POLL_SHARE));
}
