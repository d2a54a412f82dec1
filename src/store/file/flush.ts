import { closeSync, fdatasync, openSync } from "node:fs";
import type { Store } from "./store.ts";

/** Commits after which what they have written is flushed. */
const FLUSH_EVERY = 4;

/**
 * Writes the write-ahead log to the disk while a run is executed, in a thread of its own. Every checkpoint waits until
 * the log is there; this leaves it little to wait for. A flush that fails is no loss, as the checkpoint has its own.
 */
export class BackgroundFlush implements Disposable {
  /** Null where the log cannot be opened by its name, as after the database was moved away. */
  readonly #log: number | null;
  #commits = 0;
  #isRunning = false;
  #isClosed = false;

  /** @param store has been written to, so that its log is there */
  constructor({ path }: Store) {
    try {
      this.#log = openSync(`${path}-wal`, "r+");
    } catch {
      this.#log = null;
    }
  }

  /** To be called after a commit. */
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
