import { setImmediate } from "node:timers/promises";

/** Lets signals and timers run, if they had to wait for long. */
export type Turn = () => Promise<void>;

/** How long signals may wait. */
const LONGEST_WAIT_MS = 100;

/**
 * Turns for work that `signal` can stop. Without a signal there are none.
 * @returns a function that throws the reason of the signal once it has ended the work
 */
export function turnsFor(signal: AbortSignal | undefined): Turn {
  if (signal === undefined) return () => Promise.resolve();
  let last = -Infinity;
  return async () => {
    if (performance.now() - last < LONGEST_WAIT_MS) return;
    await setImmediate();
    signal.throwIfAborted();
    last = performance.now();
  };
}
