import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Worker, WorkerOptions } from "bullmq";
import { type Perform, type Reader, RECONNECT_MS } from "./engine.ts";
import { isUnreadable } from "./foreign.ts";

/** Makes a reader; `backend` is BullMQ's for PostgreSQL. */
type NewReader = new (name: string, perform: Perform, options: WorkerOptions, backend?: undefined) => Reader;

/** BullMQ's code of an error for a job that is not there. */
const NO_SUCH_JOB = -1;

/** How many jobs that it cannot read a reader passes over in a row, and how long it waits after each. */
const MOST_TRIES = 100;
const UNREADABLE_MS = 10;

/** BullMQ's worker, which is loaded only when it is needed, with what it lacks. */
export function readerOf(Base: typeof Worker): NewReader {
  return class extends Base {
    onGone: Reader["onGone"] = () => Promise.resolve();

    /**
     * After a job that it cannot read, BullMQ would wait although there are others. After an error of the connection, but
     * for a refused one, it would ask again at once, without end.
     */
    protected override async moveToActive(token: string, name?: string): ReturnType<Worker["getNextJob"]> {
      for (let tries = 1; ; tries += 1) {
        try {
          return await super.moveToActive(token, name);
        } catch (error) {
          if (tries === MOST_TRIES || !isUnreadable(error)) {
            await sleep(RECONNECT_MS);
            throw error;
          }
          this.emit("error", error as Error);
          await sleep(UNREADABLE_MS);
        }
      }
    }

    protected override async handleCompleted(
      result: unknown,
      job: Job,
      token: string,
      hasRoom?: () => boolean,
    ): ReturnType<Worker["getNextJob"]> {
      try {
        return await super.handleCompleted(result, job, token, hasRoom);
      } catch (error) {
        const isGone = error instanceof Error && "code" in error && error.code === NO_SUCH_JOB;
        if (isGone) await this.onGone(job).catch(() => {});
        throw error;
      }
    }

    async abandon(): Promise<void> {
      await this.lockManager.close();
    }
  };
}

/** The readers of an engine. */
export class Readers {
  readonly #readers: Reader[] = [];

  /**
   * Keeps a reader, to stop it with the engine.
   * @param removeUnreadable called when it has come upon a job that it cannot read
   */
  keep(reader: Reader, removeUnreadable: () => Promise<void>): Reader {
    this.#readers.push(reader);
    let isRemoving = false;
    const remove = async () => {
      isRemoving = true;
      await removeUnreadable().catch(() => {});
      isRemoving = false;
    };
    reader.on("error", (error) => {
      // Other errors are those of the connection: the reader goes on by itself.
      if (!isRemoving && isUnreadable(error)) void remove();
    });
    return reader;
  }

  async abandonAll(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.abandon()));
  }
}
