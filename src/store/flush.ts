import { closeSync, fdatasync, openSync } from "node:fs";
import type { Store } from "./open.ts";

/** Commits after which what they have written is flushed. */
const FLUSH_EVERY = 4;

/**
 * Writes the write-ahead log to the disk while a run is executed, in a thread of its own. Every checkpoint waits until
 * the log is there; this leaves it little to wait for. A flush that fails is no loss, as the checkpoint has its own.
 */
export class BackgroundFlush implements Disposable {
  readonly #log: number;
  #commits = 0;
  #isRunning = false;
  #isClosed = false;

  /** @param store has been written to, so that its log is there */
  constructor({ path }: Store) {
    this.#log = openSync(`${path}-wal`, "r+");
  }

  /** To be called after a commit. */
  committed(): void {
    this.#commits += 1;
    if (this.#isRunning || this.#commits < FLUSH_EVERY) return;
    this.#commits = 0;
    this.#isRunning = true;
    fdatasync(this.#log, () => {
      this.#isRunning = false;
      if (this.#isClosed) closeSync(this.#log);
    });
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    if (!this.#isRunning) closeSync(this.#log);
  }
}
