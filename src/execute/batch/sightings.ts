import type { BatchRow } from "../../store/runs/batches.ts";

/** Since when this process has seen something of a batch, such as a state that does not change. */
export class Sightings {
  readonly #since = new Map<string, number>();

  /** For how many milliseconds it has been seen; 0 at first sight. */
  lasting({ id }: BatchRow, what: string): number {
    const seen = `${id} ${what}`;
    const now = performance.now();
    const since = this.#since.get(seen) ?? now;
    this.#since.set(seen, since);
    return now - since;
  }
}
