/** So many failures in a row, for so long, are an outage and not bad luck. */
const ENOUGH_FAILURES = 3;
const ENOUGH_MS = 1_000;

/** How long a request waits after a failure while an outage is suspected: what is refused at once is not sent in a rush. */
const SUSPECTED_MS = 100;

const FIRST_PROBE_MS = 1_000;
const LONGEST_PROBE_MS = 5_000;

/**
 * Notices when a provider answers nothing any more. Then a single request at a time probes it until it answers again.
 * Pure: it is told the time.
 */
export class Outage {
  readonly #giveUpAfterMs: number;
  #answeredAt: number;
  #failures = 0;
  #failedAt = 0;
  #probes = 0;
  #nextProbeAt = 0;

  constructor(giveUpAfterMs: number, now: number) {
    this.#giveUpAfterMs = giveUpAfterMs;
    this.#answeredAt = now;
  }

  /** Whether only probes are to be sent. */
  get isOn(): boolean {
    return this.#probes > 0;
  }

  /** Whether enough requests have failed in a row to send no more than one until it is known what that means. */
  get isSuspected(): boolean {
    return this.#failures >= ENOUGH_FAILURES;
  }

  /** Milliseconds until the next request may be sent. */
  wait(now: number): number {
    if (this.isOn) return Math.max(0, this.#nextProbeAt - now);
    return this.isSuspected ? Math.max(0, this.#failedAt + SUSPECTED_MS - now) : 0;
  }

  /** The provider answered a request, be it to say that it cannot be answered. @returns whether an outage is over */
  answered(now: number): boolean {
    const wasOn = this.isOn;
    this.#answeredAt = now;
    this.#failures = 0;
    this.#probes = 0;
    return wasOn;
  }

  /**
   * A request failed in a way that passes.
   * @param isRefusal whether it was refused for its rate: then the provider is there, but no answer came
   * @returns whether an outage has begun, and whether it has lasted so long that the run gives up
   */
  failed(now: number, isRefusal: boolean): { hasBegun: boolean; isHopeless: boolean } {
    const silentMs = now - this.#answeredAt;
    const wasOn = this.isOn;
    if (!isRefusal) {
      this.#failures += 1;
      this.#failedAt = now;
      if (wasOn || (this.#failures >= ENOUGH_FAILURES && silentMs >= ENOUGH_MS)) this.#planProbe(now);
    }
    return { hasBegun: this.isOn && !wasOn, isHopeless: silentMs >= this.#giveUpAfterMs };
  }

  #planProbe(now: number): void {
    // Requests that were in flight when it began fail together; they are one probe.
    if (now < this.#nextProbeAt) return;
    this.#nextProbeAt = now + Math.min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 1.5 ** this.#probes);
    this.#probes += 1;
  }
}
