import type { Job, Queue } from "bullmq";
import { ROSTER_QUEUE } from "../destination.ts";
import type { Engine } from "./engine.ts";

/** The most rows that are read at a time. */
const MOST_ROWS = 2_000;

/** A row of the roster, as anybody who can write to the queue may have made it. */
export interface RosterRow {
  id: string;
  data: unknown;
}

/** The rows of workers and coordinators. Each is a job that nobody processes, and that its owner renews. */
export class Roster {
  readonly #queue: Queue;
  readonly #own = new Map<string, Job>();

  constructor(engine: Engine) {
    this.#queue = engine.queue(ROSTER_QUEUE);
  }

  async list(): Promise<RosterRow[]> {
    const jobs = await this.#queue.getJobs(["waiting"], 0, MOST_ROWS - 1);
    return jobs.flatMap((job: Job | undefined) => (job?.id === undefined ? [] : [{ id: job.id, data: job.data }]));
  }

  /** The data of a row; undefined if there is none. */
  async read(id: string): Promise<unknown> {
    const job = (await this.#queue.getJob(id)) as Job | undefined;
    return job?.data as unknown;
  }

  /** Writes a row, and makes it if it is not there. */
  async write(id: string, data: string): Promise<void> {
    try {
      const known = this.#own.get(id);
      if (known) {
        await known.updateData(data);
        return;
      }
    } catch {
      // The engine was restarted empty, or somebody removed the row.
    }
    const job = await this.#queue.add("row", data, { jobId: id });
    this.#own.set(id, job);
    // A row that was there already keeps its data when it is added.
    await job.updateData(data);
  }

  async remove(id: string): Promise<void> {
    this.#own.delete(id);
    await this.#queue.remove(id);
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }
}
