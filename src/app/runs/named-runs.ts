import type { Store } from "../../store/file/store.ts";
import { findRuns } from "../../store/runs/experiments.ts";
import { getRun } from "../../store/runs/runs.ts";
import { type RunSummary, summaryOf } from "./summary.ts";

/** A run alone, or the runs of an experiment in the order of its models. */
export interface NamedRuns {
  /** Finds them again: the id of the run, or the name of the experiment. */
  name: string;
  /** The name of the experiment; null for a run alone. */
  experiment: string | null;
  runs: RunSummary[];
}

/**
 * What a user named, as in lists.
 * @param wanted the id of a run, a unique prefix of it, `latest`, or the name of an experiment
 * @throws UsageError when there is no such run or experiment
 */
export function namedRuns(store: Store, wanted: string): NamedRuns {
  const found = findRuns(store, wanted);
  const runs = found.runIds.map((runId) => summaryOf(getRun(store, runId)));
  const experiment = found.experiment?.name ?? null;
  return { name: experiment ?? runs[0]?.id ?? wanted, experiment, runs };
}
