import { type Ending, LearnedRate } from "./learned-rate.ts";
import { StatedQuota } from "./stated-quota.ts";
import type { RateLimits } from "../providers/provider.ts";

/*
 * How fast requests may be sent. The caller passes the time to every method, in milliseconds of one clock.
 *
 * Three limits slow requests down: the limits of the config; the limits in the provider's headers, which are tracked here
 * as buckets or windows; and a rate that is learned from refused requests.
 */

/** The limits that a config sets. */
export interface ConfiguredLimits {
  requestsPerMinute: number | undefined;
  tokensPerMinute: number | undefined;
}

/** The tokens that a request takes from the limits. */
export interface TokenCost {
  /** Those of its prompt. */
  input: number;
  /** Those of the longest answer that it allows. A limit on all tokens counts them when the request comes. */
  longestOutput: number;
  /** Those of an answer as it usually is. A limit on the tokens of answers counts them as they are generated. */
  usualOutput: number;
}

/** For requests whose tokens no limit counts. */
export const NO_TOKENS: TokenCost = { input: 0, longestOutput: 0, usualOutput: 0 };

/** A wait in milliseconds, and its cause. */
export interface Wait {
  ms: number;
  for: "configured_limit" | "stated_limit" | "refused_requests";
}

/** A sent request, and the counts at that moment. */
export interface Ticket {
  readonly sentAt: number;
  /** The totals sent until then, including this request. */
  readonly total: Readonly<Cost>;
}

/** What is taken from each limit that a provider may state. */
type Cost = Record<keyof RateLimits, number>;

const LIMITS = ["requests", "tokens", "inputTokens", "outputTokens"] as const satisfies (keyof RateLimits)[];

/** What a response says about limits. */
interface Stated {
  limits: RateLimits | null;
  retryAfterMs: number | null;
}

const MINUTE_MS = 60_000;

/** A rest of this share may be too little for one request. */
const NEARLY_USED_UP = 0.05;

export class Pace {
  readonly #configured: { requests: Budget | null; tokens: Budget | null };
  readonly #stated: Record<keyof RateLimits, StatedQuota> = {
    requests: new StatedQuota(),
    tokens: new StatedQuota(),
    inputTokens: new StatedQuota(),
    outputTokens: new StatedQuota(),
  };
  readonly #learned: LearnedRate;
  #total: Cost = { requests: 0, tokens: 0, inputTokens: 0, outputTokens: 0 };

  constructor({ requestsPerMinute, tokensPerMinute }: ConfiguredLimits, now: number, wallOffset: number) {
    this.#configured = {
      requests: requestsPerMinute === undefined ? null : new Budget(requestsPerMinute, now),
      tokens: tokensPerMinute === undefined ? null : new Budget(tokensPerMinute, now),
    };
    this.#learned = new LearnedRate(now, wallOffset);
  }

  /** Whether any limit depends on the tokens of requests. */
  get countsTokens(): boolean {
    const { tokens, inputTokens, outputTokens } = this.#stated;
    return this.#configured.tokens !== null || tokens.isKnown || inputTokens.isKnown || outputTokens.isKnown;
  }

  /** How long a request with this many tokens has to wait, and why. It may be sent now if that is 0. */
  wait(now: number, tokens: TokenCost): Wait {
    const cost = costOf(tokens);
    const waits: Wait[] = [
      {
        ms: Math.max(
          this.#configured.requests?.wait(now, 1) ?? 0,
          this.#configured.tokens?.wait(now, cost.tokens) ?? 0,
        ),
        for: "configured_limit",
      },
      {
        ms: Math.max(...LIMITS.map((limit) => this.#stated[limit].wait(now, cost[limit]))),
        for: "stated_limit",
      },
      { ms: this.#learned.wait(now), for: "refused_requests" },
    ];
    return waits.reduce((longest, wait) => (wait.ms > longest.ms ? wait : longest));
  }

  send(now: number, tokens: TokenCost): Ticket {
    const cost = costOf(tokens);
    this.#configured.requests?.spend(now, 1);
    this.#configured.tokens?.spend(now, cost.tokens);
    const total = { ...this.#total };
    for (const limit of LIMITS) {
      this.#stated[limit].spend(now, cost[limit]);
      total[limit] += cost[limit];
    }
    this.#learned.send(now);
    this.#total = total;
    return { sentAt: now, total };
  }

  /**
   * Learns from the end of a request.
   * @returns whether the rate was lowered because of refusals
   */
  end({ sentAt, total }: Ticket, now: number, ending: Ending, { limits, retryAfterMs }: Stated): boolean {
    for (const limit of LIMITS) {
      const quota = limits?.[limit];
      if (quota) this.#stated[limit].observe(quota, sentAt, now, this.#total[limit] - total[limit]);
    }
    const isLimitKnown = LIMITS.some((limit) => this.#stated[limit].isKnown);
    return this.#learned.end(total.requests, sentAt, now, ending, { retryAfterMs, isLimitKnown });
  }
}

function costOf({ input, longestOutput, usualOutput }: TokenCost): Cost {
  return { requests: 1, tokens: input + longestOutput, inputTokens: input, outputTokens: usualOutput };
}

/** How long a refusal says to wait, in milliseconds; 0 if it says nothing. */
export function statedWait(limits: RateLimits | null, retryAfterMs: number | null): number {
  const resets = LIMITS.map((limit) => {
    const quota = limits?.[limit];
    const isUsedUp = quota && quota.remaining <= quota.limit * NEARLY_USED_UP;
    return isUsedUp ? (quota.resetMs ?? 0) : 0;
  });
  return Math.max(retryAfterMs ?? 0, ...resets);
}

/**
 * A limit of the config. The bucket holds what the limit allows in one second, so that requests are spread over the
 * minute. A request that costs more is sent when the bucket is full. It leaves a debt, for which later requests wait.
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
