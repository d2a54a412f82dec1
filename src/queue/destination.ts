import { createHash } from "node:crypto";
import type { ProviderName } from "../config/providers.ts";

/** Where a job has to be answered: at a server, or at any of several that share a name. */
export interface Destination {
  provider: ProviderName;
  /** A base URL as it is stored, the NAME of `--server`, or the provider's name if it has no server. */
  server: string;
}

/** The queue of the jobs of a destination. Workers read only the queues of destinations that they serve. */
export function jobsQueue({ provider, server }: Destination): string {
  const hash = createHash("sha256").update(`${provider}\n${server}`).digest("hex");
  return `datagen-jobs-${hash.slice(0, 32)}`;
}

/**
 * The queue of the results of a run.
 * @param databaseId hexadecimal, of 16 to 64 digits
 */
export function resultsQueue(databaseId: string, runId: string): string {
  const name = `datagen-results-${databaseId}-${runId}`;
  if (!RESULTS_QUEUE.test(name)) throw new Error(`${JSON.stringify(name)} is not the name of a queue of results`);
  return name;
}

/** The names of queues of results. A job may ask for its result in no other queue. */
export const RESULTS_QUEUE = /^datagen-results-[0-9a-f]{16,64}-[0-9a-z]{1,32}$/;

/** The queue with a row for each run that has ended lately. Nobody processes its rows. */
export const ENDED_QUEUE = "datagen-ended";

/** The queue with a row for each worker, and for each coordinator. Nobody processes its rows. */
export const ROSTER_QUEUE = "datagen-workers";
