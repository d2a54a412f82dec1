import { type FailureRow, failureRows } from "../../store/runs/failures.ts";
import { findRun } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";

/** The reason for which most calls of a run have failed, and what was said of it last. */
export type CommonestFailure = Pick<FailureRow, "reason" | "calls" | "example">;

/** @returns null where no call has failed */
export function commonestFailure(store: Store, run: string): CommonestFailure | null {
  const rows = failureRows(store, findRun(store, run)).filter(({ calls }) => calls > 0);
  return rows.toSorted((a, b) => b.calls - a.calls)[0] ?? null;
}
