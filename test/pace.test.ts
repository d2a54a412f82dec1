import { describe, expect, test } from "vitest";
import { AdaptiveConcurrency } from "../src/execute/concurrency.ts";
import { Outage } from "../src/execute/outage.ts";
import { NO_TOKENS, Pace } from "../src/execute/pace.ts";
import { randomOf } from "./simulation/random.ts";
import type { RateLimits } from "../src/providers/provider.ts";
import { readRateLimits } from "../src/providers/rate-limits.ts";

/*
 * The pace is pure, so minutes of it take milliseconds here: a provider whose buckets refill all the time is simulated
 * in a time of its own, as OpenAI describes its limits.
 */

interface Provider {
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  /** Seconds' worth of requests that the provider's bucket holds. */
  burstS: number;
  statesLimits: boolean;
  latencyMs: (random: number) => number;
  /** Share of requests that are refused whatever the rate. */
  refusedAnyway?: number;
}

interface Phase {
  seconds: number;
  /** The limits are multiplied by this when it begins. */
  scale: number;
}

interface Seen {
  at: number;
  isAccepted: boolean;
  cost: number;
}

const CONCURRENCY = 64;

const NO_LIMITS: RateLimits = { requests: null, tokens: null, inputTokens: null, outputTokens: null };

/** The client counts a tenth too little of a prompt. */
const costOf = (prompt: number) => ({ input: Math.round(prompt * 0.9), longestOutput: 200, usualOutput: 200 });

/** Runs an endless line of requests against the provider, and tells what arrived there. */
function simulate(provider: Provider, phases: readonly Phase[], configured = {}): Seen[] {
  const random = randomOf(7).next;
  const pace = new Pace({ requestsPerMinute: undefined, tokensPerMinute: undefined, ...configured }, 0, 0);
  const buckets = {
    requests: bucket(provider.requestsPerMinute, provider.burstS),
    tokens: bucket(provider.tokensPerMinute, provider.burstS),
  };
  const seen: Seen[] = [];
  const events: { at: number; run: () => void }[] = [];
  const refused: number[] = [];
  let now = 0;
  let inFlight = 0;
  let hasAnswer = false;
  let isWaiting = false;

  const later = (ms: number, run: () => void) => {
    const at = now + ms;
    const index = events.findLastIndex((event) => event.at > at) + 1;
    events.splice(index, 0, { at, run });
  };
  let begin = 0;
  for (const { seconds, scale } of phases) {
    later(begin * 1_000, () => {
      buckets.requests.scale(now, scale);
      buckets.tokens.scale(now, scale);
    });
    begin += seconds;
  }

  function pump(): void {
    while (inFlight < (hasAnswer ? CONCURRENCY : 5)) {
      const prompt = refused[0] ?? 60 + Math.floor(random() * 80);
      const wait = pace.wait(now, costOf(prompt)).ms;
      if (wait > 0) {
        if (!isWaiting) later(Math.max(1, wait), () => [(isWaiting = false), pump()]);
        isWaiting = true;
        return;
      }
      refused.shift();
      send(prompt);
    }
  }

  function send(prompt: number): void {
    const ticket = pace.send(now, costOf(prompt));
    inFlight += 1;
    later(5, () => {
      const cost = prompt + 200;
      const isAccepted =
        random() >= (provider.refusedAnyway ?? 0) && buckets.requests.has(now, 1) && buckets.tokens.has(now, cost);
      if (isAccepted) {
        buckets.requests.take(1);
        buckets.tokens.take(cost);
      }
      seen.push({ at: now, isAccepted, cost });
      const limits: RateLimits | null = provider.statesLimits
        ? { ...NO_LIMITS, requests: buckets.requests.state(), tokens: buckets.tokens.state() }
        : null;
      later(isAccepted ? provider.latencyMs(random()) : 10, () => {
        inFlight -= 1;
        hasAnswer ||= isAccepted;
        pace.end(ticket, now, isAccepted ? "accepted" : "rate_limited", { limits, retryAfterMs: null });
        if (!isAccepted) later(250 + random() * 250, () => [refused.push(prompt), pump()]);
        pump();
      });
    });
  }

  later(0, pump);
  for (let event = events.pop(); event && event.at <= begin * 1_000; event = events.pop()) {
    now = event.at;
    event.run();
  }
  return seen;
}

function bucket(perMinute: number | undefined, burstS: number) {
  let perMs = perMinute === undefined ? Number.POSITIVE_INFINITY : perMinute / 60_000;
  let level = perMs * burstS * 1_000;
  let at = 0;
  const capacity = () => perMs * burstS * 1_000;
  const refill = (now: number) => {
    level = perMinute === undefined ? level : Math.min(capacity(), level + (now - at) * perMs);
    at = now;
  };
  return {
    scale(now: number, by: number) {
      refill(now);
      perMs *= by;
      level = Math.min(level, capacity());
    },
    has(now: number, cost: number) {
      refill(now);
      return level >= cost;
    },
    take(cost: number) {
      level -= cost;
    },
    state: () =>
      perMinute === undefined
        ? null
        : { limit: perMs * 60_000, remaining: Math.floor(level), resetMs: (capacity() - level) / perMs, isTime: false },
  };
}

/** Share of what the limit allows that was used, and share of requests refused, in the 60 s from 30 s after a change. */
function measure(seen: readonly Seen[], phases: readonly Phase[], perMinute: number, costBy: (one: Seen) => number) {
  let begin = 0;
  let limit = perMinute;
  return phases.map(({ seconds, scale }) => {
    const from = (begin + 30) * 1_000;
    begin += seconds;
    limit *= scale;
    const inside = seen.filter(({ at }) => at >= from && at < from + 60_000);
    const accepted = inside.filter(({ isAccepted }) => isAccepted);
    return {
      used: accepted.reduce((sum, one) => sum + costBy(one), 0) / limit,
      refused: 1 - accepted.length / inside.length,
    };
  });
}

const PHASES: Phase[] = [
  { seconds: 90, scale: 1 },
  { seconds: 90, scale: 0.5 },
  { seconds: 90, scale: 2 },
  { seconds: 90, scale: 2 },
];
const QUICK = (random: number) => 80 + random * 200;
const SLOW = (random: number) => 1_000 + random * 1_000;

describe("a limit that the provider states", () => {
  for (const burstS of [1, 10, 60]) {
    test(`of requests is used to 90% with under 2% refused, also after it changes (bucket of ${burstS} s)`, () => {
      const provider = { requestsPerMinute: 1_800, burstS, statesLimits: true, latencyMs: QUICK };
      for (const { used, refused } of measure(simulate(provider, PHASES), PHASES, 1_800, () => 1)) {
        expect(used).toBeGreaterThan(0.9);
        expect(refused).toBeLessThan(0.02);
      }
    });

    test(`of tokens is used to 90% with under 2% refused, also after it changes (bucket of ${burstS} s)`, () => {
      const provider = { tokensPerMinute: 60_000, burstS, statesLimits: true, latencyMs: QUICK };
      for (const { used, refused } of measure(simulate(provider, PHASES), PHASES, 60_000, ({ cost }) => cost)) {
        expect(used).toBeGreaterThan(0.9);
        expect(refused).toBeLessThan(0.02);
      }
    });
  }
});

describe("a limit of which only refusals tell", () => {
  for (const burstS of [1, 10, 60]) {
    test(`of requests is used to 80% with under 10% refused, also after it changes (bucket of ${burstS} s)`, () => {
      const provider = { requestsPerMinute: 1_800, burstS, statesLimits: false, latencyMs: QUICK };
      for (const { used, refused } of measure(simulate(provider, PHASES), PHASES, 1_800, () => 1)) {
        expect(used).toBeGreaterThan(0.8);
        expect(refused).toBeLessThan(0.1);
      }
    });

    test(`of tokens, a few requests a second, is used to 75% with under 15% refused, also after it changes (bucket of ${burstS} s)`, () => {
      const provider = { tokensPerMinute: 60_000, burstS, statesLimits: false, latencyMs: QUICK };
      for (const { used, refused } of measure(simulate(provider, PHASES), PHASES, 60_000, ({ cost }) => cost)) {
        expect(used).toBeGreaterThan(0.75);
        expect(refused).toBeLessThan(0.15);
      }
    });
  }

  test("is found with slow answers too", () => {
    const provider = { requestsPerMinute: 1_200, burstS: 1, statesLimits: false, latencyMs: SLOW };
    for (const { used, refused } of measure(
      simulate(provider, PHASES.slice(0, 2)),
      PHASES.slice(0, 2),
      1_200,
      () => 1,
    )) {
      expect(used).toBeGreaterThan(0.8);
      expect(refused).toBeLessThan(0.1);
    }
  });
});

test("refusals that come whatever the rate slow nothing down", () => {
  const provider = { burstS: 1, statesLimits: false, latencyMs: () => 50 };
  const phases = [{ seconds: 60, scale: 1 }];
  const undisturbed = simulate(provider, phases).length;
  expect(simulate({ ...provider, refusedAnyway: 0.05 }, phases).length).toBeGreaterThan(0.85 * undisturbed);
});

describe("a limit of the config", () => {
  test("of requests is kept in every second, and used", () => {
    const provider = { burstS: 1, statesLimits: false, latencyMs: QUICK };
    const seen = simulate(provider, [{ seconds: 30, scale: 1 }], { requestsPerMinute: 600 });
    expect(mostWithin(seen, 1_000, () => 1)).toBeLessThanOrEqual(20);
    expect(seen.length).toBeGreaterThan(0.97 * 300);
    expect(seen.length).toBeLessThanOrEqual(300 + 10);
  });

  test("of tokens is kept in every minute, also where one request is worth seconds", () => {
    const provider = { burstS: 1, statesLimits: false, latencyMs: QUICK };
    const seen = simulate(provider, [{ seconds: 180, scale: 1 }], { tokensPerMinute: 3_000 });
    const charged = ({ cost }: Seen) => (cost - 200) * 0.9 + 200;
    expect(mostWithin(seen, 60_000, charged)).toBeLessThan(3_000 + 400);
    expect(seen.reduce((sum, one) => sum + charged(one), 0)).toBeGreaterThan(0.95 * 9_000);
  });

  test("below one request a minute still lets requests through", () => {
    const pace = new Pace({ requestsPerMinute: 0.5, tokensPerMinute: undefined }, 0, 0);
    expect(pace.wait(0, NO_TOKENS).ms).toBe(0);
    pace.send(0, NO_TOKENS);
    expect(pace.wait(0, NO_TOKENS).ms).toBeCloseTo(120_000, -3);
    expect(pace.wait(120_000, NO_TOKENS).ms).toBe(0);
  });
});

function mostWithin(seen: readonly Seen[], ms: number, costBy: (one: Seen) => number): number {
  let most = 0;
  for (const [first, { at }] of seen.entries()) {
    let sum = 0;
    for (let next = first; next < seen.length; next += 1) {
      const one = seen[next];
      if (!one || one.at >= at + ms) break;
      sum += costBy(one);
    }
    most = Math.max(most, sum);
  }
  return most;
}

describe("concurrency", () => {
  test("is 5 until the first answer, and then all that was asked for", () => {
    const concurrency = new AdaptiveConcurrency(64, 120_000);
    expect(concurrency.current).toBe(5);
    concurrency.answered(0, "strategy", 100);
    expect(concurrency.current).toBe(64);
    expect(new AdaptiveConcurrency(3, 120_000).current).toBe(3);
  });

  test("falls when answers take several times as long, and rises again when they do not", () => {
    const concurrency = new AdaptiveConcurrency(64, 120_000);
    let now = 0;
    const answers = (count: number, latency: number) => {
      for (let one = 0; one < count; one += 1) concurrency.answered((now += 20), "strategy", latency);
    };
    answers(200, 100);
    expect(concurrency.current).toBe(64);
    // The server answers 4 requests at a time now, and lets the others queue.
    for (let window = 0; window < 20; window += 1) answers(64, 25 * concurrency.current);
    expect(concurrency.current).toBeLessThan(20);
    expect(concurrency.current).toBeGreaterThan(4);
    answers(3_000, 100);
    expect(concurrency.current).toBe(64);
  });

  test("does not stay down when the answers themselves take longer", () => {
    const concurrency = new AdaptiveConcurrency(64, 120_000);
    for (let one = 0; one < 200; one += 1) concurrency.answered(one * 20, "strategy", 100);
    for (let one = 200; one < 400; one += 1) concurrency.answered(one * 20, "strategy", 1_000);
    expect(concurrency.current).toBe(64);
  });

  test("does not fall for answers of very different lengths", () => {
    const random = randomOf(3).next;
    const concurrency = new AdaptiveConcurrency(64, 120_000);
    for (let one = 0; one < 22_000; one += 1) {
      // A long tail: the median is 100 ms, one in a hundred takes more than 4 s.
      const latency = 100 * Math.exp(1.6 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
      concurrency.answered(one * 5, one % 3 === 0 ? "reading" : "strategy", latency);
      if (one >= 2_000) expect(concurrency.current).toBe(64);
    }
  });

  test("climbs in rounds where answers take a while", () => {
    const concurrency = new AdaptiveConcurrency(32, 120_000);
    let rounds = 0;
    for (let now = 0; concurrency.current < 32; now += 60_000) {
      const inFlight = concurrency.current;
      for (let one = 0; one < inFlight; one += 1) concurrency.answered(now, "strategy", 60_000);
      rounds += 1;
    }
    expect(rounds).toBeLessThanOrEqual(5);
  });

  test("goes down when requests time out, and climbs again slowly", () => {
    const concurrency = new AdaptiveConcurrency(32, 120_000);
    concurrency.answered(0, "strategy", 100);
    expect(concurrency.current).toBe(32);
    for (let one = 0; one < 8; one += 1) concurrency.overloaded(120_000, 0, 32);
    const cut = concurrency.current;
    expect(cut).toBeLessThan(24);
    for (let one = 0; one < 2 * (cut + 1); one += 1) concurrency.answered(121_000 + one, "strategy", 100);
    expect(concurrency.current).toBe(cut + 1);
  });

  test("of a server that answers one at a time stays where nothing times out", () => {
    const { requests, calls } = oneAtATime(60, { answerMs: 1_000, timeoutMs: 8_000, concurrency: 32 });
    expect(requests).toBeLessThanOrEqual(1.3 * calls);
    const slow = oneAtATime(100, { answerMs: 12_000, timeoutMs: 120_000, concurrency: 32 });
    expect(slow.requests).toBeLessThanOrEqual(1.3 * slow.calls);
  });

  test("is never less than 1", () => {
    const concurrency = new AdaptiveConcurrency(8, 120_000);
    concurrency.answered(0, "strategy", 1);
    for (let one = 0; one < 50; one += 1) concurrency.refused(one, 1);
    expect(concurrency.current).toBe(1);
  });
});

describe("an outage", () => {
  test("begins after failures without an answer for a second, and ends with an answer", () => {
    const outage = new Outage(600_000, 0);
    expect(outage.failed(100, false).hasBegun).toBe(false);
    expect(outage.failed(200, false).hasBegun).toBe(false);
    expect(outage.failed(900, false).hasBegun).toBe(false);
    expect(outage.failed(1_100, false).hasBegun).toBe(true);
    expect(outage.wait(1_100)).toBe(1_000);
    expect(outage.answered(2_100)).toBe(true);
    expect(outage.isOn).toBe(false);
    expect(outage.wait(2_100)).toBe(0);
  });

  test("is waited for a little while it is suspected", () => {
    const outage = new Outage(600_000, 0);
    for (const at of [10, 20]) outage.failed(at, false);
    expect(outage.wait(20)).toBe(0);
    outage.failed(30, false);
    expect(outage.wait(40)).toBe(90);
    outage.answered(50);
    expect(outage.wait(50)).toBe(0);
  });

  test("is not made of failures among answers, nor of refusals for the rate", () => {
    const outage = new Outage(600_000, 0);
    for (let at = 0; at < 60_000; at += 50) {
      if (at % 500 === 0) outage.answered(at);
      outage.failed(at, false);
      expect(outage.isOn).toBe(false);
    }
    const refused = new Outage(600_000, 0);
    for (let at = 0; at < 60_000; at += 500) refused.failed(at, true);
    expect(refused.isOn).toBe(false);
  });

  test("is probed ever more seldom, every 5 seconds at most", () => {
    const outage = new Outage(600_000, 0);
    let now = 1_100;
    for (let one = 0; one < 3; one += 1) outage.failed(now, false);
    const waits = Array.from({ length: 8 }, () => {
      const wait = outage.wait(now);
      now += wait;
      outage.failed(now, false);
      return wait;
    });
    expect(waits[0]).toBe(1_000);
    expect(waits.at(-1)).toBe(5_000);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  });

  test("is hopeless once it has lasted as long as the config says", () => {
    const outage = new Outage(60_000, 0);
    expect(outage.failed(59_000, false).leftMs).toBe(1_000);
    expect(outage.failed(60_000, true).leftMs).toBe(0);
    outage.answered(60_500);
    expect(outage.failed(61_000, false).leftMs).toBeGreaterThan(0);
  });
});

describe("headers of a limit", () => {
  const read = (headers: Record<string, string>) => readRateLimits(new Headers(headers));

  test("are read with every form of duration", () => {
    for (const [text, ms] of [
      ["1s", 1_000],
      ["6m0s", 360_000],
      ["120ms", 120],
      ["1h2m3.5s", 3_723_500],
      ["7.66s", 7_660],
      ["12", 12_000],
      ["soon", null],
      ["", null],
    ] as const) {
      expect(
        read({
          "x-ratelimit-limit-requests": "60",
          "x-ratelimit-remaining-requests": "59",
          "x-ratelimit-reset-requests": text,
        }),
      ).toEqual({ ...NO_LIMITS, requests: { limit: 60, remaining: 59, resetMs: ms, isTime: false } });
    }
  });

  test("for input and for output are read apart, each with the time of its reset", () => {
    const now = Date.parse("2026-11-25T12:00:00Z");
    const of = (kind: string, limit: number, remaining: number, reset: string): [string, string][] => [
      [`anthropic-ratelimit-${kind}-limit`, String(limit)],
      [`anthropic-ratelimit-${kind}-remaining`, String(remaining)],
      [`anthropic-ratelimit-${kind}-reset`, reset],
    ];
    const headers = new Headers([
      ...of("requests", 50, 49, "2026-11-25T12:00:01Z"),
      ...of("tokens", 38_000, 20_000, "2026-11-25T12:00:30Z"),
      ...of("input-tokens", 30_000, 18_000, "2026-11-25T12:00:24Z"),
      ...of("output-tokens", 8_000, 2_000, "2026-11-25T12:00:45Z"),
    ]);
    expect(readRateLimits(headers, now)).toEqual({
      requests: { limit: 50, remaining: 49, resetMs: 1_000, isTime: true },
      tokens: { limit: 38_000, remaining: 20_000, resetMs: 30_000, isTime: true },
      inputTokens: { limit: 30_000, remaining: 18_000, resetMs: 24_000, isTime: true },
      outputTokens: { limit: 8_000, remaining: 2_000, resetMs: 45_000, isTime: true },
    });
  });

  test("for input and for output are kept each: the first that is used up makes requests wait", () => {
    const wait = (limits: Partial<RateLimits>) => {
      const pace = new Pace({ requestsPerMinute: undefined, tokensPerMinute: undefined }, 0, 0);
      const cost = { input: 1_000, longestOutput: 4_000, usualOutput: 100 };
      const ticket = pace.send(0, cost);
      pace.end(ticket, 1_000, "accepted", { limits: { ...NO_LIMITS, ...limits }, retryAfterMs: null });
      expect(pace.countsTokens).toBe(true);
      return pace.wait(1_000, cost);
    };
    const quota = (limit: number, remaining: number) => ({ limit, remaining, resetMs: null, isTime: true });
    expect(wait({ inputTokens: quota(60_000, 30_000), outputTokens: quota(6_000, 3_000) }).ms).toBe(0);
    expect(wait({ inputTokens: quota(60_000, 0), outputTokens: quota(6_000, 3_000) })).toEqual({
      ms: expect.closeTo(250, 0) as number,
      for: "stated_limit",
    });
    // An answer counts as long as it usually is, not as long as it may be.
    expect(wait({ inputTokens: quota(60_000, 30_000), outputTokens: quota(6_000, 0) })).toEqual({
      ms: expect.closeTo(250, 0) as number,
      for: "stated_limit",
    });
  });

  test("that say nothing usable are ignored", () => {
    expect(read({})).toBeNull();
    expect(read({ "x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0" })).toBeNull();
    expect(read({ "x-ratelimit-limit-tokens": "many", "x-ratelimit-remaining-tokens": "1" })).toBeNull();
  });
});

/** Asks a server that answers one request after the other until all calls are answered. */
function oneAtATime(calls: number, of: { answerMs: number; timeoutMs: number; concurrency: number }) {
  const concurrency = new AdaptiveConcurrency(of.concurrency, of.timeoutMs);
  const inFlight: { sentAt: number }[] = [];
  let now = 0;
  let answered = 0;
  let requests = 0;
  let freeAt = of.answerMs;
  while (answered < calls) {
    while (inFlight.length < Math.min(concurrency.current, calls - answered)) {
      if (inFlight.length === 0) freeAt = now + of.answerMs;
      inFlight.push({ sentAt: now });
      requests += 1;
    }
    const oldest = inFlight.shift();
    if (!oldest) break;
    const timesOutAt = oldest.sentAt + of.timeoutMs;
    if (timesOutAt < freeAt) {
      now = Math.max(now, timesOutAt);
      concurrency.overloaded(now, oldest.sentAt, inFlight.length + 1);
      continue;
    }
    now = freeAt;
    answered += 1;
    concurrency.answered(now, "strategy", now - oldest.sentAt);
    freeAt = now + of.answerMs;
  }
  return { requests, calls: answered };
}
