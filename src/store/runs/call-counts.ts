import type { RunRow } from "./runs.ts";

/** The calls of a run by what has become of them. */
export interface CallCounts {
  total: number;
  succeeded: number;
  failed: number;
  pending: number;
  /** Of those that succeeded, how many reused an earlier answer, and how many answers the token limit cut off. */
  reused: number;
  truncated: number;
}

/** The counts of a run's calls, in the order and with the names that lists and datasets have. */
export function callCounts(
  run: Pick<RunRow, "callsTotal" | "callsSucceeded" | "callsFailed" | "callsReused" | "callsTruncated">,
): CallCounts {
  return {
    total: run.callsTotal,
    succeeded: run.callsSucceeded,
    failed: run.callsFailed,
    pending: run.callsTotal - run.callsSucceeded - run.callsFailed,
    reused: run.callsReused,
    truncated: run.callsTruncated,
  };
}
