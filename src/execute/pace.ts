import type { QuotaState, RateLimits } from "../providers/provider.ts";

/*
 * How fast requests may be sent. The caller passes the time to every method, in milliseconds of one clock.
 *
 * Three limits slow requests down: the limits of the config; the limits in the provider's headers, whose buckets are
 * tracked here; and, if the headers state no limits, a rate that is learned from refused requests.
 */

/** The limits that a config sets. */
export interface ConfiguredLimits {
  requestsPerMinute: number | undefined;
  tokensPerMinute: number | undefined;
}

/** A sent request, and the counts at that moment. */
export interface Ticket {
  readonly sentAt: number;
  readonly tokens: number;
  /** The totals sent until then, including this request. */
  readonly total: { readonly requests: number; readonly tokens: number };
}

/** How a request ended, for the pace. */
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

  /** Whether any limit depends on the tokens of requests. */
  get countsTokens(): boolean {
    return this.#configured.tokens !== null || this.#stated.tokens.isKnown;
  }

  /** Milliseconds until a request with this many tokens may be sent; 0 means now. */
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

  /** @returns whether the rate was lowered because of refusals */
  end({ sentAt, total }: Ticket, now: number, ending: Ending, limits: RateLimits | null): boolean {
    const since = { requests: this.#total.requests - total.requests, tokens: this.#total.tokens - total.tokens };
    if (limits?.requests) this.#stated.requests.observe(limits.requests, sentAt, now, since.requests);
    if (limits?.tokens) this.#stated.tokens.observe(limits.tokens, sentAt, now, since.tokens);
    return this.#learned.end(sentAt, now, ending);
  }
}

/**
 * A limit of the config. The bucket holds one second's worth, so that a minute's worth is spread over its seconds. A
 * request that costs more is sent when the bucket is full. It leaves a debt, for which later requests wait.
 */
class Budget {
  readonly #perMs: number;
  readonly #capacity: number;
  #level: number;
  #at: number;

  constructor(perMinute: number, now: number) {
    this.#perMs = perMinute / MINUTE_MS;
    this.#capacity = this.#perMs * 1_000;
    // Start nearly empty, so that the limit holds in the first minute, too.
    this.#level = Math.min(this.#capacity, 1);
    this.#at = now;
  }

  wait(now: number, cost: number): number {
    const missing = Math.min(cost, this.#capacity) - this.#levelAt(now);
    // A shortage of less than a millisecond's worth comes from rounding.
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

/** A bucket of the provider, as stated in its headers, with an estimate of its present level. */
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
   * Updates the bucket with the state in a response. The provider computed it when it received the request, so requests
   * that were sent later are not counted in it. If some were, the refill since then would make up for them.
   * @param spentSince the amount sent after the request
   */
  observe({ limit, remaining, resetMs }: QuotaState, sentAt: number, now: number, spentSince: number): void {
    if (sentAt < this.#observedSentAt) return;
    this.#observedSentAt = sentAt;
    const used = limit - remaining;
    // A reset after more than a minute belongs to a longer window, such as a day.
    const isMinute = resetMs === null || resetMs <= MINUTE_MS * 1.1 || used <= 0;
    this.#perMs = isMinute ? limit / MINUTE_MS : used / resetMs;
    this.#limit = limit;
    this.#level = Math.min(limit, remaining + (now - sentAt) * this.#perMs) - spentSince;
    this.#at = now;
  }

  #levelAt(now: number): number {
    return Math.min(this.#limit, this.#level + (now - this.#at) * this.#perMs);
  }

  /** The amount kept back, so that a wrong estimate does not lead to a refused request. */
  #reserve(): number {
    return Math.min(this.#perMs * 250, this.#limit / 20);
  }
}

/** A rate that is learned from refusals without stated limits: it falls to the rate that got through, then grows. */
class LearnedRate {
  /** Requests per millisecond; infinite until enough of them are refused. */
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
   * An epoch counts only requests that were sent in it, because earlier ones were sent at an older rate. A request that is
   * not refused yet counts as let through: refusals come quickly, and answers take time.
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

  /** Grows faster the longer nothing was refused, but slowly beyond the highest rate that got through. */
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
/** One request per minute. */
const SLOWEST_PER_MS = 1 / MINUTE_MS;

interface Epoch {
  startedAt: number;
  lastSentAt: number;
  sent: number;
  refused: number;
  /** Whether this rate made a request wait. If not, the epoch says nothing about a higher rate. */
  isHeldBack: boolean;
}

function newEpoch(now: number): Epoch {
  return { startedAt: now, lastSentAt: now, sent: 0, refused: 0, isHeldBack: false };
}
