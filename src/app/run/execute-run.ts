import type { ExecutorName } from "../../config/executors.ts";
import { checkOverrides } from "../../config/parse.ts";
import { InterruptedError } from "../../errors.ts";
import { nanoUsd } from "../../models/cost.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { rescueIfTaken } from "../../store/file/rescue.ts";
import type { Store } from "../../store/file/store.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import { openBatches, setExecutor } from "../../store/runs/batches.ts";
import { hasOpenCalls } from "../../store/runs/calls.ts";
import { checkHeldHereOnly } from "../../store/runs/leases.ts";
import { setCap } from "../../store/runs/money.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { findRun, getRun, type RunRow } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { readVariables } from "../server/environment.ts";
import { baseUrlsOf, type Confirmation, connectionsOfRun } from "../server/server-of-run.ts";
import { batchFolder, checkBatches } from "./batches.ts";
import { capNanoUsdOf, capOf, sharingBudget } from "./cap.ts";
import { executeJob, type JobOptions } from "./execute-job.ts";
import { type BatchProbe, createBatchProbe } from "./probe-batches.ts";
import { clearQueue, queueUrlOfRun } from "./queue.ts";
import { mayReopen, reopen, type ReopenOptions } from "./reopen.ts";
import { partnersOf, withLease } from "./with-lease.ts";

export interface ExecuteRunOptions extends JobOptions, Confirmation, ReopenOptions {
  /** Takes the run from the process that holds it, also where that lives. */
  takeOver?: boolean | undefined;
  /** The most that the run may cost in all, in US dollars; replaces the earlier cap. */
  maxCostUsd?: number | undefined;
  /** How calls that are not sent yet reach the provider; replaces the earlier executor. */
  executor?: ExecutorName | undefined;
}

/**
 * Sends every call of a run that is not done, and stores each answer when it arrives. A run that was stopped or killed
 * continues from there.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the run after all its calls are done
 * @throws UsageError when there is no such run, another process executes it, or a key is missing
 * @throws StoppedError when only a person can fix the problem, InterruptedError when `signal` stopped it
 */
export async function executeRun(store: Store, run: string, options: ExecuteRunOptions = {}): Promise<RunSummary> {
  const connected = await connectRun(store, findRun(store, run), options);
  try {
    return await executeConnected(store, connected, options);
  } finally {
    rescueIfTaken(store);
  }
}

/**
 * A run that is about to be executed.
 * @internal
 */
export interface ConnectedRun {
  runId: number;
  /** Null if it seems to have nothing to send. */
  connections: Connection[] | null;
}

/**
 * What comes before a run's lease is taken, because a question to the user may wait long.
 * @internal
 */
export async function connectRun(
  store: Store,
  runId: number,
  options: ExecuteRunOptions,
  probe: BatchProbe = createBatchProbe(),
): Promise<ConnectedRun> {
  checkOverrides({ concurrency: options.concurrency, maxCostUsd: options.maxCostUsd });
  sweep(store);
  const run = getRun(store, runId);
  const isSending = hasOpenCalls(store, runId) || mayReopen(run, options);
  const connections = isSending ? await connectToSend(store, runId, options) : null;
  const [first] = connections ?? [];
  // A run that was planned in batches was probed then, and a server with an open batch of it takes batches.
  const isNew = options.executor === "batch" && run.executor !== "batch" && openBatches(store, runId).length === 0;
  if (isNew && first) await probe(run, first, batchFolder(store.path));
  return { runId, connections };
}

/**
 * As {@link executeRun}, but the caller rescues the database.
 * @internal
 */
export async function executeConnected(
  store: Store,
  { runId, connections }: ConnectedRun,
  options: ExecuteRunOptions,
): Promise<RunSummary> {
  const { publicId } = getRun(store, runId);
  await withLease(store, runId, options, (lease) =>
    sharingBudget(store, getRun(store, runId), async () => {
      inTransaction(store, () => change(store, getRun(store, runId), options));
      if (!hasOpenCalls(store, runId)) return await clearQueue(getRun(store, runId), options);
      await executeJob(store, lease, connections ?? (await connectToSend(store, runId, options)), "submit", options);
    }),
  );
  if (hasOpenCalls(store, runId)) {
    throw new InterruptedError(`run ${publicId} was stopped; every answer that came back is stored`);
  }
  return summaryOf(getRun(store, runId));
}

/**
 * Stores what the options change in a run, in a transaction that an error undoes.
 * @throws UsageError when something does not fit the run, or its cap cannot be kept
 */
function change(store: Store, row: RunRow, options: ExecuteRunOptions): void {
  if (options.executor !== undefined) useExecutor(store, row, options.executor);
  if (options.maxCostUsd !== undefined) setCap(store, row, nanoUsd(options.maxCostUsd));
  reopen(store, row, options);
  const changed = getRun(store, row.id);
  if (capNanoUsdOf(changed) !== null) checkHeldHereOnly(store, partnersOf(store, changed));
  capOf(store, changed);
}

/** The servers to which this process sends calls. With a queue, workers do, and no key is needed here. */
async function connectToSend(store: Store, runId: number, options: ExecuteRunOptions): Promise<Connection[]> {
  const row = getRun(store, runId);
  if ((options.executor ?? row.executor) !== "queue") return await connectionsOfRun(store, row, options);
  queueUrlOfRun(row, options.queue, readVariables(options.environment));
  // Batches that are open at the provider are asked for here.
  return row.batchesOpen > 0 ? await connectionsOfRun(store, row, options) : [];
}

function useExecutor(store: Store, run: RunRow, executor: ExecutorName): void {
  if (executor === "batch")
    checkBatches({ provider: run.provider, settings: getSettings(store, run.settingsId), baseUrls: baseUrlsOf(run) });
  setExecutor(store, run.id, executor);
}
