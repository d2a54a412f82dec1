import { setTimeout as sleep } from "node:timers/promises";
import { connectRoster } from "../../queue/connect.ts";
import type { WorkerSighting } from "../../queue/messages.ts";
import { BEAT_MS } from "../../queue/queue.ts";
import { Sightings } from "../../queue/sightings.ts";
import { readVariables } from "../server/environment.ts";
import { queueUrlOf } from "./queue-url.ts";

/** A worker of a queue. */
export interface ListedWorker extends Pick<
  WorkerSighting,
  "id" | "host" | "version" | "provider" | "servers" | "concurrency" | "answered"
> {
  in_flight: number;
  /** When it started, by its own clock. */
  started_at: string;
  /**
   * The seconds since this process saw a sign of life; null if it saw none while it watched, so that the worker has
   * probably ended.
   */
  last_heard_s: number | null;
}

const LOOK_MS = 250;
/** A worker that gives no sign of life for three beats has probably ended. */
const WATCH_MS = 3 * BEAT_MS;

/**
 * Lists the workers of a queue, by their hosts. Watches them for a few seconds, until each has given a sign of life.
 * @param given the URL of the queue. Default: DATAGEN_QUEUE
 * @throws UsageError when it is no URL, or a package is missing; StoppedError when the queue does not answer
 */
export async function listWorkers(given?: string): Promise<ListedWorker[]> {
  const roster = await connectRoster(queueUrlOf(given, readVariables()));
  try {
    const sightings = new Sightings();
    for (let watched = 0; ; watched += LOOK_MS) {
      await roster.look(sightings);
      const isDone = sightings.workers.every(({ hasChanged }) => hasChanged);
      if (isDone || watched >= WATCH_MS) break;
      await sleep(LOOK_MS);
    }
    const now = performance.now();
    return sightings.workers
      .map(({ sighting, changedAt, hasChanged }) => listed(sighting, hasChanged ? now - changedAt : null))
      .toSorted((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : 0));
  } finally {
    await roster.close();
  }
}

function listed(sighting: WorkerSighting, silentMs: number | null): ListedWorker {
  const { id, host, version, provider, servers, concurrency, answered, inFlight, startedAt } = sighting;
  return {
    id,
    host,
    version,
    provider,
    servers,
    concurrency,
    in_flight: inFlight.length,
    answered,
    started_at: new Date(startedAt).toISOString(),
    last_heard_s: silentMs === null ? null : Math.round(silentMs / 100) / 10,
  };
}
