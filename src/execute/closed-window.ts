/**
 * A row of refusals counts as a closed window only if its probability by chance is lower than this. The chance follows
 * from the share of requests that is refused anyway.
 */
export const UNLIKELY_ROW = 3e-3;
/** The same per millisecond: the more requests are sent, the more often such a row comes by chance. */
const UNLIKELY_PER_MS = 3e-4;
/** The same for a row that shows that the limit is a window. */
const UNLIKELY_WINDOW = 1e-5;
/** The lowest share of refused requests that is assumed. */
const LEAST_SHARE = 0.05;
/** The highest share that is assumed: with a share near 1, no row would be unlikely. */
const MOST_SHARE = 0.7;
/** The lowest share is weighted like the result of this many requests. */
const PRIOR = 20;
/** The limit can be a window only if at least this many probes were refused: a bucket would have refilled. */
const WINDOW_PROBES = 2;

/** Or, if the provider said how long to wait, only if it was closed for this long: a bucket refills sooner. */
const STATED_WINDOW_MS = 5_000;

/** The first probe is sent after the stated wait divided by this: the wait may concern only the refused call. */
const FIRST_PROBE_PART = 64;

const SHORTEST_GAP_MS = 50;
const LONGEST_FIRST_GAP_MS = 1_000;
/** If the provider asks for a longer wait, a probe is still sent after this time: the stated wait may be wrong. */
export const LONGEST_PROBE_MS = 600_000;

/**
 * The usual lengths of windows, and how long after the end of one a probe is sent. A window begins with a unit of the
 * calendar, such as a minute, or with its first request.
 */
const UNITS: readonly { ms: number; margin: number }[] = [
  { ms: 1_000, margin: 30 },
  { ms: 60_000, margin: 250 },
  { ms: 3_600_000, margin: 1_000 },
  { ms: 86_400_000, margin: 2_000 },
];

/** What is known when a window opens again. */
interface Opening {
  openedAt: number;
  closedMs: number;
  /** Whether the refusals were so many, for so long, that the limit is a window, and not chance or a bucket. */
  isWindow: boolean;
  /** The requests from the first refused one of the row to the last one. */
  inRow: { sent: number; refused: number };
}

/** The requests since the window opened, and what is known about the limit. */
interface Flow {
  /** Whether headers state a limit. Then the time when it ends is known, and probes only check it. */
  isLimitKnown: boolean;
  /** The share of requests that is refused, however fast they are sent. */
  base: number;
  /** How many requests were sent and refused since the window opened, including those of the row. */
  sent: number;
  refused: number;
  /** Requests per millisecond. */
  perMs: number;
  openedAt: number;
  /** The time between two openings; 0 if unknown. */
  windowMs: number;
}

interface Closed {
  at: number;
  openedAt: number;
  /** When the last refused request was sent. */
  refusedAt: number;
  /** The time between the refusal and the first probe. */
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
 * Notices when all requests are refused, because the limit of a window is used up. Until the window opens again, only
 * single probes are sent: at longer and longer intervals, and when a unit of the calendar begins. The caller passes the
 * time.
 */
export class ClosedWindow {
  readonly #wallOffset: number;
  /** Refusals in a row, by the numbers of their requests; null after an accepted request. */
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

  /** How long a refusal takes to arrive. */
  get refusalMs(): number {
    return this.#refusalMs;
  }

  /** When the probe in flight counts as accepted: a refusal would have arrived by then, because refusals come fast. */
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

  /** @param number the number of the refused request, from 1 */
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
    // With many requests, such a row comes by chance more often.
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

  /** When to send the next probe: after the stated wait, when a window may have opened, or after a longer pause. */
  #next(now: number, closed: Closed, retryAfterMs: number | null): number {
    if (retryAfterMs !== null) {
      // The wait may concern only the refused call. The first probe shows it.
      const first = Math.max(closed.gapMs, retryAfterMs / FIRST_PROBE_PART);
      const pauseMs = Math.min(LONGEST_PROBE_MS, retryAfterMs, closed.refusedProbes === 0 ? first : Infinity);
      // Some providers state how long the window is, however soon it ends.
      return Math.min(now + pauseMs, this.#nextOpening(now, closed, retryAfterMs));
    }
    const gapMs = Math.max(closed.gapMs, (now - closed.at > 60_000 ? 3 : 2) * (now - closed.at));
    const after = now + (closed.isLimitKnown ? Math.min(LONGEST_PROBE_MS, gapMs) : gapMs);
    const next = this.#nextOpening(now, closed, closed.gapMs / 2);
    // If a window may open soon after the pause, one probe at that time is enough.
    return next <= after + (after - now) / 2 ? next : after;
  }

  /** When a window may open next. @param leastMs the length of the shortest window that is possible */
  #nextOpening(now: number, closed: Closed, leastMs: number): number {
    const openings = UNITS.filter(({ ms }) => ms >= leastMs).flatMap(({ ms, margin }) => {
      const beginning = (Math.floor((now + this.#wallOffset - margin) / ms) + 1) * ms + margin - this.#wallOffset;
      // Only the first two beginnings of each unit: a window that stays closed longer is longer than the unit.
      const isNear = beginning - closed.at <= 2 * ms + margin;
      const since = closed.openedAt + ms + margin;
      return [isNear ? beginning : Number.POSITIVE_INFINITY, since > now ? since : Number.POSITIVE_INFINITY];
    });
    return Math.min(...openings);
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

  /** When the window opened: between the last refusal and the probe, at the beginning of a unit if there is one. */
  #openingOf({ refusedAt, probe, openedAt }: Closed): number {
    const until = probe?.sentAt ?? refusedAt;
    const units = UNITS.toReversed();
    const beginnings = units.map(({ ms }) => Math.floor((until + this.#wallOffset) / ms) * ms - this.#wallOffset);
    const known = [...beginnings, ...units.map(({ ms }) => openedAt + ms)];
    return known.find((at) => at > refusedAt && at <= until) ?? (refusedAt + until) / 2;
  }
}
