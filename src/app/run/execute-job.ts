import { InterruptedError } from "../../errors.ts";
import { batch } from "../../execute/batch/batch.ts";
import type { Job, JobServer } from "../../execute/executor.ts";
import { live } from "../../execute/live.ts";
import { queue } from "../../execute/queue/queue.ts";
import { sharedPrefixes } from "../../plan/shared-prefix.ts";
import { providers } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { reserveSpace } from "../../store/file/space.ts";
import type { Store } from "../../store/file/store.ts";
import { openBatches } from "../../store/runs/batches.ts";
import { hasOpenCalls } from "../../store/runs/calls.ts";
import type { Lease } from "../../store/runs/leases.ts";
import { getSettings, settingsOfRun } from "../../store/runs/plan.ts";
import { getRun, type RunRow } from "../../store/runs/runs.ts";
import type { OnEvent } from "../events.ts";
import { summaryOf } from "../runs/summary.ts";
import type { Environment } from "../server/environment.ts";
import { baseUrlsOf } from "../server/server-of-run.ts";
import { connectBatches } from "./batches.ts";
import { capOf } from "./cap.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { queueOf, serversOfWorkers, warnOfQueue } from "./queue.ts";

export interface JobOptions {
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

/** How long requests in flight may take to finish after the run is asked to stop. */
const GRACE_MS = 10_000;

/**
 * Sends the open calls of a run, or cancels its batches, while this process holds its lease. Renews the lease meanwhile.
 * @throws what its executor throws, and the reason why the lease was lost
 * @internal
 */
export async function executeJob(
  store: Store,
  lease: Lease,
  connections: readonly Connection[],
  purpose: "submit" | "cancel" | "give_up",
  options: JobOptions,
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
