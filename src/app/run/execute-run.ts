import type { ExecutorName } from "../../config/executors.ts";
import { checkOverrides } from "../../config/parse.ts";
import { DatagenError, errorCode, InterruptedError, StoppedError } from "../../errors.ts";
import { batch } from "../../execute/batch/batch.ts";
import type { Job, JobServer } from "../../execute/executor.ts";
import { live } from "../../execute/live.ts";
import { nanoUsd } from "../../models/cost.ts";
import { providers } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { openBatches, setExecutor } from "../../store/runs/batches.ts";
import { hasOpenCalls } from "../../store/runs/calls.ts";
import { acquireLease, HEARTBEAT_MS, type Lease, releaseLease, renewLease } from "../../store/runs/leases.ts";
import { inTransaction, isLocked } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { setCap } from "../../store/runs/money.ts";
import { isInPlace, rescueIfTaken } from "../../store/file/rescue.ts";
import { diskError, isDiskError, reserveSpace } from "../../store/file/space.ts";
import { heldLog } from "../../store/file/wal.ts";
import { findRun, getRun, type RunRow } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { getSettings, settingsOfRun } from "../../store/runs/plan.ts";
import { type Environment, readVariables } from "../server/environment.ts";
import type { OnEvent } from "../events.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { awaitHolders, freeRun } from "./await-holders.ts";
import { batchesOf, batchFolder, checkBatches } from "./batches.ts";
import { capOf } from "./cap.ts";
import { mayReopen, reopen, type ReopenOptions } from "./reopen.ts";
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
  checkOverrides({ concurrency: options.concurrency, maxCostUsd: options.maxCostUsd });
  const runId = findRun(store, run);
  const { publicId } = getRun(store, runId);
  sweep(store);
  // Before taking the lease, because a question to the user may wait long.
  const isSending = hasOpenCalls(store, runId) || mayReopen(getRun(store, runId), options);
  const connections = isSending ? await connect(store, runId, options) : null;
  await withLease(store, runId, options, async (lease) => {
    const row = getRun(store, runId);
    inTransaction(store, () => {
      if (options.executor !== undefined) useExecutor(store, row, options.executor);
      if (options.maxCostUsd !== undefined) setCap(store, runId, nanoUsd(options.maxCostUsd));
      reopen(store, row, options);
      // If this throws, the changes above are undone.
      capOf(store, getRun(store, runId));
    });
    if (hasOpenCalls(store, runId)) {
      await execute(store, lease, connections ?? (await connect(store, runId, options)), "submit", options);
    }
  });
  if (hasOpenCalls(store, runId)) {
    throw new InterruptedError(`run ${publicId} was stopped; every answer that came back is stored`);
  }
  return summaryOf(getRun(store, runId));
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
  await withLease(store, runId, options, (lease) =>
    execute(store, lease, connections, options.giveUp ? "give_up" : "cancel", options),
  );
  if (openBatches(store, runId).length > 0)
    throw new InterruptedError(`the batches of run ${publicId} are being cancelled`);
  return summaryOf(getRun(store, runId));
}

async function connect(store: Store, runId: number, options: ExecuteRunOptions): Promise<Connection[]> {
  return await connectionsOfRun(store, getRun(store, runId), readVariables(options.environment), options);
}

function useExecutor(store: Store, run: RunRow, executor: ExecutorName): void {
  if (executor === "batch")
    checkBatches({ provider: run.provider, settings: getSettings(store, run.settingsId), baseUrls: baseUrlsOf(run) });
  setExecutor(store, run.id, executor);
}

/** Runs `body` while this process holds the run's lease. @throws StoppedError when the database can no longer be used */
async function withLease(
  store: Store,
  runId: number,
  { takeOver = false, signal, onEvent = () => {} }: Pick<ExecuteRunOptions, "takeOver" | "signal" | "onEvent">,
  body: (lease: Lease) => Promise<void>,
): Promise<void> {
  if (takeOver) freeRun(store, runId, onEvent);
  else await awaitHolders(store, { runId, signal, onEvent });
  const lease = acquireLease(store, runId, getRun(store, runId).publicId);
  try {
    await body(lease);
  } catch (error) {
    throw asStop(store, error);
  } finally {
    releaseIfPossible(store, lease);
    rescueIfTaken(store);
  }
}

function releaseIfPossible(store: Store, lease: Lease): void {
  try {
    releaseLease(store, lease);
  } catch (error) {
    // The lease stays, and ends with this process. The same problem of the database has stopped the run.
    if (!isOfDatabase(error)) throw error;
  }
}

/** Whether the database cannot be used: it is locked or damaged, or its disk is full or fails. */
function isOfDatabase(error: unknown): boolean {
  return isDiskError(error) || /^SQLITE_(BUSY|CORRUPT|NOTADB|READONLY|CANTOPEN|PERM|AUTH)/.test(errorCode(error) ?? "");
}

function asStop(store: Store, error: unknown): unknown {
  if (error instanceof DatagenError || !isOfDatabase(error)) return error;
  if (isDiskError(error)) return diskError(store, error);
  if (isLocked(error)) {
    return new StoppedError(
      `another process keeps the database ${store.path} locked`,
      "Find that process, and end its work on the database.",
      error,
    );
  }
  const code = errorCode(error) ?? "";
  return /^SQLITE_(CORRUPT|NOTADB)/.test(code)
    ? new StoppedError(
        `the database ${store.path} is damaged (${code})`,
        "`datagen db check` says where. Keep a copy of the file, and restore an earlier one.",
        error,
      )
    : new StoppedError(
        `the database ${store.path} cannot be written any more (${code})`,
        "Check the permissions of the file and of its folder, and that its disk is mounted.",
        error,
      );
}

async function execute(
  store: Store,
  lease: Lease,
  connections: readonly Connection[],
  purpose: "submit" | "cancel" | "give_up",
  { concurrency, signal, wait = true, onEvent = () => {} }: ExecuteRunOptions,
): Promise<void> {
  const row = getRun(store, lease.runId);
  const { config } = row;
  const [first] = connections;
  if (!first) throw new Error(`run ${row.publicId} has no server`);
  const settings = getSettings(store, row.settingsId);
  const servers = await Promise.all(
    connections.map(async (connection): Promise<JobServer> => {
      const provider = await providers[row.provider].connect(connection);
      return { name: connection.baseUrl ?? row.provider, provider };
    }),
  );
  const inFlight = concurrency ?? config.concurrency;
  const release = reserveSpace(store, inFlight * servers.length);
  const drain = new AbortController();
  let grace: NodeJS.Timeout | undefined;
  const stop = () => {
    if (grace !== undefined) return;
    drain.abort();
    grace = setTimeout(() => {
      const reason = heartbeat.lost() ?? new InterruptedError(`run ${row.publicId} was stopped`);
      for (const { provider } of servers) provider.giveUp(reason);
    }, GRACE_MS);
  };
  const heartbeat = startHeartbeat(store, lease, { stop, onEvent });
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  try {
    onEvent({ type: "started", run: summaryOf(row), baseUrls: baseUrlsOf(row) });
    const mode = purpose === "submit" && row.executor === "live" ? "collect" : purpose;
    const job: Omit<Job, "cap"> = {
      store,
      lease,
      runId: row.id,
      settings,
      asked: settingsOfRun(store, row),
      server: row.baseUrl ?? row.provider,
      servers,
      concurrency: inFlight,
      timeoutMs: config.timeout_s * 1_000,
      maxAttempts: config.max_attempts,
      giveUpAfterMs: config.give_up_after_s * 1_000,
      prices: row.prices,
      reasoningTags: config.model_config.reasoning_tags ?? null,
      isCountExact: row.baseUrlSource === "default",
      isResumed: row.attempts > 0,
      hasAnswers: row.callsSucceeded > row.callsReused,
      reuse: row.reuse,
      limits: { requestsPerMinute: config.requests_per_minute, tokensPerMinute: config.tokens_per_minute },
      batches: {
        connect: () => batchesOf(row.provider).connect(first, batchFolder(store.path)),
        factor: row.prices?.batch_factor ?? null,
        mode,
        waits: wait,
        keepsFiles: config.keep_provider_files ?? false,
      },
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
  do {
    await live.execute(withCap());
    if (drain.aborted || openBatches(store, runId).length === 0) return;
    await batch.execute(withCap());
  } while (!drain.aborted && hasOpenCalls(store, runId));
}
