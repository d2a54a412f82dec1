import type { Step } from "../plan/calls.ts";

/** How many latencies make one median. */
const WINDOW = 64;
/** If the median grows by this factor, the server queues requests. Different lengths of answers change it less. */
const GROWN = 3;
const CUT = 0.7;
/** After a cut, a server that queues becomes faster by at least this factor. */
const RELIEF = 0.93;
const GROWTH = 1.1;
const GROWTH_EVERY_MS = 1_000;

/** The limit until the first answer, so that a bad key causes only a few refusals. */
const FIRST = 5;

/**
 * How many requests may be in flight: between 1 and the configured number. It rises while requests succeed. It falls when
 * requests are refused for their rate, and when answers take several times as long as before. The caller passes the time.
 */
export class AdaptiveConcurrency {
  readonly #most: number;
  #current: number;
  #hasAnswer = false;
  #changedAt = 0;
  readonly #latencies: Record<Step, Latencies> = {
    reading: { recent: [], usual: Number.POSITIVE_INFINITY, atLastCut: Number.POSITIVE_INFINITY },
    strategy: { recent: [], usual: Number.POSITIVE_INFINITY, atLastCut: Number.POSITIVE_INFINITY },
  };

  constructor(most: number) {
    this.#most = most;
    this.#current = most;
  }

  get current(): number {
    return this.#hasAnswer ? Math.floor(this.#current) : Math.min(FIRST, this.#most);
  }

  /** An answer arrived, after this latency. */
  answered(now: number, step: Step, latencyMs: number): void {
    this.#hasAnswer = true;
    if (this.#isSlow(step, latencyMs)) this.#cut(now, this.#current);
    else if (!this.#isWatching() && now - this.#changedAt >= GROWTH_EVERY_MS) this.#grow(now);
  }

  /** Requests were refused for their rate while this many were in flight. */
  refused(now: number, inFlight: number): void {
    this.#cut(now, inFlight);
  }

  #cut(now: number, from: number): void {
    this.#current = Math.max(1, Math.min(this.#current, from * CUT));
    this.#changedAt = now;
  }

  #grow(now: number): void {
    this.#current = Math.min(this.#most, this.#current * GROWTH + 1);
    this.#changedAt = now;
  }

  /** Whether the effect of the last cut is still unknown. */
  #isWatching(): boolean {
    return Object.values(this.#latencies).some(({ atLastCut }) => Number.isFinite(atLastCut));
  }

  #isSlow(step: Step, latencyMs: number): boolean {
    const known = this.#latencies[step];
    if (known.recent.push(latencyMs) < WINDOW) return false;
    const median = known.recent.toSorted((a, b) => a - b)[WINDOW / 2] ?? latencyMs;
    known.recent = [];
    if (median <= known.usual * GROWN) {
      // The usual latency slowly follows a lasting change.
      known.usual = Math.min(known.usual * 1.05, median);
      known.atLastCut = Number.POSITIVE_INFINITY;
      return false;
    }
    if (median < known.atLastCut * RELIEF) {
      known.atLastCut = median;
      return true;
    }
    // The cut made answers no faster, so the server does not queue: the answers themselves take longer now.
    known.usual = median;
    known.atLastCut = Number.POSITIVE_INFINITY;
    this.#current = this.#most;
    return false;
  }
}

interface Latencies {
  recent: number[];
  /** The lowest median of a window. */
  usual: number;
  /** The median that caused the last cut, while its effect is unknown. */
  atLastCut: number;
}
