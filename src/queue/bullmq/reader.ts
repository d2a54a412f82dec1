import { setTimeout as sleep } from "node:timers/promises";
import type { Worker, WorkerOptions } from "bullmq";
import { type Perform, RECONNECT_MS } from "./engine.ts";

/** What reads a queue. */
export interface Reader extends Worker {
  /** Stops what it does for its jobs, also where it cannot close because the engine is away. */
  abandon(): Promise<void>;
}

/** Makes a reader; `backend` is BullMQ's for PostgreSQL. */
type NewReader = new (name: string, perform: Perform, options: WorkerOptions, backend?: undefined) => Reader;

/** BullMQ's worker, which is loaded only when it is needed, with what it lacks. */
export function readerOf(Base: typeof Worker): NewReader {
  return class extends Base {
    /** After any error but a refused connection, BullMQ would ask for the next job at once, without end. */
    protected override async moveToActive(token: string, name?: string): ReturnType<Worker["getNextJob"]> {
      try {
        return await super.moveToActive(token, name);
      } catch (error) {
        await sleep(RECONNECT_MS);
        throw error;
      }
    }

    async abandon(): Promise<void> {
      await this.lockManager.close();
    }
  };
}

/** Keeps the readers of an engine, to stop them with it. */
export function keepReaders(): { kept: (reader: Reader) => Reader; abandonAll: () => Promise<void> } {
  const readers: Reader[] = [];
  return {
    kept(reader) {
      readers.push(reader);
      return reader;
    },
    async abandonAll() {
      await Promise.all(readers.map((reader) => reader.abandon()));
    },
  };
}
