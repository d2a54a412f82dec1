import type { Config } from "../config/schema.ts";
import {
  type FailedAttempt,
  failedAttempts,
  type FailureRow,
  failureRows,
  type StepRow,
  stepRows,
} from "../store/details.ts";
import type { Store } from "../store/open.ts";
import { findRun, getRun } from "../store/runs.ts";
import { type RunSummary, summaryOf } from "./summary.ts";

/** A run in detail. */
export interface RunDetails {
  run: RunSummary;
  base_url: string | null;
  attempts: number;
  estimated_tokens: { prompt: number | null; completion: number | null };
  /** The dataset's file name without its ending. */
  dataset_name: string;
  input_sha256: string;
  datagen_version: string;
  git_commit: string | null;
  steps: StepRow[];
  failures: FailureRow[];
  config: Config;
}

/** A run as lists show it; as {@link showRun} without its details. */
export function showSummary(store: Store, run: string): RunSummary {
  return summaryOf(getRun(store, findRun(store, run)));
}

/**
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function showRun(store: Store, run: string): RunDetails {
  const row = getRun(store, findRun(store, run));
  return {
    run: summaryOf(row),
    base_url: row.baseUrl,
    attempts: row.attempts,
    estimated_tokens: { prompt: row.estimatedPromptTokens, completion: row.estimatedCompletionTokens },
    dataset_name: row.datasetName,
    input_sha256: row.inputSha256,
    datagen_version: row.toolVersion,
    git_commit: row.gitCommit,
    steps: stepRows(store, row.id),
    failures: failureRows(store, row.id),
    config: row.config,
  };
}

/**
 * Every attempt of a run that failed, the oldest first.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function showFailures(store: Store, run: string): FailedAttempt[] {
  return failedAttempts(store, findRun(store, run));
}
