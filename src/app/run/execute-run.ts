import type { ExecutorName } from "../../config/executors.ts";
import { checkOverrides } from "../../config/parse.ts";
import { InterruptedError } from "../../errors.ts";
import { batch } from "../../execute/batch/batch.ts";
import type { Job, JobServer } from "../../execute/executor.ts";
import { live } from "../../execute/live.ts";
import { queue } from "../../execute/queue/queue.ts";
import { nanoUsd } from "../../models/cost.ts";
import { providers } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { openBatches, setExecutor } from "../../store/runs/batches.ts";
import { hasOpenCalls } from "../../store/runs/calls.ts";
import { checkHeldHereOnly, HEARTBEAT_MS, type Lease, renewLease } from "../../store/runs/leases.ts";
import { inTransaction, isLocked } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { setCap } from "../../store/runs/money.ts";
import { isInPlace, rescueIfTaken } from "../../store/file/rescue.ts";
import { reserveSpace } from "../../store/file/space.ts";
import { heldLog } from "../../store/file/wal.ts";
import { findRun, getRun, type RunRow } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { getSettings, settingsOfRun } from "../../store/runs/plan.ts";
import { sharedPrefixes } from "../../plan/shared-prefix.ts";
import { type Environment, readVariables } from "../server/environment.ts";
import type { OnEvent } from "../events.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { batchFolder, checkBatches, connectBatches } from "./batches.ts";
import { capNanoUsdOf, capOf, sharingBudget } from "./cap.ts";
import { type BatchProbe, createBatchProbe } from "./probe-batches.ts";
import { queueOf, queueUrlOfRun, serversOfWorkers, warnOfQueue } from "./queue.ts";
import { mayReopen, reopen, type ReopenOptions } from "./reopen.ts";
import { partnersOf, withLease } from "./with-lease.ts";
import { baseUrlsOf, type Confirmation, connectionsOfRun } from "../server/server-of-run.ts";

/** How long requests in flight may take to finish after the run is asked to stop. */
const GRACE_MS = 10_000;

export interface ExecuteRunOptions extends Confirmation, ReopenOptions {
  /** Takes the run from the process that holds it, also where that lives. */
  takeOver?: boolean | undefined;
  /** The most that the run may cost in all, in US dollars; replaces the earlier cap. */
  maxCostUsd?: number | undefined;
  /** How calls that are not sent yet reach the provider; replaces the earlier executor. */
  executor?: ExecutorName | undefined;
  /**
   * The URL of the queue from which workers take the calls, for the executor `queue`. Default: `DATAGEN_QUEUE`. It is not
   * stored, because it may have a password.
   */
  queue?: string | undefined;
  /** Whether to wait until all batches are done. Default: true; otherwise each is checked once. */
  wait?: boolean | undefined;
  /** The most requests in flight at once; overrides the config. */
  concurrency?: number | undefined;
  /** Stops the run: nothing more is sent, and requests in flight get up to 10 seconds. */
  signal?: AbortSignal | undefined;
  /** Where keys come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  onEvent?: OnEvent | undefined;
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
      if (!hasOpenCalls(store, runId)) return;
      await execute(store, lease, connections ?? (await connectToSend(store, runId, options)), "submit", options);
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

export interface CancelRunOptions extends Pick<
  ExecuteRunOptions,
  "signal" | "environment" | "onEvent" | keyof Confirmation
> {
  /** Ends the batches here at once. Calls without a result by then are possibly billed, and pending again. */
  giveUp?: boolean | undefined;
}

/**
 * Cancels the batches of a run at the provider, and stores the results that are ready. The other calls become pending.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the run after that
 * @throws UsageError and InterruptedError as {@link executeRun} does, StoppedError if a batch does not end
 */
export async function cancelRun(store: Store, run: string, options: CancelRunOptions = {}): Promise<RunSummary> {
  const runId = findRun(store, run);
  const { publicId } = getRun(store, runId);
  const connections = await connect(store, runId, options);
  try {
    await withLease(store, runId, options, (lease) =>
      execute(store, lease, connections, options.giveUp ? "give_up" : "cancel", options),
    );
  } finally {
    rescueIfTaken(store);
  }
  if (openBatches(store, runId).length > 0)
    throw new InterruptedError(`the batches of run ${publicId} are being cancelled`);
  return summaryOf(getRun(store, runId));
}

/** The servers to which this process sends calls. With a queue, workers do, and no key is needed here. */
async function connectToSend(store: Store, runId: number, options: ExecuteRunOptions): Promise<Connection[]> {
  const row = getRun(store, runId);
  if ((options.executor ?? row.executor) !== "queue") return await connect(store, runId, options);
  queueUrlOfRun(row, options.queue, readVariables(options.environment));
  // Batches that are open at the provider are asked for here.
  return row.batchesOpen > 0 ? await connect(store, runId, options) : [];
}

async function connect(store: Store, runId: number, options: ExecuteRunOptions): Promise<Connection[]> {
  return await connectionsOfRun(store, getRun(store, runId), readVariables(options.environment), options);
}

function useExecutor(store: Store, run: RunRow, executor: ExecutorName): void {
  if (executor === "batch")
    checkBatches({ provider: run.provider, settings: getSettings(store, run.settingsId), baseUrls: baseUrlsOf(run) });
  setExecutor(store, run.id, executor);
}

async function execute(
  store: Store,
  lease: Lease,
  connections: readonly Connection[],
  purpose: "submit" | "cancel" | "give_up",
  options: ExecuteRunOptions,
): Promise<void> {
  const { concurrency, signal, wait = true, onEvent = () => {} } = options;
  const row = getRun(store, lease.runId);
  const { config } = row;
  const { server: serverName } = config.model_config;
  const settings = getSettings(store, row.settingsId);
  const isQueued = purpose === "submit" && row.executor === "queue";
  const servers = isQueued ? serversOfWorkers(row) : await serversOf(row, connections);
  const inFlight = concurrency ?? config.concurrency;
  const release = reserveSpace(store, inFlight * servers.length);
  const drain = new AbortController();
  const giveUp = new AbortController();
  let grace: NodeJS.Timeout | undefined;
  const stop = () => {
    if (grace !== undefined) return;
    drain.abort();
    grace = setTimeout(() => {
      const reason = heartbeat.lost() ?? new InterruptedError(`run ${row.publicId} was stopped`);
      for (const { provider } of servers) provider?.giveUp(reason);
      giveUp.abort(reason);
    }, GRACE_MS);
  };
  const heartbeat = startHeartbeat(store, lease, { stop, onEvent });
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  try {
    onEvent({ type: "started", run: summaryOf(row), baseUrls: baseUrlsOf(row) });
    const mode = purpose === "submit" && row.executor !== "batch" ? "collect" : purpose;
    const onWarning = (message: string) => onEvent({ type: "warning", message });
    if (!isQueued) warnOfQueue(store, row, onWarning);
    const job: Omit<Job, "cap"> = {
      store,
      lease,
      runId: row.id,
      settings,
      asked: settingsOfRun(store, row),
      prefixes: sharedPrefixes(config, settings, row.tasks),
      server: serverName ?? row.baseUrl ?? row.provider,
      queue: isQueued ? queueOf(row, options, { giveUp: giveUp.signal, onWarning }) : null,
      servers,
      concurrency: inFlight,
      timeoutMs: config.timeout_s * 1_000,
      maxAttempts: config.max_attempts,
      giveUpAfterMs: config.give_up_after_s * 1_000,
      prices: row.prices,
      reasoningTags: config.model_config.reasoning_tags ?? null,
      // Servers with a name of their own may be any.
      isCountExact: row.baseUrlSource === "default" && serverName === undefined,
      isResumed: row.attempts > 0,
      hasAnswers: row.callsSucceeded > row.callsReused,
      reuse: row.reuse,
      limits: { requestsPerMinute: config.requests_per_minute, tokensPerMinute: config.tokens_per_minute },
      batches: batchOptionsOf(store, row, connections, { mode, waits: wait }),
      drain: drain.signal,
      onEvent,
    };
    await work(job);
    const lost = heartbeat.lost();
    if (lost) throw lost;
  } finally {
    release();
    heartbeat.end();
    clearTimeout(grace);
    signal?.removeEventListener("abort", stop);
  }
}

async function serversOf(row: RunRow, connections: readonly Connection[]): Promise<JobServer[]> {
  return await Promise.all(
    connections.map(async (connection): Promise<JobServer> => {
      const provider = await providers[row.provider].connect(connection);
      return { name: connection.baseUrl ?? row.provider, provider };
    }),
  );
}

function batchOptionsOf(
  store: Store,
  row: RunRow,
  [first]: readonly Connection[],
  { mode, waits }: Pick<Job["batches"], "mode" | "waits">,
): Job["batches"] {
  return {
    async connect() {
      if (!first) throw new Error(`run ${row.publicId} has no connection for its batches`);
      return await connectBatches(row, first, store.path);
    },
    factor: row.prices?.batch_factor ?? null,
    mode,
    waits,
    keepsFiles: row.config.keep_provider_files ?? false,
  };
}

/**
 * Renews the lease of a run while it is executed, and stops the run if the lease or the database is lost.
 * @param stop lets requests in flight finish for a while
 */
function startHeartbeat(
  store: Store,
  lease: Lease,
  { stop, onEvent }: { stop: () => void; onEvent: OnEvent },
): { lost: () => Error | null; end: () => void } {
  let lost: Error | null = null;
  let isWarned = false;
  const timer = setInterval(() => {
    // The database was taken away. It is rescued, and the user informed, after the last results are stored.
    if (!isInPlace(store)) return stop();
    const held = isWarned ? null : heldLog(store);
    if (held !== null) {
      isWarned = true;
      onEvent({ type: "warning", message: held });
    }
    try {
      renewLease(store, lease);
    } catch (error) {
      // The next heartbeat may be in time. The lock also keeps other processes from taking the run over.
      if (isLocked(error)) return;
      lost = error instanceof Error ? error : new Error(String(error));
      stop();
    }
  }, HEARTBEAT_MS);
  return {
    /** Why the lease was lost; null while it is held. */
    lost: () => lost,
    end: () => clearInterval(timer),
  };
}

/**
 * Finishes open batches, and sends all other calls with the run's executor.
 * @internal
 */
export async function work(job: Omit<Job, "cap">): Promise<void> {
  const { store, runId, drain, batches } = job;
  const withCap = () => ({ ...job, cap: capOf(store, getRun(store, runId)) });
  if (batches.mode !== "collect") {
    await batch.execute(withCap());
    return;
  }
  // When the notes of a batch arrive, their strategies can be sent.
  const now = job.queue ? queue : live;
  do {
    await now.execute(withCap());
    if (drain.aborted || openBatches(store, runId).length === 0) return;
    await batch.execute(withCap());
  } while (!drain.aborted && hasOpenCalls(store, runId));
}
