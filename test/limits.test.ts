import { describe, expect, test } from "vitest";
import { NO_TOKENS, Pace } from "../src/execute/pace.ts";
import type { QuotaState } from "../src/providers/provider.ts";
import { randomOf } from "./simulation/random.ts";

/*
 * How much of a limit is used, and how much refused, over five windows after the one in which a request was refused
 * first: for windows of the calendar and buckets, stated in headers or learned from refusals alone. In simulated time.
 */

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A provider's limit: whether it takes a request now, and what it says with each. */
interface Limit {
  takes: (now: number) => boolean;
  retryAfterMs?: (now: number) => number;
  /** What is stated, with resets as times of the simulation's clock. */
  states?: (now: number) => { limit: number; remaining: number; resetAt: number; isTime: boolean };
}

type Scale = (now: number) => number;
const CONSTANT: Scale = () => 1;

/** So many requests in each window, which begins with a unit of the calendar. */
function calendar(limit: number, windowMs: number, wallOffset: number, scale = CONSTANT) {
  let window = -1;
  let taken = 0;
  const endOf = (now: number) => windowMs - ((now + wallOffset) % windowMs);
  const most = (now: number) => limit * scale(now);
  const takes = (now: number) => {
    const current = Math.floor((now + wallOffset) / windowMs);
    if (current !== window) taken = 0;
    window = current;
    if (taken >= most(now)) return false;
    taken += 1;
    return true;
  };
  return {
    bare: { takes },
    asking: { takes, retryAfterMs: (now: number) => Math.ceil(endOf(now) / SECOND) * SECOND },
    askingForAWindow: { takes, retryAfterMs: () => windowMs },
    stating: (isTime: boolean): Limit => ({
      takes,
      states: (now) => ({
        limit: most(now),
        remaining: Math.max(0, most(now) - taken),
        resetAt: now + (isTime ? endOf(now) : Math.ceil(endOf(now) / SECOND) * SECOND),
        isTime,
      }),
    }),
  };
}

/** A bucket that refills all the time. */
function bucket(limit: number, perMs: number, capacity: number, scale = CONSTANT) {
  let level = capacity;
  let at = 0;
  const refill = (now: number) => {
    level = Math.min(capacity * scale(now), level + (now - at) * perMs * scale(now));
    at = now;
  };
  const takes = (now: number) => {
    refill(now);
    if (level < 1) return false;
    level -= 1;
    return true;
  };
  return {
    bare: { takes },
    stating: (isTime: boolean): Limit => ({
      takes,
      states: (now) => {
        refill(now);
        const fullInMs = (capacity * scale(now) - level) / (perMs * scale(now));
        const resetAt = now + (isTime ? fullInMs : Math.ceil(fullInMs / SECOND) * SECOND);
        return { limit: limit * scale(now), remaining: Math.floor(level), resetAt, isTime };
      },
    }),
  };
}

interface Seen {
  at: number;
  isTaken: boolean;
}

interface Setting {
  wallOffset?: number;
  concurrency?: number;
  latencyMs?: number;
  /** How many requests somebody else has sent before. */
  usedUp?: number;
}

/** Sends an endless line of requests, and tells what arrived at the provider. */
function send(limit: Limit, forMs: number, setting: Setting = {}): Seen[] {
  const { wallOffset = 0, concurrency = 32, latencyMs = 400, usedUp = 0 } = setting;
  const random = randomOf(7).next;
  const pace = new Pace({ requestsPerMinute: undefined, tokensPerMinute: undefined }, 0, wallOffset);
  const seen: Seen[] = [];
  const events: { at: number; run: () => void }[] = [];
  let now = 0;
  let inFlight = 0;
  let hasAnswer = false;
  let isWaiting = false;
  for (let one = 0; one < usedUp; one += 1) limit.takes(0);
  const later = (ms: number, run: () => void) => {
    const at = now + ms;
    events.splice(events.findLastIndex((event) => event.at > at) + 1, 0, { at, run });
  };
  const pump = () => {
    while (inFlight < (hasAnswer ? concurrency : Math.min(5, concurrency))) {
      const { ms } = pace.wait(now, NO_TOKENS);
      if (ms > 0) {
        if (!isWaiting) later(Math.min(MINUTE, Math.max(1, ms)), () => [(isWaiting = false), pump()]);
        isWaiting = true;
        return;
      }
      ask();
    }
  };
  const ask = () => {
    const ticket = pace.send(now, NO_TOKENS);
    inFlight += 1;
    later(3 + random() * 4, () => {
      const isTaken = limit.takes(now);
      const retryAfterMs = isTaken ? null : (limit.retryAfterMs?.(now) ?? null);
      const stated = limit.states?.(now);
      const statedAt = now;
      seen.push({ at: now, isTaken });
      later(isTaken ? latencyMs * (0.5 + random()) : 15 * (0.5 + random()), () => {
        inFlight -= 1;
        hasAnswer ||= isTaken;
        let requests: QuotaState | null = null;
        if (stated) {
          const resetMs = Math.max(0, stated.resetAt - (stated.isTime ? now : statedAt));
          requests = { limit: stated.limit, remaining: stated.remaining, resetMs, isTime: stated.isTime };
        }
        const limits = requests && { requests, tokens: null, inputTokens: null, outputTokens: null };
        pace.end(ticket, now, isTaken ? "accepted" : "rate_limited", { limits, retryAfterMs });
        pump();
      });
    });
  };
  later(0, pump);
  for (let event = events.pop(); event && event.at <= forMs; event = events.pop()) {
    now = event.at;
    event.run();
  }
  return seen;
}

/** The share of what is allowed that was used, and the share of requests that was refused. */
function measure(seen: readonly Seen[], from: number, to: number, allowed: number) {
  const inside = seen.filter(({ at }) => at > from && at <= to);
  const taken = inside.filter(({ isTaken }) => isTaken).length;
  return { used: taken / allowed, refused: 1 - taken / inside.length };
}

/** Over five windows after the first refused request. */
function overFiveWindows(seen: readonly Seen[], limit: number, windowMs: number, wallOffset: number) {
  const first = seen.find(({ isTaken }) => !isTaken)?.at ?? 0;
  const from = Math.ceil((first + wallOffset) / windowMs) * windowMs - wallOffset;
  return measure(seen, from, from + 5 * windowMs, 5 * limit);
}

const WINDOWS = [
  ["second", SECOND, 0.35],
  ["minute", MINUTE, 0],
  ["minute", MINUTE, 0.35],
  ["minute", MINUTE, 0.93],
  ["hour", HOUR, 0],
  ["hour", HOUR, 0.93],
  ["day", DAY, 0.35],
] as const;

describe("a calendar window that only refusals tell of", () => {
  for (const [name, windowMs, begin] of WINDOWS) {
    for (const limit of [120, 1_000]) {
      // What a day begins with weighs more where it has few requests.
      const mostRefused = name === "day" && limit === 120 ? 0.08 : 0.05;
      test(`of a ${name} with ${limit} requests, begun at ${begin}`, () => {
        const setting = { wallOffset: begin * windowMs, concurrency: 64, latencyMs: name === "second" ? 60 : 400 };
        const bare = calendar(limit, windowMs, setting.wallOffset).bare;
        const { used, refused } = overFiveWindows(
          send(bare, 8 * windowMs, setting),
          limit,
          windowMs,
          setting.wallOffset,
        );
        expect(used).toBeGreaterThan(0.84);
        expect(refused).toBeLessThan(mostRefused);
      });
    }
  }

  test("is used from its end on where a run begins in a used-up window", () => {
    for (const [, windowMs, begin] of WINDOWS.filter(([name]) => name === "minute" || name === "hour")) {
      const setting = { wallOffset: begin * windowMs, usedUp: 1_000 };
      const seen = send(calendar(1_000, windowMs, setting.wallOffset).bare, 8 * windowMs, setting);
      const { used, refused } = overFiveWindows(seen, 1_000, windowMs, setting.wallOffset);
      expect(used).toBeGreaterThan(0.85);
      expect(refused).toBeLessThan(0.05);
    }
  });

  test("is used as well with Retry-After", () => {
    for (const windowMs of [MINUTE, HOUR]) {
      const wallOffset = 0.35 * windowMs;
      const seen = send(calendar(120, windowMs, wallOffset).asking, 8 * windowMs, { wallOffset });
      const { used, refused } = overFiveWindows(seen, 120, windowMs, wallOffset);
      expect(used).toBeGreaterThan(0.85);
      expect(refused).toBeLessThan(0.05);
    }
  });
});

describe("a calendar window whose Retry-After is always its whole length, as LiteLLM has it", () => {
  for (const [name, windowMs] of [
    ["minute", MINUTE],
    ["hour", HOUR],
  ] as const) {
    for (const usedUp of [0, 120]) {
      test(`is used: a ${name}, of which ${usedUp} requests are used up at the beginning`, () => {
        for (const begin of [0, 0.35, 0.6, 0.93]) {
          const wallOffset = begin * windowMs;
          const limit = calendar(120, windowMs, wallOffset).askingForAWindow;
          const seen = send(limit, 8 * windowMs, { wallOffset, usedUp });
          const { used, refused } = overFiveWindows(seen, 120, windowMs, wallOffset);
          expect(used).toBeGreaterThan(0.85);
          expect(refused).toBeLessThan(0.05);
        }
      });
    }
  }

  test("is waited for no longer where its clock is behind ours", () => {
    // The window is closed at 40 seconds by our clock, and opens 3 seconds after our minute.
    const limit = calendar(120, MINUTE, 37 * SECOND).askingForAWindow;
    const seen = send(limit, 3 * MINUTE, { wallOffset: 40 * SECOND, usedUp: 120 });
    const first = seen.find(({ isTaken }) => isTaken)?.at ?? Number.POSITIVE_INFINITY;
    expect(first).toBeLessThanOrEqual(MINUTE + 2 * SECOND);
  });
});

describe("a limit that headers state", () => {
  for (const [name, windowMs] of [
    ["minute", MINUTE],
    ["hour", HOUR],
    ["day", DAY],
  ] as const) {
    for (const isTime of [false, true]) {
      test(`as a window of a ${name}, its reset as ${isTime ? "a time" : "a duration"}`, () => {
        const wallOffset = 0.35 * windowMs;
        const limit = calendar(1_000, windowMs, wallOffset).stating(isTime);
        const seen = send(limit, 8 * windowMs, { wallOffset, latencyMs: 1_500 });
        const { used, refused } = measure(seen, 0.65 * windowMs, 5.65 * windowMs, 5_000);
        expect(used).toBeGreaterThan(0.85);
        expect(refused).toBeLessThan(0.05);
      });

      test(`as a bucket of a ${name}, its reset as ${isTime ? "a time" : "a duration"}`, () => {
        const limit = bucket(1_000, 1_000 / windowMs, 1_000).stating(isTime);
        const seen = send(limit, 6 * windowMs, { latencyMs: 1_500 });
        const { used, refused } = measure(seen, windowMs, 6 * windowMs, 5_000);
        expect(used).toBeGreaterThan(0.85);
        expect(refused).toBeLessThan(0.05);
      });
    }
  }

  test("as a window of a day that is used up is probed every ten minutes", () => {
    const limit = calendar(100, DAY, 0).stating(true);
    const seen = send(limit, DAY, { usedUp: 100 }).filter(({ at }) => at > MINUTE);
    expect(seen.length).toBeGreaterThan(130);
    expect(seen.length).toBeLessThan(150);
  });
});

describe("thirty minutes with the limit halved and doubled", () => {
  /** Halved after ten minutes, and doubled after twenty. */
  const scale: Scale = (now) => (now >= 10 * MINUTE && now < 20 * MINUTE ? 0.5 : 1);
  const ALLOWED = 25 * 1_000;

  test("as OpenAI states it: a bucket, its reset as a duration", () => {
    const seen = send(bucket(1_000, 1_000 / MINUTE, 1_000, scale).stating(false), 30 * MINUTE, { latencyMs: 1_500 });
    const { used, refused } = measure(seen, 0, 30 * MINUTE, ALLOWED);
    expect(used).toBeGreaterThan(0.95);
    expect(refused).toBeLessThan(0.02);
  });

  test("as Anthropic states it: a bucket, its reset as a time", () => {
    const seen = send(bucket(1_000, 1_000 / MINUTE, 1_000, scale).stating(true), 30 * MINUTE, { latencyMs: 1_500 });
    const { used, refused } = measure(seen, 0, 30 * MINUTE, ALLOWED);
    expect(used).toBeGreaterThan(0.95);
    expect(refused).toBeLessThan(0.02);
  });

  test("as a calendar minute without a header", () => {
    const wallOffset = 20 * SECOND;
    const seen = send(calendar(1_000, MINUTE, wallOffset, scale).bare, 30 * MINUTE, { wallOffset });
    const { used, refused } = measure(seen, 0, 30 * MINUTE, ALLOWED);
    expect(used).toBeGreaterThan(0.85);
    expect(refused).toBeLessThan(0.05);
  });
});

describe("refusals at random", () => {
  for (const share of [0.05, 0.1, 0.2, 0.3]) {
    test(`of ${share * 100}% do not lower the rate for good`, () => {
      for (const concurrency of [1, 4, 32]) {
        for (const latencyMs of [300, 1_500]) {
          const all = send({ takes: () => true }, 5 * MINUTE, { concurrency, latencyMs });
          for (const seed of [1, 2, 3]) {
            const random = randomOf(seed).next;
            const seen = send({ takes: () => random() >= share }, 5 * MINUTE, { concurrency, latencyMs });
            expect(seen.filter(({ isTaken }) => isTaken).length).toBeGreaterThan(0.6 * all.length);
          }
        }
      }
    });
  }
});
