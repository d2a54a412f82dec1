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

/** A number in flight is safe if even a server that answers one by one needs only this share of the timeout. */
const SAFE_SHARE = 0.25;
/** At the start, each round has this many times as many requests in flight as the round before. */
const START_GROWTH = 1.6;
/** If the latency grows by this factor from one round to the next, the server queues requests. */
const QUEUES = 1.5;

/** The server is overloaded if this many of the last requests, and this share, timed out or were cut off. */
const OVERLOADS = 2;
const OVERLOADED_SHARE = 0.3;
const ENDINGS = 20;
/** After overload, the number in flight grows by one in so many rounds of answers, and much later to the one that was too many. */
const ROUNDS = 2;
/** The same for a server that seems to queue requests. */
const ROUNDS_OF_QUEUE = 6;
const ROUNDS_BEFORE_TOO_MANY = 20;

/**
 * How many requests may be in flight: between 1 and the configured number. At the start the number grows in rounds, until
 * more requests in flight only make answers slower. It falls when requests are refused for their rate, when answers take
 * several times as long as before, and when requests time out or are cut off. Then it grows again, slowly. The caller
 * passes the time.
 */
export class AdaptiveConcurrency {
  #most: number;
  readonly #timeoutMs: number;
  #current: number;
  #changedAt = 0;
  /** The growth at the start; null once it is over. */
  #start: Climb | null = { latencies: [], before: null };
  #least = Number.POSITIVE_INFINITY;
  /**
   * Whether the server was overloaded, or seemed to queue requests, and the configured number has not been reached since.
   * Until then, the number grows by one in several rounds of answers.
   */
  #isOverloaded = false;
  #answersSinceChange = 0;
  /** Whether the climb ended because the server queues requests. */
  #queues = false;
  #overloadedAt = Number.NEGATIVE_INFINITY;
  /** The number in flight at which the server was overloaded last. */
  #tooMany = Number.POSITIVE_INFINITY;
  /** Whether each of the last requests ended because of overload. */
  #endings: boolean[] = [];
  readonly #latencies: Record<Step, Latencies> = {
    reading: { recent: [], usual: Number.POSITIVE_INFINITY, atLastCut: Number.POSITIVE_INFINITY },
    strategy: { recent: [], usual: Number.POSITIVE_INFINITY, atLastCut: Number.POSITIVE_INFINITY },
  };

  /** @param timeoutMs after how many milliseconds a request is given up */
  constructor(most: number, timeoutMs: number) {
    this.#most = most;
    this.#timeoutMs = timeoutMs;
    this.#current = Math.min(FIRST, most);
  }

  get current(): number {
    return Math.floor(Math.min(this.#current, this.#most));
  }

  /** Changes the configured number. If it grows, what is in flight may grow as fast as at the start. */
  setMost(most: number): void {
    const before = this.#most;
    this.#most = Math.max(1, most);
    if (this.#most > before && !this.#isOverloaded) this.#start ??= { latencies: [], before: null };
  }

  /** An answer arrived, after this latency. */
  answered(now: number, step: Step, latencyMs: number): void {
    this.#ended(false);
    this.#least = Math.min(this.#least, Math.max(1, latencyMs));
    this.#answersSinceChange += 1;
    if (this.#isSlow(step, latencyMs)) this.#cut(now, Math.min(this.#current, this.#most));
    else if (this.#start) this.#climb(now, latencyMs, this.#start);
    else if (!this.#isWatching() && this.#isTimeToGrow(now)) this.#grow(now);
  }

  /** Requests were refused for their rate while this many were in flight. */
  refused(now: number, inFlight: number): void {
    this.#cut(now, inFlight);
  }

  /** A request has timed out, or its connection was cut off, while this many were in flight. */
  overloaded(now: number, sentAt: number, inFlight: number): void {
    // A request that was sent before the last cut says nothing about the lower number.
    if (sentAt < this.#overloadedAt) return;
    this.#ended(true);
    const count = this.#endings.filter(Boolean).length;
    if (count < OVERLOADS || count < OVERLOADED_SHARE * this.#endings.length) return;
    this.#endings = [];
    this.#overloadedAt = now;
    this.#isOverloaded = true;
    this.#tooMany = Math.min(this.#current, inFlight);
    this.#cut(now, inFlight);
  }

  #ended(isOverload: boolean): void {
    this.#endings.push(isOverload);
    if (this.#endings.length > ENDINGS) this.#endings.shift();
  }

  #climb(now: number, latencyMs: number, start: Climb): void {
    const safe = (SAFE_SHARE * this.#timeoutMs) / this.#least;
    if (safe > this.#current) this.#set(now, safe);
    if (this.#current >= this.#most) {
      this.#start = null;
      return;
    }
    start.latencies.push(latencyMs);
    if (start.latencies.length < this.#current) return;
    const median = start.latencies.toSorted((a, b) => a - b)[start.latencies.length >> 1] ?? latencyMs;
    const { before } = start;
    if (before && median > QUEUES * before.median) {
      this.#start = null;
      this.#isOverloaded = true;
      this.#queues = true;
      this.#set(now, before.current);
      return;
    }
    this.#start = { latencies: [], before: { current: this.#current, median } };
    this.#set(now, this.#current * START_GROWTH);
  }

  #isTimeToGrow(now: number): boolean {
    const rounds =
      this.#current + 1 >= this.#tooMany ? ROUNDS_BEFORE_TOO_MANY : this.#queues ? ROUNDS_OF_QUEUE : ROUNDS;
    if (this.#isOverloaded) return this.#answersSinceChange >= rounds * this.#current;
    return now - this.#changedAt >= GROWTH_EVERY_MS;
  }

  #cut(now: number, from: number): void {
    this.#start = null;
    this.#set(now, Math.min(this.#current, from * CUT));
  }

  #grow(now: number): void {
    this.#set(now, this.#isOverloaded ? this.#current + 1 : this.#current * GROWTH + 1);
    if (this.#current === this.#most) this.#isOverloaded = false;
  }

  #set(now: number, wanted: number): void {
    this.#current = Math.max(1, Math.min(this.#most, wanted));
    this.#changedAt = now;
    this.#answersSinceChange = 0;
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

/** A round of the start: its latencies so far, and the number in flight and the median latency of the round before. */
interface Climb {
  latencies: number[];
  before: { current: number; median: number } | null;
}

interface Latencies {
  recent: number[];
  /** The lowest median of a window. */
  usual: number;
  /** The median that caused the last cut, while its effect is unknown. */
  atLastCut: number;
}
