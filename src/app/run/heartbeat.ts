import { isInPlace } from "../../store/file/rescue.ts";
import type { Store } from "../../store/file/store.ts";
import { isLocked } from "../../store/file/transaction.ts";
import { heldLog } from "../../store/file/wal.ts";
import { HEARTBEAT_MS, type Lease, renewLease } from "../../store/runs/leases.ts";
import type { OnEvent } from "../events.ts";

/**
 * Renews the lease of a run while it is executed, and stops the run if the lease or the database is lost.
 * @param stop lets requests in flight finish for a while
 */
export function startHeartbeat(
  store: Store,
  lease: Lease,
  { stop, onEvent }: { stop: () => void; onEvent: OnEvent },
): { lost: () => Error | null; end: () => void } {
  let lost: Error | null = null;
  let isWarned = false;
  const timer = setInterval(() => {
    // The database was taken away. It is rescued, and the user informed, after the last results are stored.
    if (!isInPlace(store)) return stop();
    const held = isWarned ? null : heldLog(store);
    if (held !== null) {
      isWarned = true;
      onEvent({ type: "warning", message: held });
    }
    try {
      renewLease(store, lease);
    } catch (error) {
      // The next heartbeat may be in time. The lock also keeps other processes from taking the run over.
      if (isLocked(error)) return;
      lost = error instanceof Error ? error : new Error(String(error));
      stop();
    }
  }, HEARTBEAT_MS);
  return {
    /** Why the lease was lost; null while it is held. */
    lost: () => lost,
    end: () => clearInterval(timer),
  };
}
