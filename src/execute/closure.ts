/** How unlikely a row of refusals has to be, by the share of requests that is refused anyway, to be no chance. */
export const UNLIKELY_ROW = 3e-3;
/** And in a millisecond. */
const UNLIKELY_PER_MS = 3e-4;
/** And how unlikely one has to be that tells of a window. */
const UNLIKELY_WINDOW = 1e-5;
/** The share of refusals that is reckoned with at least. */
const LEAST_SHARE = 0.05;
/** And at most: beyond it there is no telling. */
const MOST_SHARE = 0.7;
/** So many requests the least share counts as. */
const PRIOR = 20;
/** Refused probes that a window needs at least: a bucket refills meanwhile. */
const WINDOW_PROBES = 2;

/** A bucket refills sooner than what a provider states that keeps windows. */
const STATED_WINDOW_MS = 5_000;

/** Of a stated wait, the part after which the first probe is sent. */
const FIRST_PROBE_PART = 64;

const SHORTEST_GAP_MS = 50;
const LONGEST_FIRST_GAP_MS = 1_000;
/** A provider that asks to wait longer is probed at this time: it may have been wrong, or been mended. */
export const LONGEST_PROBE_MS = 600_000;

/** The lengths of windows, of the calendar or from the first request on, and how long after their end a probe is sent. */
const UNITS: readonly { ms: number; margin: number }[] = [
  { ms: 1_000, margin: 30 },
  { ms: 60_000, margin: 250 },
  { ms: 3_600_000, margin: 1_000 },
  { ms: 86_400_000, margin: 2_000 },
];

/** The end of a closed time. */
interface Opening {
  openedAt: number;
  closedMs: number;
  /** Whether so many refusals in a row, for so long, tell of a window rather than of chance or a bucket. */
  isWindow: boolean;
  /** From the first refused request of the row to the last one. */
  inRow: { sent: number; refused: number };
}

/** What flows while the window is open. */
interface Flow {
  /** Whether headers state a limit: then its end is known, and the probes only check it. */
  isLimitKnown: boolean;
  /** The share of requests that is refused at any rate. */
  base: number;
  /** How many were sent and refused lately, those of the row included. */
  sent: number;
  refused: number;
  /** Requests a millisecond. */
  perMs: number;
  openedAt: number;
  /** The time between two openings; 0 where it is not known. */
  windowMs: number;
}

interface Closed {
  at: number;
  openedAt: number;
  /** When the last request was sent that was refused. */
  refusedAt: number;
  /** Between the refusal and the first probe. */
  gapMs: number;
  share: number;
  refusedProbes: number;
  /** Whether the provider said how long to wait. */
  isStated: boolean;
  isLimitKnown: boolean;
  nextProbeAt: number;
  /** The probe in flight. */
  probe: { number: number; sentAt: number } | null;
}

/**
 * Notices when everything is refused: a window is used up. Then single probes are sent, ever more seldom and at the
 * beginnings of calendar units, until one of them is let through. Pure: it is handed the time.
 */
export class Closure {
  readonly #wallOffset: number;
  /** Refusals in a row, by the numbers of their requests; null after a request that was let through. */
  #row: { first: number; last: number; count: number } | null = null;
  #closed: Closed | null = null;
  /** The longest time that a refusal has taken lately. */
  #refusalMs = 0;

  constructor(wallOffset: number) {
    this.#wallOffset = wallOffset;
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Whether requests are refused in a row, so that a window may be closing. */
  get hasRow(): boolean {
    return this.#row !== null && this.#row.count > 1;
  }

  /** The number of the probe in flight. */
  get probe(): number | null {
    return this.#closed?.probe?.number ?? null;
  }

  /** How long a refusal takes to come. */
  get refusalMs(): number {
    return this.#refusalMs;
  }

  /** When the probe in flight counts as let through, as refusals come fast and answers take their time. */
  get openingAt(): number | null {
    const probe = this.#closed?.probe;
    return probe ? probe.sentAt + 100 + 3 * this.#refusalMs : null;
  }

  /** Milliseconds until a probe may be sent. */
  wait(now: number): number {
    const at = this.openingAt ?? this.#closed?.nextProbeAt ?? now;
    return Math.max(0, at - now);
  }

  sendProbe(now: number, number: number): void {
    if (this.#closed) this.#closed.probe = { number, sentAt: now };
  }

  /** @returns whether the window has opened */
  accepted(number: number): boolean {
    if (this.#closed) return this.#closed.probe !== null && number >= this.#closed.probe.number;
    if (this.#row && number > this.#row.first) this.#row = null;
    return false;
  }

  /**
   * @param number which of all requests was refused
   */
  refused(number: number, sentAt: number, now: number, retryAfterMs: number | null, flow: Flow): void {
    this.#refusalMs = Math.max(now - sentAt, this.#refusalMs * 0.9);
    this.#count(number);
    if (this.#closed) this.#again(this.#closed, number, sentAt, now, retryAfterMs);
    else if (this.#isRow(now, flow)) {
      const { perMs, openedAt, windowMs } = flow;
      const share = this.#shareBeside(flow);
      const longest = Math.max(LONGEST_FIRST_GAP_MS, windowMs / 20);
      const gapMs = Math.min(longest, Math.max(SHORTEST_GAP_MS, 2 / perMs));
      this.#closed = {
        at: now,
        openedAt,
        refusedAt: sentAt,
        gapMs,
        share,
        refusedProbes: 0,
        isStated: retryAfterMs !== null,
        isLimitKnown: flow.isLimitKnown,
        nextProbeAt: 0,
        probe: null,
      };
      this.#closed.nextProbeAt = this.#next(now, this.#closed, retryAfterMs);
    }
  }

  #count(number: number): void {
    const row = this.#row;
    if (!row || (row.count + 1) / (Math.max(row.last, number) - row.first + 1) < 0.5) {
      this.#row = { first: number, last: number, count: 1 };
    } else {
      row.first = Math.min(row.first, number);
      row.last = Math.max(row.last, number);
      row.count += 1;
    }
  }

  #isRow(now: number, flow: Flow): boolean {
    const row = this.#row;
    if (!row || row.count < 2) return false;
    const isAll = row.count / (row.last - row.first + 1) >= 0.8;
    // Where many requests are sent, chance has as many occasions.
    const sentPerMs = flow.sent / Math.max(1, now - flow.openedAt);
    const unlikely = Math.min(UNLIKELY_ROW, UNLIKELY_PER_MS / sentPerMs);
    return isAll && this.#shareBeside(flow) ** row.count < unlikely;
  }

  /** The share of requests that is refused outside the row. */
  #shareBeside({ base, sent, refused }: Flow): number {
    const row = this.#row ?? { first: 0, last: -1, count: 0 };
    const others = Math.max(0, sent - (row.last - row.first + 1));
    const share = (Math.max(0, refused - row.count + 1) + LEAST_SHARE * PRIOR) / (others + PRIOR);
    return Math.min(MOST_SHARE, Math.max(LEAST_SHARE, base, share));
  }

  #again(closed: Closed, number: number, sentAt: number, now: number, retryAfterMs: number | null): void {
    if (closed.probe && number >= closed.probe.number) {
      closed.probe = null;
      closed.refusedProbes += 1;
      closed.refusedAt = sentAt;
      closed.nextProbeAt = this.#next(now, closed, retryAfterMs);
    } else if (retryAfterMs !== null) {
      closed.nextProbeAt = Math.max(closed.nextProbeAt, this.#next(now, closed, retryAfterMs));
    }
  }

  /** When the next probe is sent: when the provider says, else when a window may have opened, else ever more seldom. */
  #next(now: number, closed: Closed, retryAfterMs: number | null): number {
    if (retryAfterMs !== null) {
      // It may be meant for its call alone: the first probe finds out.
      const asked = closed.refusedProbes === 0 ? Math.max(closed.gapMs, retryAfterMs / FIRST_PROBE_PART) : retryAfterMs;
      return now + Math.min(LONGEST_PROBE_MS, retryAfterMs, asked);
    }
    const gapMs = Math.max(closed.gapMs, (now - closed.at > 60_000 ? 3 : 2) * (now - closed.at));
    const after = now + (closed.isLimitKnown ? Math.min(LONGEST_PROBE_MS, gapMs) : gapMs);
    const openings = UNITS.filter(({ ms }) => ms > closed.gapMs / 2).flatMap(({ ms, margin }) => {
      const beginning = (Math.floor((now + this.#wallOffset - margin) / ms) + 1) * ms + margin - this.#wallOffset;
      // Of each unit only two: a window that is closed for longer is of a longer one.
      const isNear = beginning - closed.at <= 2 * ms + margin;
      const since = closed.openedAt + ms + margin;
      return [isNear ? beginning : Number.POSITIVE_INFINITY, since > now ? since : Number.POSITIVE_INFINITY];
    });
    const next = Math.min(...openings);
    // Where a window may open soon after, one probe does.
    return next <= after + (after - now) / 2 ? next : after;
  }

  open(): Opening {
    const row = this.#row ?? { first: 0, last: -1, count: 0 };
    const closed = this.#closed;
    this.#row = null;
    this.#closed = null;
    const inRow = { sent: row.last - row.first + 1, refused: row.count };
    if (!closed) return { openedAt: 0, closedMs: 0, isWindow: false, inRow };
    const openedAt = this.#openingOf(closed);
    const isLong =
      closed.refusedProbes >= WINDOW_PROBES || (closed.isStated && openedAt - closed.at >= STATED_WINDOW_MS);
    return {
      openedAt,
      closedMs: openedAt - closed.at,
      isWindow: isLong && closed.share ** row.count < UNLIKELY_WINDOW,
      inRow,
    };
  }

  /** When the window has opened: between the last refusal and the probe, where a unit begins if one does. */
  #openingOf({ refusedAt, probe, openedAt }: Closed): number {
    const until = probe?.sentAt ?? refusedAt;
    const units = UNITS.toReversed();
    const beginnings = units.map(({ ms }) => Math.floor((until + this.#wallOffset) / ms) * ms - this.#wallOffset);
    const known = [...beginnings, ...units.map(({ ms }) => openedAt + ms)];
    return known.find((at) => at > refusedAt && at <= until) ?? (refusedAt + until) / 2;
  }
}
