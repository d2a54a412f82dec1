import { rescueIfTaken } from "../../store/file/rescue.ts";
import type { Store } from "../../store/file/store.ts";
import { findRuns } from "../../store/runs/experiments.ts";
import { getRun } from "../../store/runs/runs.ts";
import { UsageError } from "../../errors.ts";
import type { RunEvent } from "../events.ts";
import type { NamedRuns } from "../runs/named-runs.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { baseUrlsOf } from "../server/server-of-run.ts";
import { normaliseBaseUrl } from "../server/target.ts";
import { type ConnectedRun, connectRun, executeConnected, executeRun, type ExecuteRunOptions } from "./execute-run.ts";
import { createBatchProbe } from "./probe-batches.ts";

export interface ExecuteExperimentOptions extends Omit<ExecuteRunOptions, "onEvent"> {
  /** @param run the id of the run that the event is about */
  onEvent?: ((event: RunEvent, run: string) => void) | undefined;
}

/** A run after it was executed. */
export interface ExecutedRun {
  run: RunSummary;
  /** Why it stopped before all its calls were done, as `executeRun` throws it; undefined if they are. */
  error?: unknown;
}

/**
 * Executes the runs of an experiment side by side, each at the pace of its own provider. One that stops does not stop the
 * others; `signal` stops all.
 * @param experiment its name
 * @returns the runs, in the order of the models
 * @throws UsageError when nothing was sent: there is no such experiment, or a key is missing
 */
export async function executeExperiment(
  store: Store,
  experiment: string,
  options: ExecuteExperimentOptions = {},
): Promise<ExecutedRun[]> {
  const { onEvent = () => {} } = options;
  const { runIds } = findRuns(store, experiment);
  const given = [options.baseUrl ?? []].flat().map((url) => normaliseBaseUrl(url, "--base-url"));
  const known = new Set(runIds.flatMap((runId) => baseUrlsOf(getRun(store, runId))));
  const other = given.find((url) => !known.has(url));
  if (other !== undefined) {
    throw new UsageError(
      `no run of the experiment uses ${other}; they use ${[...known].join(", ") || "no server"}`,
      "A run keeps its servers. To use another one, run the config again with --base-url.",
    );
  }
  const optionsOf = (runId: number): ExecuteRunOptions => {
    const run = getRun(store, runId);
    const baseUrl = given.filter((url) => baseUrlsOf(run).includes(url));
    return { ...options, baseUrl, onEvent: (event) => onEvent(event, run.publicId) };
  };
  // One after the other, because this may ask the user.
  const connected: ConnectedRun[] = [];
  const probe = createBatchProbe();
  for (const runId of runIds) connected.push(await connectRun(store, runId, optionsOf(runId), probe));
  const ended = await Promise.allSettled(connected.map((run) => executeConnected(store, run, optionsOf(run.runId))));
  // The last answers of all runs are stored now.
  rescueIfTaken(store);
  return ended.map((end, at) =>
    end.status === "fulfilled"
      ? { run: end.value }
      : { run: summaryOf(getRun(store, runIds[at] ?? 0)), error: end.reason as unknown },
  );
}

/**
 * Executes a run alone as `executeRun` does, or the runs of an experiment as {@link executeExperiment} does.
 * @throws what these throw: if a run alone stops, the reason
 */
export async function executeRuns(
  store: Store,
  { name, experiment, runs }: NamedRuns,
  options: ExecuteExperimentOptions,
): Promise<ExecutedRun[]> {
  const [first] = runs;
  if (experiment !== null || !first) return await executeExperiment(store, name, options);
  const onEvent = (event: RunEvent) => options.onEvent?.(event, first.id);
  return [{ run: await executeRun(store, first.id, { ...options, onEvent }) }];
}
