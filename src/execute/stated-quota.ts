import type { QuotaState } from "../providers/provider.ts";
import { LONGEST_PROBE_MS } from "./closed-window.ts";

const MINUTE_MS = 60_000;

/** Resets are often stated in whole seconds. */
const ROUNDING_MS = 1_500;
/** How long after a reset the next request is sent, because clocks differ. */
const MARGIN_MS = 100;

/**
 * A limit that the provider states in its headers, with an estimate of what is left of it now. It is a bucket or a window.
 * A bucket refills all the time. Its reset is the time when it will be full, so every request makes the reset later. A
 * window refills at its reset, which requests do not change. So it is a bucket if requests make the reset later.
 */
export class StatedQuota {
  #limit = Number.POSITIVE_INFINITY;
  /** How much of a bucket refills per millisecond. */
  #perMs = 0;
  #level = Number.POSITIVE_INFINITY;
  #at = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  /** Above 0 if the statements so far fit a window better than a bucket. */
  #windowVotes = 0;
  /** The end of the window; null if it is unknown. */
  #resetAt: number | null = null;
  /** An earlier statement, to compare its reset. */
  #before: { resetAt: number; used: number } | null = null;

  get isKnown(): boolean {
    return Number.isFinite(this.#limit);
  }

  get #isWindow(): boolean {
    return this.#windowVotes > 0 && this.#resetAt !== null;
  }

  /** Milliseconds until a request may be sent. One is sent at least every ten minutes: a statement may be wrong. */
  wait(now: number, cost: number): number {
    if (!this.isKnown) return 0;
    const needed = Math.min(this.#limit, cost + this.#reserve());
    const missing = needed - this.#levelAt(now);
    if (missing <= 0) return 0;
    const untilProbe = Math.max(0, this.#at + LONGEST_PROBE_MS - now);
    if (this.#isWindow) return Math.min(untilProbe, (this.#resetAt ?? now) + MARGIN_MS - now);
    return Math.min(untilProbe, this.#perMs > 0 ? missing / this.#perMs : MINUTE_MS);
  }

  /** Counts a request that is sent now. */
  spend(now: number, cost: number): void {
    this.#level = this.#levelAt(now) - cost;
    this.#at = now;
  }

  /**
   * Updates the limit with the state in a response. The provider computed it when it received the request, so requests
   * that were sent later are not counted in it. If some were, the refill since then would make up for them.
   * @param spentSince the amount sent after the request
   */
  observe(
    { limit, remaining, resetMs: statedMs, isTime }: QuotaState,
    sentAt: number,
    now: number,
    spentSince: number,
  ): void {
    if (sentAt < this.#sentAt) return;
    this.#sentAt = sentAt;
    const used = limit - remaining;
    const resetAt = statedMs === null ? null : (isTime ? now : sentAt) + statedMs;
    const resetMs = resetAt === null ? null : resetAt - sentAt;
    // A reset after more than a minute belongs to a longer time, such as a day.
    const isMinute = resetMs === null || resetMs <= MINUTE_MS * 1.1 || used <= 0;
    this.#perMs = isMinute ? limit / MINUTE_MS : used / resetMs;
    this.#limit = limit;
    this.#compare(resetAt, used);
    const refilled = this.#isWindow ? 0 : (now - sentAt) * this.#perMs;
    this.#level = Math.min(limit, remaining + refilled) - spentSince;
    this.#at = now;
  }

  /** Compares the reset with an earlier one. It says nothing if too little was used in between. */
  #compare(resetAt: number | null, used: number): void {
    const before = this.#before;
    this.#resetAt = resetAt;
    if (resetAt === null) {
      this.#before = null;
      return;
    }
    if (!before || used < before.used) {
      this.#before = { resetAt, used };
      return;
    }
    const expectedMs = (used - before.used) / this.#perMs;
    if (expectedMs < 2 * ROUNDING_MS) return;
    const isFixed = resetAt - before.resetAt < expectedMs / 2;
    this.#windowVotes = Math.max(-3, Math.min(3, this.#windowVotes + (isFixed ? 1 : -1)));
    this.#before = { resetAt, used };
  }

  #levelAt(now: number): number {
    if (this.#isWindow) {
      const isOver = this.#resetAt !== null && now >= this.#resetAt + MARGIN_MS && this.#at < this.#resetAt + MARGIN_MS;
      return isOver ? this.#limit : this.#level;
    }
    return Math.min(this.#limit, this.#level + (now - this.#at) * this.#perMs);
  }

  /** The amount kept back, so that a wrong estimate does not lead to a refused request. */
  #reserve(): number {
    return Math.min(this.#perMs * 250, this.#limit / 20);
  }
}
