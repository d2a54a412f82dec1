/** The most characters of rows to keep in memory. Rows of a larger sample are read again. */
const MOST_CHARACTERS = 64_000_000;

/**
 * Draws the rows with the smallest keys from a stream, in memory that depends on the size of the sample only. Of equal keys
 * the first rows win.
 */
export class Sampler<T> {
  readonly #size: number;
  readonly #charactersOf: (row: T) => number;
  /** A binary heap; the largest key is first. */
  readonly #heap: { key: number; ordinal: number }[] = [];
  #rows: Map<number, T> | null = new Map();
  #characters = 0;

  /** @param charactersOf how many characters a row has */
  constructor(size: number, charactersOf: (row: T) => number) {
    this.#size = size;
    this.#charactersOf = charactersOf;
  }

  /** @param ordinal the number of the row in the stream */
  add(key: number, ordinal: number, row: T): void {
    const heap = this.#heap;
    if (heap.length === this.#size) {
      const last = heap[0];
      if (last === undefined || key >= last.key) return;
      this.#forget(last.ordinal);
      heap[0] = { key, ordinal };
      this.#sink();
    } else {
      heap.push({ key, ordinal });
      this.#rise();
    }
    if (this.#rows === null) return;
    this.#rows.set(ordinal, row);
    this.#characters += this.#charactersOf(row);
    if (this.#characters > MOST_CHARACTERS) this.#rows = null;
  }

  /**
   * The ordinals of the drawn rows in the order of the sample, and the rows by their ordinals: null if they were too large
   * to keep.
   */
  drawn(): { ordinals: number[]; rows: ReadonlyMap<number, T> | null } {
    const sorted = this.#heap.toSorted(before);
    return { ordinals: sorted.map(({ ordinal }) => ordinal), rows: this.#rows };
  }

  #forget(ordinal: number): void {
    const row = this.#rows?.get(ordinal);
    if (row === undefined) return;
    this.#characters -= this.#charactersOf(row);
    this.#rows?.delete(ordinal);
  }

  #rise(): void {
    const heap = this.#heap;
    for (let at = heap.length - 1; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!isLarger(heap, at, parent)) return;
      swap(heap, at, parent);
      at = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0; ;) {
      let largest = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && isLarger(heap, child, largest)) largest = child;
      }
      if (largest === at) return;
      swap(heap, at, largest);
      at = largest;
    }
  }
}

interface Drawn {
  key: number;
  ordinal: number;
}

function before(one: Drawn, other: Drawn): number {
  return one.key - other.key || one.ordinal - other.ordinal;
}

function isLarger(heap: readonly Drawn[], at: number, than: number): boolean {
  const [one, other] = [heap[at], heap[than]];
  return one !== undefined && other !== undefined && before(one, other) > 0;
}

function swap(heap: Drawn[], at: number, with_: number): void {
  const [one, other] = [heap[at], heap[with_]];
  if (one === undefined || other === undefined) return;
  heap[at] = other;
  heap[with_] = one;
}
