import { serverRows } from "../../store/runs/servers.ts";
import type { Config } from "../../config/schema.ts";
import { type FailedAttempt, failedAttempts } from "../../store/runs/failed-attempts.ts";
import { type FailureRow, failureRows } from "../../store/runs/failures.ts";
import { type StepRow, stepRows } from "../../store/runs/statistics.ts";
import { settingsByPerspective } from "../../plan/settings.ts";
import { costOf, type Prices, usd } from "../../models/cost.ts";
import { type BatchRow, listBatches } from "../../store/runs/batches.ts";
import { openReservations, savedCost } from "../../store/runs/money.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import type { DataSource } from "../../store/runs/data-source.ts";
import { type ScoreCount, scoreCounts } from "../../store/runs/scores.ts";
import { findRun, runNamed } from "../../store/runs/runs.ts";
import { capNanoUsdOf, possiblyCharged } from "../run/cap.ts";
import type { ImportedFrom } from "../../store/import/imported-from.ts";
import { type RunSummary, summaryOf } from "./summary.ts";

/** The results of one step of a perspective. */
export type RunStep = Omit<StepRow, "costNanoUsd"> & {
  /** Null if any part of it is unknown. */
  cost_usd: number | null;
};

/** A batch of a run. */
export interface RunBatch {
  /** The name of its file at the provider. */
  name: string;
  /** The provider's id; null until it is known. */
  id: string | null;
  /** `prepared` or `uploaded` before the provider has it, then the provider's own word. */
  status: string;
  requests: number;
  completed: number;
  failed: number;
  /** Why the whole batch failed. */
  error: string | null;
  /** ISO 8601, UTC. */
  created_at: string;
  /** When all its results were stored; null until then. */
  ended_at: string | null;
}

/** One of several servers of a run. */
export interface RunServer {
  base_url: string;
  answered: number;
  /** Requests without an answer that could be used. */
  failed: number;
  /** Of its answers; null if there are none. */
  median_latency_ms: number | null;
}

/** A run in detail. */
export interface RunDetails {
  run: RunSummary;
  /** The server; of several, the first one. */
  base_url: string | null;
  /** What each server has answered; only if the run has several. */
  servers?: RunServer[];
  attempts: number;
  /** The estimate when the run was planned; null if unknown. */
  estimated_tokens: { prompt: number | null; completion: number | null };
  estimated_cost_usd: number | null;
  /** The prices of the run; null if unknown. */
  prices: Prices | null;
  /** The cap of the run, or of all runs of its experiment together; null if it has none. */
  max_cost_usd: number | null;
  /**
   * Requests that may have been charged: no answer came, or it did not say. `cost_usd` is the most that they may have cost,
   * or null if unknown. It is not part of the run's cost.
   */
  possibly_billed: { requests: number; cost_usd: number | null };
  /** The cost that the reused answers saved; null if unknown. */
  saved_usd: number | null;
  /** The dataset's file name without its extension. */
  dataset_name: string;
  /** Null if unknown, for an imported run. */
  input_sha256: string | null;
  /** The published datasets that the inputs were pulled from; null if none is known. */
  sources: DataSource[] | null;
  /** The dataset that the run was imported from, and what it reports; null for all other runs. */
  imported: ImportedFrom | null;
  datagen_version: string;
  git_commit: string | null;
  steps: RunStep[];
  batches: RunBatch[];
  /** The scores that were imported; only if there are any. */
  scores?: ScoreCount[];
  failures: FailureRow[];
  config: Config;
}

/** A run as in lists: {@link showRun} without the details. */
export function showSummary(store: Store, run: string): RunSummary {
  return summaryOf(runNamed(store, run));
}

/**
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function showRun(store: Store, run: string): RunDetails {
  const row = runNamed(store, run);
  const asked = settingsByPerspective(getSettings(store, row.settingsId), row.config.agent_perspectives);
  const unsettled = openReservations(store, row.id).filter(({ isUnderWay }) => !isUnderWay);
  const unclear = possiblyCharged(unsettled, row.prices, asked);
  const scores = scoreCounts(store, row.id);
  const saved = row.callsReused === 0 ? 0 : savedCost(store, row.id, (usage) => costOf(row.prices, usage));
  return {
    run: summaryOf(row),
    base_url: row.baseUrl,
    ...(row.servers !== null && { servers: serversOf(store, row.id, row.servers) }),
    attempts: row.attempts,
    estimated_tokens: { prompt: row.estimatedPromptTokens, completion: row.estimatedCompletionTokens },
    estimated_cost_usd: dollars(row.estimatedCostNanoUsd),
    prices: row.prices,
    max_cost_usd: dollars(capNanoUsdOf(row)),
    possibly_billed: { requests: unclear.attempts, cost_usd: dollars(unclear.mostNanoUsd) },
    saved_usd: dollars(saved),
    dataset_name: row.datasetName,
    input_sha256: row.inputSha256 || null,
    sources: row.sources,
    imported: row.imported,
    datagen_version: row.toolVersion,
    git_commit: row.gitCommit,
    steps: stepRows(store, row.id).map(({ costNanoUsd, ...step }) => ({
      ...step,
      cost_usd: row.imported === null ? dollars(costNanoUsd) : null,
    })),
    batches: listBatches(store, row.id).map(toBatch),
    ...(scores.length > 0 && { scores }),
    failures: failureRows(store, row.id),
    config: row.config,
  };
}

function serversOf(store: Store, runId: number, baseUrls: readonly string[]): RunServer[] {
  const rows = new Map(serverRows(store, runId).map((row) => [row.baseUrl, row]));
  // Shards may have had other servers.
  return [...new Set([...baseUrls, ...rows.keys()])].map((url) => {
    const { answered = 0, failed = 0, medianLatencyMs = null } = rows.get(url) ?? {};
    return { base_url: url, answered, failed, median_latency_ms: medianLatencyMs };
  });
}

function toBatch({ name, batchId, state, status, createdAt, endedAt, ...batch }: BatchRow): RunBatch {
  const { requests, completed, failed, error } = batch;
  return {
    name,
    id: batchId,
    status: status ?? state,
    requests,
    completed,
    failed,
    error,
    created_at: new Date(createdAt).toISOString(),
    ended_at: endedAt === null ? null : new Date(endedAt).toISOString(),
  };
}

function dollars(nanoUsd: number | null): number | null {
  return nanoUsd === null ? null : usd(nanoUsd);
}

/**
 * Every failed attempt of a run, the oldest first, read while the list is iterated. A store can have only one such list
 * in use at a time.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function showFailures(store: Store, run: string): Iterable<FailedAttempt> {
  return failedAttempts(store, findRun(store, run));
}
