import type { QuotaState, RateLimits } from "../providers/provider.ts";

/*
 * How fast requests may be sent. Pure: every method is told the time, in milliseconds of one clock.
 *
 * Three things hold requests back, each for its own reason: the limits of the config, which are kept; the limits that
 * the provider's headers state, whose buckets are followed as the provider counts them; and, where nothing is stated,
 * a rate that refused requests have taught.
 */

/** The limits that a config sets. */
export interface ConfiguredLimits {
  requestsPerMinute: number | undefined;
  tokensPerMinute: number | undefined;
}

/** A request that was sent, and where the counts stood then. */
export interface Ticket {
  readonly sentAt: number;
  readonly tokens: number;
  /** All that was sent until then, this request included. */
  readonly total: { readonly requests: number; readonly tokens: number };
}

/** How a request ended, as far as the pace is concerned. */
export type Ending = "accepted" | "rate_limited" | "failed";

const MINUTE_MS = 60_000;

export class Pace {
  readonly #configured: { requests: Budget | null; tokens: Budget | null };
  readonly #stated = { requests: new StatedQuota(), tokens: new StatedQuota() };
  readonly #learned: LearnedRate;
  #total = { requests: 0, tokens: 0 };

  constructor({ requestsPerMinute, tokensPerMinute }: ConfiguredLimits, now: number) {
    this.#configured = {
      requests: requestsPerMinute === undefined ? null : new Budget(requestsPerMinute, now),
      tokens: tokensPerMinute === undefined ? null : new Budget(tokensPerMinute, now),
    };
    this.#learned = new LearnedRate(now);
  }

  /** Whether what a request costs in tokens makes a difference. */
  get countsTokens(): boolean {
    return this.#configured.tokens !== null || this.#stated.tokens.isKnown;
  }

  /** Milliseconds until a request that is charged with so many tokens may be sent; 0 is now. */
  wait(now: number, tokens: number): number {
    return Math.max(
      this.#configured.requests?.wait(now, 1) ?? 0,
      this.#configured.tokens?.wait(now, tokens) ?? 0,
      this.#stated.requests.wait(now, 1),
      this.#stated.tokens.wait(now, tokens),
      this.#learned.wait(now),
    );
  }

  send(now: number, tokens: number): Ticket {
    this.#configured.requests?.spend(now, 1);
    this.#configured.tokens?.spend(now, tokens);
    this.#stated.requests.spend(1);
    this.#stated.tokens.spend(tokens);
    this.#learned.spend(now);
    this.#total = { requests: this.#total.requests + 1, tokens: this.#total.tokens + tokens };
    return { sentAt: now, tokens, total: this.#total };
  }

  /** @returns whether so many requests were refused that the rate has been lowered */
  end({ sentAt, total }: Ticket, now: number, ending: Ending, limits: RateLimits | null): boolean {
    const since = { requests: this.#total.requests - total.requests, tokens: this.#total.tokens - total.tokens };
    if (limits?.requests) this.#stated.requests.observe(limits.requests, sentAt, now, since.requests);
    if (limits?.tokens) this.#stated.tokens.observe(limits.tokens, sentAt, now, since.tokens);
    return this.#learned.end(sentAt, now, ending);
  }
}

/**
 * A limit of the config: a bucket of one second's worth, so that a minute's worth is spread over its seconds. What costs
 * more than that is sent when the bucket is full, and leaves a debt that later requests wait for.
 */
class Budget {
  readonly #perMs: number;
  readonly #capacity: number;
  #level: number;
  #at: number;

  constructor(perMinute: number, now: number) {
    this.#perMs = perMinute / MINUTE_MS;
    this.#capacity = this.#perMs * 1_000;
    // Not a second's worth at once: the first minute is kept too.
    this.#level = Math.min(this.#capacity, 1);
    this.#at = now;
  }

  wait(now: number, cost: number): number {
    const missing = Math.min(cost, this.#capacity) - this.#levelAt(now);
    // Less than a thousandth of a second's worth is the rounding of sums.
    return missing <= this.#perMs ? 0 : missing / this.#perMs;
  }

  spend(now: number, cost: number): void {
    this.#level = this.#levelAt(now) - cost;
    this.#at = now;
  }

  #levelAt(now: number): number {
    return Math.min(this.#capacity, this.#level + (now - this.#at) * this.#perMs);
  }
}

/** A bucket that the provider keeps and states in its headers, as it is thought to stand now. */
class StatedQuota {
  #limit = Number.POSITIVE_INFINITY;
  #perMs = 0;
  #level = Number.POSITIVE_INFINITY;
  #at = 0;
  #observedSentAt = Number.NEGATIVE_INFINITY;

  get isKnown(): boolean {
    return Number.isFinite(this.#limit);
  }

  wait(now: number, cost: number): number {
    if (!this.isKnown) return 0;
    const needed = Math.min(this.#limit, cost + this.#reserve());
    const missing = needed - this.#levelAt(now);
    return missing <= 0 ? 0 : this.#perMs > 0 ? missing / this.#perMs : MINUTE_MS;
  }

  spend(cost: number): void {
    this.#level -= cost;
  }

  /**
   * Takes over what the provider states. It stated it when it took the request, so what was sent since then is not in
   * it; were it in it, the refill of the same time would make up for it.
   * @param spentSince what was sent after the request
   */
  observe({ limit, remaining, resetMs }: QuotaState, sentAt: number, now: number, spentSince: number): void {
    if (sentAt < this.#observedSentAt) return;
    this.#observedSentAt = sentAt;
    const used = limit - remaining;
    // A reset beyond a minute tells of a longer window, such as a day.
    const isMinute = resetMs === null || resetMs <= MINUTE_MS * 1.1 || used <= 0;
    this.#perMs = isMinute ? limit / MINUTE_MS : used / resetMs;
    this.#limit = limit;
    this.#level = Math.min(limit, remaining + (now - sentAt) * this.#perMs) - spentSince;
    this.#at = now;
  }

  #levelAt(now: number): number {
    return Math.min(this.#limit, this.#level + (now - this.#at) * this.#perMs);
  }

  /** Kept back, so that a miscount is no refused request. */
  #reserve(): number {
    return Math.min(this.#perMs * 250, this.#limit / 20);
  }
}

/** Requests that are refused though nothing is stated teach a rate: it falls to what is let through, then grows. */
class LearnedRate {
  /** Requests a millisecond; infinite until enough of them are refused. */
  #perMs = Number.POSITIVE_INFINITY;
  #next = 0;
  #letThrough = 0;
  #cleanEpochs = 0;
  #epoch: Epoch;

  constructor(now: number) {
    this.#epoch = newEpoch(now);
  }

  wait(now: number): number {
    const wait = Math.max(0, this.#next - now);
    if (wait > 0) this.#epoch.isHeldBack = true;
    return wait;
  }

  spend(now: number): void {
    this.#next = Math.max(now - 1 / this.#perMs, this.#next) + 1 / this.#perMs;
    this.#epoch.sent += 1;
    this.#epoch.lastSentAt = now;
  }

  /**
   * Only requests that were sent in an epoch count in it: those before it tell of an older rate. One that is not
   * refused counts as let through, as refusals come fast and answers take their time.
   */
  end(sentAt: number, now: number, ending: Ending): boolean {
    const epoch = this.#epoch;
    if (sentAt < epoch.startedAt) return false;
    if (ending === "rate_limited") epoch.refused += 1;
    else if (ending === "failed") epoch.sent -= 1;
    const share = epoch.refused / epoch.sent;
    const elapsed = now - epoch.startedAt;
    const isLong = (elapsed >= 1_000 && epoch.sent >= 10) || (elapsed >= 5_000 && epoch.sent >= 4);
    const isTooFast = (isLong && share > TOO_MANY) || (epoch.sent >= HEAVY_COUNT && share >= HEAVY_SHARE);
    if (isTooFast) {
      this.#slowDown(now);
    } else if (isLong) {
      if (share < FEW && epoch.isHeldBack) this.#speedUp(epoch.sent);
      else this.#cleanEpochs = 0;
      this.#epoch = newEpoch(now);
    }
    return isTooFast;
  }

  #slowDown(now: number): void {
    const { sent, refused, startedAt, lastSentAt } = this.#epoch;
    const perMs = sent / Math.max(1, lastSentAt - startedAt);
    const current = Math.min(this.#perMs, perMs);
    this.#letThrough = perMs * (1 - refused / sent);
    const wanted = Math.min(Math.max(this.#letThrough, current * LARGEST_CUT), current * SMALLEST_CUT);
    this.#perMs = Math.max(SLOWEST_PER_MS, wanted);
    this.#next = now + 1 / this.#perMs;
    this.#cleanEpochs = 0;
    this.#epoch = newEpoch(now);
  }

  /** By more the longer nothing was refused, but carefully beyond what was once let through. */
  #speedUp(sent: number): void {
    const growth = 0.05 * Math.min(1, sent / 30) * 2 ** this.#cleanEpochs;
    this.#perMs *= 1 + Math.min(this.#perMs < this.#letThrough ? 0.5 : 0.1, growth);
    this.#cleanEpochs += 1;
  }
}

const TOO_MANY = 0.08;
const FEW = 0.02;
const HEAVY_COUNT = 12;
const HEAVY_SHARE = 0.6;
const LARGEST_CUT = 0.3;
const SMALLEST_CUT = 0.97;
/** One request in a minute. */
const SLOWEST_PER_MS = 1 / MINUTE_MS;

interface Epoch {
  startedAt: number;
  lastSentAt: number;
  sent: number;
  refused: number;
  /** Whether this rate has kept a request waiting: otherwise nothing was learned about a higher one. */
  isHeldBack: boolean;
}

function newEpoch(now: number): Epoch {
  return { startedAt: now, lastSentAt: now, sent: 0, refused: 0, isHeldBack: false };
}
