import { claimResults } from "./bullmq/claim.ts";
import { coordinatorQueue } from "./bullmq/coordinator.ts";
import { forgetEnd } from "./bullmq/ended.ts";
import { connectEngine, patiently } from "./bullmq/engine.ts";
import { Roster } from "./bullmq/roster.ts";
import { workerQueue } from "./bullmq/worker.ts";
import { resultsQueue } from "./destination.ts";
import type { CoordinatorQueue, WorkerQueue } from "./queue.ts";
import type { Sightings } from "./sightings.ts";
import type { QueueUrl } from "./url.ts";

export interface CoordinatorOptions {
  url: QueueUrl;
  /** Hexadecimal, of 16 to 64 digits. */
  databaseId: string;
  runId: string;
  /** How long an operation waits for an engine that is away. */
  patienceMs: number;
  /** Is told of messages that are none of ours. */
  onWarning: (message: string) => void;
}

const COORDINATOR_QUERIES = 4;
/** There are many workers. More connections did not make one faster. */
const WORKER_QUERIES = 2;

/**
 * Connects the coordinator of a run, and claims the results of the run for it. That takes some seconds if an earlier
 * coordinator was killed.
 * @throws UsageError when a package is missing, the engine is not fit, or another coordinator has the run
 * @throws StoppedError when the engine does not answer
 */
export async function connectCoordinator(options: CoordinatorOptions): Promise<CoordinatorQueue> {
  const { url, databaseId, runId, patienceMs, onWarning } = options;
  const results = resultsQueue(databaseId, runId);
  const engine = await connectEngine(url, { reads: 1, queries: COORDINATOR_QUERIES });
  const roster = new Roster(engine);
  try {
    const claim = await claimResults(roster, runId, { url, results, patienceMs });
    await patiently(url, patienceMs, () => forgetEnd(engine, results)).catch((error: unknown) => {
      claim.stop();
      throw error;
    });
    return coordinatorQueue({ engine, roster, claim, results, patienceMs, onWarning });
  } catch (error) {
    await roster.close().catch(() => {});
    await engine.close().catch(() => {});
    throw error;
  }
}

/**
 * Connects a worker.
 * @param most how many queues of jobs it reads
 * @throws as {@link connectCoordinator}
 */
export async function connectWorker(url: QueueUrl, most: number): Promise<WorkerQueue> {
  return workerQueue(await connectEngine(url, { reads: most, queries: WORKER_QUERIES }));
}

/** The roster, as somebody reads it who neither coordinates nor works. */
export interface RosterReader {
  /** Looks at all rows, and removes those that are not ours or have not changed for long. */
  look(sightings: Sightings): Promise<void>;
  close(): Promise<void>;
}

const LOOK_PATIENCE_MS = 10_000;

/** @throws as {@link connectCoordinator} */
export async function connectRoster(url: QueueUrl): Promise<RosterReader> {
  const engine = await connectEngine(url, { reads: 0, queries: WORKER_QUERIES });
  const roster = new Roster(engine);
  return {
    look: (sightings) => patiently(url, LOOK_PATIENCE_MS, () => roster.look(sightings)),
    async close() {
      await roster.close();
      await engine.close();
    },
  };
}
