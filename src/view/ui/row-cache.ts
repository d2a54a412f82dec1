import { signal } from "@preact/signals";
import type { GridRow } from "../rows.ts";
import { asError, rows } from "./loading.ts";

/** How many rows to ask for at once, and to keep. */
const AT_ONCE = 40;
const MOST_KEPT = 600;
/** Rows further apart are asked for one by one. */
const NEAR = 8;

/** The rows of a run that the grid has read. It reads what is in sight now, and forgets what was wanted before. */
export class RowCache {
  /** Changes when rows arrive. */
  readonly version = signal(0);
  readonly error = signal<Error | null>(null);
  readonly #rows = new Map<number, GridRow | null>();
  readonly #run: string;
  /** What is shown until it is read again. */
  readonly #stale = new Set<number>();
  #wanted: readonly number[] = [];
  #isReading = false;

  constructor(run: string) {
    this.#run = run;
  }

  /** Reads all rows again when they are in sight. */
  refresh(): void {
    for (const position of this.#rows.keys()) this.#stale.add(position);
    this.error.value = null;
    this.want(this.#wanted);
  }

  /** Undefined while it is not read; null if the run has no such input. */
  get(position: number): GridRow | null | undefined {
    return this.#rows.get(position);
  }

  /** @param positions in order */
  want(positions: readonly number[]): void {
    this.#wanted = positions;
    if (!this.#isReading && this.error.peek() === null) void this.#read();
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    try {
      for (;;) {
        const missing = this.#wanted.filter((position) => !this.#rows.has(position) || this.#stale.has(position));
        const [first] = missing;
        if (first === undefined) return;
        let last = first;
        for (const position of missing) if (position - last <= NEAR && position - first < AT_ONCE) last = position;
        const found = await rows().grid(this.#run, first, last - first + 1);
        this.#keep(found, missing, last);
      }
    } catch (error) {
      this.error.value = asError(error);
    } finally {
      this.#isReading = false;
    }
  }

  #keep(found: readonly GridRow[], missing: readonly number[], last: number): void {
    for (const row of found) this.#rows.set(row.position, row);
    // Rows come in order: those that were passed over are not in the run.
    const end = found.at(-1)?.position ?? last;
    for (const position of missing) {
      if (position > end) break;
      if (!found.some((row) => row.position === position)) this.#rows.set(position, null);
      this.#stale.delete(position);
    }
    const spare = this.#rows.size - MOST_KEPT;
    const inSight = new Set(this.#wanted);
    let dropped = 0;
    for (const position of this.#rows.keys()) {
      if (dropped >= spare) break;
      if (inSight.has(position)) continue;
      this.#rows.delete(position);
      this.#stale.delete(position);
      dropped += 1;
    }
    this.version.value += 1;
  }
}
