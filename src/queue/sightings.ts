import { decodeSighting, type WorkerSighting } from "./messages.ts";
import { WORKER_LOST_MS } from "./queue.ts";

/** Rows that have not changed for so long are removed by whoever sees them. */
const DEAD_MS = 60_000;

/** The most bytes of a row are those of a worker with the most jobs. */
interface Seen {
  data: unknown;
  /** When it changed, or was seen first. */
  changedAt: number;
  hasChanged: boolean;
  sighting: WorkerSighting | null;
}

/** A worker, and when this process has last seen its row change. */
export interface SeenWorker {
  sighting: WorkerSighting;
  changedAt: number;
  /** Whether its row has changed since this process saw it first. */
  hasChanged: boolean;
}

/**
 * Watches the roster's rows by the clock of this process, because clocks of other machines are never compared. The caller
 * passes the time.
 */
export class Sightings {
  readonly #seen = new Map<string, Seen>();

  /** @returns the ids of the rows to remove: what is no row of ours, and what has not changed for long */
  async look(rows: readonly { id: string; data: unknown }[], now: number): Promise<string[]> {
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!ids.has(id)) this.#seen.delete(id);
    const gone: string[] = [];
    for (const { id, data } of rows) {
      const known = this.#seen.get(id);
      if (known === undefined || known.data !== data) {
        const sighting = id.startsWith("w-") ? await sightingIn(id, data) : null;
        // Rows of coordinators begin with `r-`; see claim.ts.
        if (sighting === null && !(id.startsWith("r-") && typeof data === "string")) gone.push(id);
        else this.#seen.set(id, { data, changedAt: now, hasChanged: known !== undefined, sighting });
      } else if (now - known.changedAt > DEAD_MS) gone.push(id);
    }
    return gone;
  }

  /** The workers whose rows are there. */
  get workers(): SeenWorker[] {
    return [...this.#seen.values()].flatMap(({ sighting, changedAt, hasChanged }) =>
      sighting === null ? [] : [{ sighting, changedAt, hasChanged }],
    );
  }

  /** The workers that live. */
  living(now: number): WorkerSighting[] {
    return this.workers.filter(({ changedAt }) => now - changedAt <= WORKER_LOST_MS).map(({ sighting }) => sighting);
  }
}

async function sightingIn(id: string, data: unknown): Promise<WorkerSighting | null> {
  try {
    const sighting = await decodeSighting(data);
    return sighting.id === id ? sighting : null;
  } catch {
    return null;
  }
}
