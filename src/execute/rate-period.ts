/** A period in which requests are sent at one rate, with the results of these requests. */
export interface RatePeriod {
  startedAt: number;
  lastSentAt: number;
  sent: number;
  refused: number;
  /** How many were sent since the last refusal arrived. */
  sentSince: number;
  /** Whether this rate has made a request wait. If not, the period says nothing about a higher rate. */
  isHeldBack: boolean;
  /** The share of refused requests. */
  readonly share: number;
  /** Requests per millisecond. */
  readonly perMs: number;
}

export function newPeriod(now: number): RatePeriod {
  return {
    startedAt: now,
    lastSentAt: now,
    sent: 0,
    refused: 0,
    sentSince: 0,
    isHeldBack: false,
    get share() {
      return this.sent > 0 ? this.refused / this.sent : 0;
    },
    get perMs() {
      return this.sent / Math.max(1, this.lastSentAt - this.startedAt);
    },
  };
}
