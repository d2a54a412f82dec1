/** This many failures in a row, over this time, are an outage. */
const ENOUGH_FAILURES = 3;
const ENOUGH_MS = 1_000;

/** The pause after a failure while an outage is suspected, so that quick refusals do not cause a rush of requests. */
const SUSPECTED_MS = 100;

const FIRST_PROBE_MS = 1_000;
const LONGEST_PROBE_MS = 5_000;

/**
 * Notices when a provider no longer answers. Then one request at a time probes it until it answers again. The caller
 * passes the time.
 */
export class Outage {
  readonly #giveUpAfterMs: number;
  #answeredAt: number;
  #failures = 0;
  /** Whether a request has failed since the last answer, be it for its rate. */
  #hasFailed = false;
  #failedAt = 0;
  #probes = 0;
  #nextProbeAt = 0;

  constructor(giveUpAfterMs: number, now: number) {
    this.#giveUpAfterMs = giveUpAfterMs;
    this.#answeredAt = now;
  }

  /** Whether only probes may be sent. */
  get isOn(): boolean {
    return this.#probes > 0;
  }

  /** Whether enough requests have failed in a row that only one may be sent at a time. */
  get isSuspected(): boolean {
    return this.#failures >= ENOUGH_FAILURES;
  }

  /** Whether it has failed, and not answered for the time after which a run gives up. */
  isOver(now: number): boolean {
    return this.#hasFailed && now - this.#answeredAt >= this.#giveUpAfterMs;
  }

  /** Milliseconds until the next request may be sent. */
  wait(now: number): number {
    if (this.isOn) return Math.max(0, this.#nextProbeAt - now);
    return this.isSuspected ? Math.max(0, this.#failedAt + SUSPECTED_MS - now) : 0;
  }

  /** The provider answered a request, perhaps with a refusal. @returns whether this ended an outage */
  answered(now: number): boolean {
    const wasOn = this.isOn;
    this.#answeredAt = now;
    this.#failures = 0;
    this.#hasFailed = false;
    this.#probes = 0;
    return wasOn;
  }

  /**
   * A request failed in a way that may pass.
   * @param isRefusal whether it was refused for its rate: then the provider is up, but gives no answers
   * @param patienceMs the run does not give up before the provider has answered nothing for this long
   * @returns whether this began an outage, and in how many milliseconds the run gives up; at 0 or less it does so now
   */
  failed(now: number, isRefusal: boolean, patienceMs = 0): { hasBegun: boolean; leftMs: number } {
    const silentMs = now - this.#answeredAt;
    const wasOn = this.isOn;
    this.#hasFailed = true;
    if (!isRefusal) {
      this.#failures += 1;
      this.#failedAt = now;
      if (wasOn || (this.#failures >= ENOUGH_FAILURES && silentMs >= ENOUGH_MS)) this.#planProbe(now);
    }
    return { hasBegun: this.isOn && !wasOn, leftMs: Math.max(this.#giveUpAfterMs, patienceMs) - silentMs };
  }

  #planProbe(now: number): void {
    // Requests that were in flight when the outage began fail together, and count as one probe.
    if (now < this.#nextProbeAt) return;
    this.#nextProbeAt = now + Math.min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 1.5 ** this.#probes);
    this.#probes += 1;
  }
}
