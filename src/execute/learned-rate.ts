import { ClosedWindow, UNLIKELY_ROW } from "./closed-window.ts";
import { type RatePeriod, newPeriod } from "./rate-period.ts";

/** How a request ended, as far as the pace is concerned. */
export type Ending = "accepted" | "rate_limited" | "failed";

/** A period with fewer refusals says too little. */
const ENOUGH_REFUSED = 3;
/** A period with one or two refusals ends after this many requests without another. */
const ENOUGH_SINCE = 15;
const TOO_MANY = 0.03;
const FEW = 0.01;
const HEAVY_COUNT = 12;
/** With this many requests, even a short period says enough. */
const MANY_SENT = 250;
const ENOUGH_ROWS = 3;
const HEAVY_REFUSED = 6;
const HEAVY_SHARE = 0.7;
/** The same share among fewer requests. */
const HEAVY_SHARE_OF_FEW = 0.9;
const HEAVY_SENT = 40;
const LARGEST_CUT = 0.3;
const SMALLEST_CUT = 0.97;
/** The share of a limit that is used. At a steady rate just below the limit, the window never closes. */
const USED = 0.97;
/** This many accepted requests between two openings show how many a window allows. */
const ENOUGH_ACCEPTED = 5;
/** After this many periods without a refusal, the lower rate has helped. */
const CLEAN = 3;
/** Up to this factor of the rate that was accepted before, the rate grows only in small steps. */
const NEAR = 1.1;
const SURELY_BELOW = 0.6;
/** A new window must be closed for at least this share of the time between two openings: a bucket refills sooner. */
const CLOSED_SHARE = 0.05;
/** If a larger share than this was refused before the row, the limit is not a window. */
const MIXED = 0.05;
const SHORTEST_STEP_MS = 20;
const RAMP_STEPS = 8;
const NO_CYCLES = { windows: 0, accepted: 0, ms: 0 };
/** One request in ten minutes. */
const SLOWEST_PER_MS = 1 / 600_000;

/**
 * Learns from refused requests how fast requests may be sent.
 * - If some requests are refused while others are accepted, the rate is higher than a bucket refills. It falls to the rate
 *   of the accepted requests. If the share of refusals stays the same at the lower rate, it does not depend on the rate,
 *   and the earlier rate is restored.
 * - If all requests are refused, a window is closed ({@link ClosedWindow}). When it opens again, the new rate is the number of
 *   requests that were accepted since the last opening, divided by the time since then. At this rate the window never
 *   closes.
 *
 * The rate grows while nothing is refused. The caller passes the time, in milliseconds of one clock.
 */
export class LearnedRate {
  /** Requests per millisecond; infinite until enough of them are refused. */
  #perMs = Number.POSITIVE_INFINITY;
  #next: number;
  #letThrough = 0;
  #cleanPeriods = 0;
  #period: RatePeriod;
  readonly #window: ClosedWindow;
  #sent = 0;
  /** The requests that were sent and refused since the last opening. */
  #cycle: { openedAt: number; sent: number; refused: number };
  /** The time between two openings; 0 if no window is known. */
  #windowMs = 0;
  #grownAt: number;
  /** The slow start after an opening: when it began, and how many requests were sent before; null once it is over. */
  #ramp: { at: number; sent: number } | null = null;
  /** The share of requests that is refused, however fast they are sent. */
  #base = 0;
  /** How many rows of refusals, one after the other, came sooner than this share explains. */
  #rows = 0;
  /** Whether too many were refused in the last period. */
  #hasMany = false;
  #trial: Trial | null = null;
  /** The rate before it was lowered, while refusals go on. */
  #from: number | null = null;
  /** The sums over the latest openings after which only few requests were accepted. */
  #few = NO_CYCLES;

  /** @param wallOffset the number to add to a time to get milliseconds since 1970 */
  constructor(now: number, wallOffset: number) {
    this.#next = now;
    this.#grownAt = now;
    this.#period = newPeriod(now);
    this.#cycle = { openedAt: now, sent: 0, refused: 0 };
    this.#window = new ClosedWindow(wallOffset);
  }

  wait(now: number): number {
    const opening = this.#window.openingAt;
    if (opening !== null && now >= opening) this.#open(now);
    if (this.#window.isClosed) return this.#window.wait(now);
    const wait = Math.max(0, this.#next - now, this.#rampWait(now));
    if (wait > 0) this.#period.isHeldBack = true;
    return wait;
  }

  /** After an opening, the number of requests doubles whenever a refusal would have had time to arrive. */
  #rampWait(now: number): number {
    const ramp = this.#ramp;
    if (!ramp) return 0;
    const stepMs = Math.max(SHORTEST_STEP_MS, 1.5 * this.#window.refusalMs);
    const steps = Math.floor((now - ramp.at) / stepMs);
    if (steps >= RAMP_STEPS) {
      this.#ramp = null;
      return 0;
    }
    return this.#sent - ramp.sent < 2 ** (steps + 1) ? 0 : ramp.at + (steps + 1) * stepMs - now;
  }

  send(now: number): void {
    this.#sent += 1;
    this.#cycle.sent += 1;
    if (this.#window.isClosed) {
      this.#window.sendProbe(now, this.#sent);
      return;
    }
    this.#next = Math.max(now - 1 / this.#perMs, this.#next) + 1 / this.#perMs;
    this.#period.sent += 1;
    this.#period.sentSince += 1;
    this.#period.lastSentAt = now;
  }

  /**
   * Counts a request that has ended. A period counts only the requests that were sent in it: earlier ones were sent at
   * another rate. A request in flight counts as accepted, because refusals arrive sooner than answers.
   * @param number the number of the request, from 1
   * @returns whether so many requests were refused that the rate has been lowered
   */
  end(
    number: number,
    sentAt: number,
    now: number,
    ending: Ending,
    stated: { retryAfterMs: number | null; isLimitKnown: boolean },
  ): boolean {
    if (ending === "rate_limited" && sentAt >= this.#cycle.openedAt) this.#cycle.refused += 1;
    const { probe } = this.#window;
    if (ending === "accepted" && this.#window.accepted(number)) this.#open(now);
    if (ending === "rate_limited") {
      this.#window.refused(number, sentAt, now, stated.retryAfterMs, {
        isLimitKnown: stated.isLimitKnown,
        base: this.#base,
        sent: this.#cycle.sent,
        refused: this.#cycle.refused,
        perMs: this.#perMs,
        openedAt: this.#cycle.openedAt,
        windowMs: this.#windowMs,
      });
    }
    if (sentAt < this.#period.startedAt || number === probe) return false;
    if (ending === "rate_limited") {
      this.#period.refused += 1;
      this.#period.sentSince = 0;
    } else if (ending === "failed") this.#period.sent -= 1;
    // A row of refusals may mean that a window closes. Until that is known, it says nothing about the rate.
    return this.#window.isClosed || this.#window.hasRow ? false : this.#judge(now);
  }

  #judge(now: number): boolean {
    const { share, sent, refused, startedAt, isHeldBack } = this.#period;
    const elapsed = now - startedAt;
    const isLong =
      (elapsed >= 1_000 && sent >= 10) || (elapsed >= 5_000 && sent >= 4) || (elapsed >= 250 && sent >= MANY_SENT);
    const most = this.#base > 0 ? 2 * this.#base + 0.05 : TOO_MANY;
    const isEnough = sent >= HEAVY_COUNT || (elapsed >= 1_000 && refused >= HEAVY_REFUSED);
    const heavy = sent >= HEAVY_SENT ? HEAVY_SHARE : HEAVY_SHARE_OF_FEW;
    if (isEnough && share >= Math.max(heavy, most)) {
      this.#slowDown(now);
      this.#trial = null;
      return true;
    }
    if (!isLong) return false;
    if (this.#trial) return this.#try(this.#trial, now);
    const isMany = share > most;
    // Few refusals among few requests say nothing about the share, so the period continues.
    if (isMany && refused < ENOUGH_REFUSED) {
      if (this.#period.sentSince >= ENOUGH_SINCE) this.#period = newPeriod(now);
      return false;
    }
    if (isMany) {
      // In the first such period, a full bucket may have accepted more than it refills. Only the second one counts.
      const isSure = this.#hasMany || Number.isFinite(this.#perMs);
      this.#hasMany = true;
      if (!isSure) {
        this.#period = newPeriod(now);
        return false;
      }
      this.#from ??= this.#perMs;
      this.#trial = { from: this.#from, share, isSecond: false, sent: 0, refused: 0 };
      this.#slowDown(now);
      return true;
    }
    this.#hasMany = false;
    if (this.#base > 0) this.#base = 0.9 * this.#base + 0.1 * share;
    if (share < FEW + 1.5 * this.#base && isHeldBack) this.#speedUp(now, sent);
    else if (!isHeldBack || refused > 0) this.#cleanPeriods = 0;
    this.#period = newPeriod(now);
    return false;
  }

  /**
   * Decides whether a lower rate has helped. If hardly any request is refused now, it has. If the share of refusals is the
   * same as before, it does not depend on the rate.
   * @returns whether the rate has been lowered further
   */
  #try(trial: Trial, now: number): boolean {
    const sent = trial.sent + this.#period.sent;
    const refused = trial.refused + this.#period.refused;
    const share = refused / sent;
    const isAlike = share >= Math.max(TOO_MANY, 0.3 * trial.share) && share <= 1.5 * trial.share;
    const isSure = isAlike && isSurelyAbove(refused, FEW * sent);
    if (isSure && trial.isSecond) {
      this.#trial = null;
      this.#base = share;
      this.#perMs = trial.from;
      this.#from = null;
      this.#next = now;
    } else if (isSure) {
      // The accepted rate may have been measured too high, because the bucket was not empty. A much lower rate decides.
      this.#trial = { ...trial, share, isSecond: true, sent: 0, refused: 0 };
      this.#setRate(now, SURELY_BELOW * Math.min(this.#perMs, this.#period.perMs));
      return true;
    } else if (sent * trial.share >= (refused === 0 ? 4 : 8) && share < Math.max(TOO_MANY, 0.3 * trial.share)) {
      this.#trial = null;
      if (trial.isSecond) this.#perMs /= SURELY_BELOW;
    } else if (isSurelyAbove(refused, 1.5 * trial.share * sent) || sent * trial.share >= 12) {
      this.#trial = { ...trial, share, isSecond: false, sent: 0, refused: 0 };
      if (trial.isSecond) this.#perMs /= SURELY_BELOW;
      this.#slowDown(now);
      return true;
    } else {
      this.#trial = { ...trial, sent, refused };
    }
    this.#period = newPeriod(now);
    return false;
  }

  #slowDown(now: number): void {
    const { perMs, share, startedAt } = this.#period;
    const current = Math.min(this.#perMs, perMs);
    // More requests are refused than before, so refusals do depend on the rate.
    this.#base = 0;
    const letThrough = perMs * (1 - share);
    // In a short time, most of the accepted requests may come from what was left in the bucket.
    this.#letThrough = now - startedAt >= 1_000 ? letThrough : Number.POSITIVE_INFINITY;
    const wanted = Math.min(Math.max(USED * letThrough, current * LARGEST_CUT), current * SMALLEST_CUT);
    this.#setRate(now, wanted);
  }

  #setRate(now: number, perMs: number): void {
    this.#perMs = Math.max(SLOWEST_PER_MS, perMs);
    this.#next = now + 1 / this.#perMs;
    this.#cleanPeriods = 0;
    this.#grownAt = now;
    this.#period = newPeriod(now);
  }

  /** A window has opened again: its first request has been accepted, or counts as accepted now. */
  #open(now: number): void {
    const { openedAt, closedMs, isWindow: isClosing, inRow } = this.#window.open();
    const { sent, refused } = this.#cycle;
    const cycleMs = openedAt - this.#cycle.openedAt;
    // A window refuses nothing before it is used up.
    const before = { sent: sent - 1 - inRow.sent, refused: refused - inRow.refused };
    const isPart = closedMs >= CLOSED_SHARE * cycleMs || Math.abs(cycleMs - this.#windowMs) < cycleMs / 5;
    const isWindow = isClosing && isPart && before.refused < Math.max(ENOUGH_REFUSED, MIXED * before.sent);
    const accepted = sent - refused - 1;
    this.#cycle = { openedAt, sent: 1, refused: 0 };
    this.#next = now;
    this.#ramp = { at: now, sent: this.#sent };
    // If nothing was accepted, the refusals say nothing about the time after the opening.
    if (accepted <= 0) this.#period = newPeriod(now);
    this.#doubtBase(accepted);
    const few = accepted < ENOUGH_ACCEPTED ? this.#few : NO_CYCLES;
    const { windows, ...all } = {
      windows: few.windows + Number(isWindow),
      accepted: few.accepted + accepted,
      ms: few.ms + cycleMs,
    };
    const isEnough = all.accepted >= ENOUGH_ACCEPTED;
    // If few requests are accepted after each opening, the rate is measured over several openings.
    this.#few = isEnough ? NO_CYCLES : { windows, ...all };
    if (windows === 0 || !isEnough) return void this.#judge(now);
    this.#windowMs = cycleMs;
    this.#from = null;
    this.#setRate(now, Math.min(this.#perMs, (all.accepted / all.ms) * USED));
    this.#next = now;
    this.#letThrough = this.#perMs;
    this.#period = newPeriod(now);
  }

  /** If refusals come at random, long rows of them are rare. Rows that come soon after each other are due to a limit. */
  #doubtBase(accepted: number): void {
    if (this.#base === 0) return;
    const usual = this.#base ** -Math.ceil(Math.log(UNLIKELY_ROW) / Math.log(this.#base));
    this.#rows = accepted < usual / 4 ? this.#rows + 1 : 0;
    if (this.#rows < ENOUGH_ROWS) return;
    this.#rows = 0;
    this.#base = 0;
  }

  /**
   * Raises the rate: by more, the longer nothing was refused, but only in small steps near the rate that was accepted
   * before. If a window is known, it is raised once per window.
   */
  #speedUp(now: number, sent: number): void {
    if (now - this.#grownAt < this.#windowMs) return;
    const isNear =
      this.#windowMs === 0 && this.#perMs >= 0.95 * this.#letThrough && this.#perMs < NEAR * this.#letThrough;
    const first = isNear ? 0.01 : 0.05 * (this.#windowMs > 0 ? 1 : Math.min(1, sent / 30));
    const most = this.#windowMs > 5_000 ? 0.25 : isNear ? 0.04 : this.#perMs < this.#letThrough ? 0.5 : 0.1;
    const growth = first * 2 ** this.#cleanPeriods;
    this.#perMs *= 1 + Math.min(most, growth);
    this.#cleanPeriods += 1;
    if (this.#cleanPeriods >= CLEAN) this.#from = null;
    this.#grownAt = now;
  }
}

/** Whether a count is so far above the expected one that chance does not explain it. */
function isSurelyAbove(count: number, expected: number): boolean {
  return count >= expected + 3 * Math.sqrt(expected) + 1;
}

/** A trial of a lower rate: the share of requests that was refused before it, and the requests since then. */
interface Trial {
  /** The rate before it was lowered. */
  from: number;
  /** Whether the rate was lowered a second time, to be certainly below the accepted rate. */
  isSecond: boolean;
  share: number;
  sent: number;
  refused: number;
}
