import type { Job, Queue } from "bullmq";
import { ROSTER_QUEUE } from "../destination.ts";
import type { Sightings } from "../sightings.ts";
import type { Engine } from "./engine.ts";
import { isUnreadable } from "./foreign.ts";

/** The most rows that are read at a time. */
const MOST_ROWS = 2_000;

/** The rows of workers and coordinators. Each is a job that nobody processes, and that its owner renews. */
export class Roster {
  readonly #queue: Queue;
  readonly #own = new Map<string, Job>();

  constructor(engine: Engine) {
    this.#queue = engine.queue(ROSTER_QUEUE);
  }

  /** Looks at all rows, and removes those that are not ours or have not changed for long. */
  async look(sightings: Sightings): Promise<void> {
    const ids = await this.#queue.getRanges(["waiting"], 0, MOST_ROWS - 1);
    const rows = await Promise.all(ids.map(async (id) => ({ id, data: await this.read(id) })));
    const gone = await sightings.look(rows, performance.now());
    // A row of somebody else may be one that cannot be removed. It does no harm.
    await Promise.allSettled(gone.map((id) => this.remove(id)));
  }

  /** The data of a row, as anybody may have written it; undefined if there is none, or it cannot be read. */
  async read(id: string): Promise<unknown> {
    try {
      const job = (await this.#queue.getJob(id)) as Job | undefined;
      return job?.data as unknown;
    } catch (error) {
      if (isUnreadable(error)) return undefined;
      throw error;
    }
  }

  /** Writes a row. */
  async write(id: string, data: string): Promise<void> {
    const known = this.#own.get(id);
    // The engine may have been restarted empty, or somebody may have moved the row to where nobody looks.
    if (known && (await this.#queue.getJobState(id)) === "waiting") {
      await known.updateData(data);
      return;
    }
    await this.remove(id);
    this.#own.set(id, await this.#queue.add("row", data, { jobId: id }));
  }

  async remove(id: string): Promise<void> {
    this.#own.delete(id);
    await this.#queue.remove(id, { removeChildren: false });
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }
}
