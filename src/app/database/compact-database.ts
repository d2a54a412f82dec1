import { compact, sizeOf } from "../../store/file/compact.ts";
import { checkNoneHeld } from "../../store/runs/leases.ts";
import type { Store } from "../../store/file/store.ts";
import { sweep } from "../../store/runs/sweep.ts";
import type { OnEvent } from "../events.ts";

/** What a database took on the disk before it was compacted, and after. */
export interface Compaction {
  database: string;
  before_bytes: number;
  after_bytes: number;
}

/**
 * Gives the space back to the disk that nothing in the database needs: what deletions that were cut off have left is
 * removed, and the file is written anew without gaps. Takes a while, in which no run can start.
 * @throws UsageError when a living process executes a run or uses the database, or there is too little room for a copy
 */
export function compactDatabase(store: Store, options: { onEvent?: OnEvent | undefined } = {}): Compaction {
  const { onEvent = () => {} } = options;
  checkNoneHeld(store);
  const before = sizeOf(store);
  sweep(store);
  if (!compact(store)) {
    const message = "another process reads the database; the space is free once it is done";
    onEvent({ type: "warning", message });
  }
  return { database: store.path, before_bytes: before, after_bytes: sizeOf(store) };
}
