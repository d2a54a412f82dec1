import type { Lease } from "../store/leases.ts";
import type { Store } from "../store/open.ts";
import { commitResults, type Result, type Reused } from "../store/results.ts";
import { checkSpace } from "../store/space.ts";
import type { ExecutionEvent } from "./executor.ts";

/**
 * Stores results: all that arrive in one turn of the event loop in one transaction. The returned function settles when
 * its result is on disk.
 */
export function createCommitter(
  store: Store,
  lease: Lease,
  settingsId: number,
  onEvent: (event: ExecutionEvent) => void,
): (result: Result | Reused) => Promise<void> {
  let batch: { result: Result | Reused; resolve: () => void; reject: (error: unknown) => void }[] = [];

  function flush(): void {
    const due = batch;
    batch = [];
    try {
      const delta = commitResults(
        store,
        lease,
        settingsId,
        due.map(({ result }) => result),
      );
      onEvent({ type: "stored", delta });
      checkSpace(store);
      for (const { resolve } of due) resolve();
    } catch (error) {
      for (const { reject } of due) reject(error);
    }
  }

  return (result) =>
    new Promise((resolve, reject) => {
      if (batch.push({ result, resolve, reject }) === 1) setImmediate(flush);
    });
}
