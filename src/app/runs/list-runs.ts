import type { Store } from "../../store/file/store.ts";
import { listRuns as listRunRows } from "../../store/runs/runs.ts";
import { type RunSummary, summaryOf } from "./summary.ts";

/** All runs of a database, the newest first. */
export function listRuns(store: Store): RunSummary[] {
  return listRunRows(store).map(summaryOf);
}
