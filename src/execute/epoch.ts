/** A time in which requests are sent at one rate, and what became of them. */
export interface Epoch {
  startedAt: number;
  lastSentAt: number;
  sent: number;
  refused: number;
  /** How many were sent since a refusal came. */
  sentSince: number;
  /** Whether this rate has kept a request waiting: otherwise nothing was learned about a higher one. */
  isHeldBack: boolean;
  readonly share: number;
  /** Requests a millisecond. */
  readonly perMs: number;
}

export function newEpoch(now: number): Epoch {
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
