import { closeSync, fdatasync, openSync } from "node:fs";
import type { Store } from "./store.ts";

/** How many commits to make between two flushes. */
const FLUSH_EVERY = 4;

/**
 * Flushes the write-ahead log to the disk in another thread, while a run is executed. Every checkpoint waits until the log
 * is on the disk; after a flush it waits only briefly. A failed flush does no harm, because the checkpoint flushes again.
 */
export class BackgroundFlush implements Disposable {
  /** Null if the log cannot be opened by its name, as after the database was moved. */
  readonly #log: number | null;
  #commits = 0;
  #isRunning = false;
  #isClosed = false;

  /** @param store must have been written to, so that its log exists */
  constructor({ path }: Store) {
    try {
      this.#log = openSync(`${path}-wal`, "r+");
    } catch {
      this.#log = null;
    }
  }

  /** Call this after every commit. */
  committed(): void {
    const log = this.#log;
    if (log === null) return;
    this.#commits += 1;
    if (this.#isRunning || this.#commits < FLUSH_EVERY) return;
    this.#commits = 0;
    this.#isRunning = true;
    fdatasync(log, () => {
      this.#isRunning = false;
      if (this.#isClosed) closeSync(log);
    });
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    if (!this.#isRunning && this.#log !== null) closeSync(this.#log);
  }
}
