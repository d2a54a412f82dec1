/** How many values wait before they are sorted in: at least, and at most. */
const LEAST_WAITING = 64;
const MOST_WAITING = 4_096;

/** Summary of a distribution; every member is null if it has no values. */
export interface Spread {
  mean: number | null;
  sd: number | null;
  min: number | null;
  q1: number | null;
  median: number | null;
  q3: number | null;
  max: number | null;
}

/** A distribution as it is kept: different values in their order, and how often each occurs. */
export interface StoredDistribution {
  values: Float64Array | Float32Array;
  counts: Uint32Array;
}

/**
 * Numbers, kept as sorted different values with their counts. It takes memory by the different values, of which lengths and
 * latencies have few.
 */
export class Distribution {
  private readonly Values: Float64ArrayConstructor | Float32ArrayConstructor;
  private values: Float64Array | Float32Array;
  private counts: Uint32Array = new Uint32Array(0);
  private waiting = new Float64Array(LEAST_WAITING);
  private waitingCount = 0;
  private added = 0;
  private known: { sum: number; squares: number } | null = null;

  /** @param precision of the values; single for scores, of which every answer has another one */
  constructor(precision: "double" | "single" = "double") {
    this.Values = precision === "double" ? Float64Array : Float32Array;
    this.values = new this.Values(0);
  }

  add(value: number): void {
    if (this.waitingCount === this.waiting.length) this.settle();
    this.waiting[this.waitingCount] = value;
    this.waitingCount += 1;
    this.added += 1;
  }

  /** Its values, for {@link restore}. */
  get stored(): StoredDistribution {
    this.settle();
    return { values: this.values, counts: this.counts };
  }

  /** @throws RangeError if these are no values of a distribution like this one */
  restore({ values, counts }: StoredDistribution): void {
    if (!(values instanceof this.Values) || counts.length !== values.length)
      throw new RangeError("these are other values");
    this.values = values;
    this.counts = counts;
    this.added = this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** Adds all values of others. @returns itself */
  addAll(others: Iterable<Distribution>): this {
    for (const other of others) {
      this.settle();
      other.settle();
      this.merge(other.values, other.counts);
      this.added += other.added;
    }
    return this;
  }

  get size(): number {
    return this.added;
  }

  get sum(): number {
    return this.moments.sum;
  }

  /** How often a value occurs. */
  countOf(value: number): number {
    this.settle();
    const at = lowerBound(this.values, value);
    return this.values[at] === value ? (this.counts[at] as number) : 0;
  }

  /** The sum of squared distances from the mean. */
  get squares(): number {
    return this.moments.squares;
  }

  /** Computed once, because a group is compared with many others. */
  private get moments(): { sum: number; squares: number } {
    this.settle();
    return (this.known ??= this.computeMoments());
  }

  private computeMoments(): { sum: number; squares: number } {
    let [sum, squares] = [0, 0];
    for (const [at, count] of this.counts.entries()) sum += (this.values[at] as number) * count;
    const mean = sum / this.added;
    for (const [at, count] of this.counts.entries()) squares += ((this.values[at] as number) - mean) ** 2 * count;
    return { sum, squares };
  }

  spread(): Spread {
    const size = this.size;
    if (size === 0) return { mean: null, sd: null, min: null, q1: null, median: null, q3: null, max: null };
    return {
      mean: this.sum / size,
      sd: size === 1 ? null : Math.sqrt(this.squares / (size - 1)),
      min: this.values[0] ?? null,
      q1: this.quantile(0.25),
      median: this.quantile(0.5),
      q3: this.quantile(0.75),
      max: this.values.at(-1) ?? null,
    };
  }

  /** A quantile, between two values in proportion (type 7 of Hyndman and Fan 1996); null if there are no values. */
  quantile(share: number): number | null {
    this.settle();
    const size = this.size;
    if (size === 0) return null;
    const place = share * (size - 1);
    const low = this.nth(Math.floor(place));
    return low + (this.nth(Math.ceil(place)) - low) * (place - Math.floor(place));
  }

  private nth(n: number): number {
    let before = 0;
    for (const [at, count] of this.counts.entries()) {
      before += count;
      if (n < before) return this.values[at] as number;
    }
    throw new Error(`there is no value ${n}`);
  }

  /** The probability that a value of this one is larger than one of another; a tie counts half. */
  exceeds(other: Distribution): number {
    this.settle();
    other.settle();
    let below = 0;
    let won = 0;
    let at = 0;
    for (const [own, count] of this.counts.entries()) {
      const value = this.values[own] as number;
      while (at < other.values.length && (other.values[at] as number) < value) {
        below += other.counts[at] as number;
        at += 1;
      }
      const ties = other.values[at] === value ? (other.counts[at] as number) : 0;
      won += count * (below + ties / 2);
    }
    return won / (this.size * other.size);
  }

  private settle(): void {
    if (this.waitingCount === 0) return;
    const sorted = new this.Values(this.waiting.subarray(0, this.waitingCount)).toSorted();
    this.waitingCount = 0;
    this.merge(sorted, new Uint32Array(sorted.length).fill(1));
    // The more is kept, the more waits, so that sorting in takes about the same time for each value.
    const { length } = this.waiting;
    if (length < Math.min(this.values.length, MOST_WAITING)) this.waiting = new Float64Array(2 * length);
  }

  /** Merges sorted values, of which some may be the same. */
  private merge(values: Float64Array | Float32Array, counts: Uint32Array): void {
    const mergedValues = new this.Values(this.values.length + values.length);
    const mergedCounts = new Uint32Array(mergedValues.length);
    let end = 0;
    const push = (value: number, count: number) => {
      if (end === 0 || mergedValues[end - 1] !== value) {
        mergedValues[end] = value;
        end += 1;
      }
      mergedCounts[end - 1] = (mergedCounts[end - 1] as number) + count;
    };
    let [own, other] = [0, 0];
    while (own < this.values.length || other < values.length) {
      const isOwn =
        other >= values.length ||
        (own < this.values.length && (this.values[own] as number) <= (values[other] as number));
      if (isOwn) push(this.values[own] as number, this.counts[own++] as number);
      else push(values[other] as number, counts[other++] as number);
    }
    this.known = null;
    this.values = mergedValues.slice(0, end);
    this.counts = mergedCounts.slice(0, end);
  }
}

function lowerBound(sorted: Float64Array | Float32Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Cohen's d: the difference of the means in pooled standard deviations; null if it cannot be told. */
export function cohensD(one: Distribution, other: Distribution): number | null {
  const [size, otherSize] = [one.size, other.size];
  const freedom = size + otherSize - 2;
  if (size === 0 || otherSize === 0 || freedom <= 0) return null;
  const difference = one.sum / size - other.sum / otherSize;
  const sd = Math.sqrt((one.squares + other.squares) / freedom);
  if (sd === 0) return difference === 0 ? 0 : null;
  return difference / sd;
}
