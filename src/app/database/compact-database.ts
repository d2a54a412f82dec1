import { compact, sizeOf } from "../../store/file/compact.ts";
import { checkNoneHeld } from "../../store/runs/leases.ts";
import type { Store } from "../../store/file/store.ts";
import { sweep } from "../../store/runs/sweep.ts";
import type { OnEvent } from "../events.ts";

/** The size of a database on the disk, before and after compacting. */
export interface Compaction {
  database: string;
  before_bytes: number;
  after_bytes: number;
}

/**
 * Gives unused space back to the disk: removes the remains of interrupted deletions, and writes the file again without
 * gaps. No run can start meanwhile.
 * @throws UsageError when a living process executes a run or uses the database, or there is too little room for a copy
 */
export function compactDatabase(store: Store, options: { onEvent?: OnEvent | undefined } = {}): Compaction {
  const { onEvent = () => {} } = options;
  checkNoneHeld(store);
  const before = sizeOf(store);
  sweep(store);
  if (!compact(store)) {
    const message = "another process is reading the database; the space is given back when it is done";
    onEvent({ type: "warning", message });
  }
  return { database: store.path, before_bytes: before, after_bytes: sizeOf(store) };
}
