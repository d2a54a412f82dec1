import OpenAI from "openai";
import Together from "together-ai";
import { describe, expect, test, vi } from "vitest";
import { type Decision, decide, NO_TRIES } from "../src/execute/retry.ts";
import { toCallError } from "../src/providers/refusal.ts";
import type { FailureReason } from "../src/providers/provider.ts";
import { failureLab, oneCallEach, outcomes } from "./support/failure-lab.ts";
import { expectedDataset, rows } from "./support/harness.ts";
import type { Fault } from "./support/server.ts";

describe("deciding on a failed attempt", () => {
  const ENDS: Record<FailureReason, { attempts: number; action: Decision["action"] }> = {
    rate_limited: { attempts: Number.POSITIVE_INFINITY, action: "retry" },
    server_error: { attempts: 6, action: "fail" },
    timeout: { attempts: 6, action: "fail" },
    connection: { attempts: 6, action: "fail" },
    malformed: { attempts: 6, action: "fail" },
    not_processed: { attempts: 6, action: "fail" },
    broken: { attempts: 3, action: "fail" },
    empty: { attempts: 3, action: "fail" },
    reasoning_exhausted: { attempts: 3, action: "fail" },
    content_filter: { attempts: 1, action: "fail" },
    refusal: { attempts: 1, action: "fail" },
    bad_request: { attempts: 1, action: "fail" },
    context_too_long: { attempts: 1, action: "fail" },
    content_policy: { attempts: 1, action: "fail" },
    key_refused: { attempts: 1, action: "stop" },
    forbidden: { attempts: 1, action: "stop" },
    model_not_found: { attempts: 1, action: "stop" },
    no_quota: { attempts: 1, action: "stop" },
    file_too_large: { attempts: 1, action: "stop" },
    redirected: { attempts: 1, action: "stop" },
    bad_certificate: { attempts: 1, action: "stop" },
    wrong_protocol: { attempts: 1, action: "stop" },
    proxy_refused: { attempts: 1, action: "stop" },
    worker_lost: { attempts: 3, action: "fail" },
  };

  /** What is decided on one failure after the other, up to the first that is not retried. */
  function decisions(reasons: Iterable<FailureReason>): Decision[] {
    let tries = NO_TRIES;
    const made: Decision[] = [];
    for (const reason of reasons) {
      const next = decide(reason, null, tries, 6, 0.5);
      tries = next.tries;
      made.push(next.decision);
      if (next.decision.action !== "retry") break;
    }
    return made;
  }

  const delay = (retryAfterMs: number | null, random: number, retries = 0): number => {
    const { decision } = decide("server_error", retryAfterMs, { ...NO_TRIES, transient: retries }, 6, random);
    return decision.action === "retry" ? decision.delayMs : Number.NaN;
  };

  test.for(Object.entries(ENDS))("%s: %o", ([reason, { attempts, action }]) => {
    const made = decisions(Array.from({ length: 1_000 }, () => reason as FailureReason));
    expect(made).toHaveLength(Math.min(attempts, 1_000));
    expect(made.at(-1)?.action).toBe(action);
  });

  test("waits for a rate limit use up no attempt", () => {
    const reasons = Array.from({ length: 6 }, (): FailureReason[] => ["rate_limited", "rate_limited", "timeout"]);
    expect(decisions(reasons.flat())).toHaveLength(18);
  });

  test("answers without a text count among all the attempts", () => {
    expect(decisions(["server_error", "empty", "timeout", "connection", "reasoning_exhausted", "malformed"])).toEqual([
      ...Array.from({ length: 5 }, () => ({ action: "retry", delayMs: expect.any(Number) as number })),
      { action: "fail" },
    ]);
    expect(decisions(["empty", "server_error", "reasoning_exhausted", "empty"]).at(-1)).toEqual({ action: "fail" });
  });

  test("what was counted before stays as it is", () => {
    const tries = Object.freeze({ rateLimited: 1, empty: 1, lost: 1, transient: 1 });
    expect(decide("timeout", null, tries, 6, 0).tries).toEqual({ rateLimited: 1, empty: 1, lost: 1, transient: 2 });
    expect(decide("empty", null, tries, 6, 0).tries).toEqual({ rateLimited: 1, empty: 2, lost: 1, transient: 1 });
    expect(decide("rate_limited", null, tries, 6, 0).tries).toEqual({
      rateLimited: 2,
      empty: 1,
      lost: 1,
      transient: 1,
    });
    expect(decide("refusal", null, tries, 6, 0).tries).toEqual(tries);
  });

  test("delays double, and jitter spreads them", () => {
    const shortest = [0, 1, 2, 3, 4].map((retries) => delay(null, 0, retries));
    expect(shortest.map((ms) => ms / shortest[0]!)).toEqual([1, 2, 4, 8, 16]);
    expect(shortest[0]).toBeGreaterThan(0);
    expect(delay(null, 0.5)).toBeGreaterThan(delay(null, 0));
    expect(delay(null, 1)).toBeGreaterThan(delay(null, 0.5));
  });

  test("delays of a rate limit have an upper bound", () => {
    const { decision } = decide("rate_limited", null, { ...NO_TRIES, rateLimited: 10_000 }, 6, 1);
    expect(decision).toEqual({ action: "retry", delayMs: 30_000 });
  });

  test.for([0, 1, 700, 59_000, 600_000])("no call is sent before the provider allows it: %i ms", (asked) => {
    for (const random of [0, 0.5, 0.999]) {
      expect(delay(asked, random)).toBeGreaterThanOrEqual(asked);
      expect(delay(asked, random)).toBeLessThanOrEqual(asked + 500);
    }
  });

  test("a provider that asks to wait for hours is asked again after ten minutes", () => {
    expect(delay(86_400_000, 0)).toBe(600_000);
  });
});

describe("how long a provider asks to wait", () => {
  const generate = {
    openai: (headers: Headers) => OpenAI.APIError.generate(429, { error: { message: "Slowly" } }, undefined, headers),
    together: (headers: Headers) =>
      Together.APIError.generate(429, { error: { message: "Slowly" } }, undefined, headers),
  };
  const asked = (sdk: keyof typeof generate, headers: Record<string, string>) =>
    toCallError(generate[sdk](new Headers(headers)), undefined).details.retryAfterMs;

  describe.for(["openai", "together"] as const)("%s", (sdk) => {
    test.for([
      [{}, null],
      [{ "retry-after-ms": "1500" }, 1_500],
      [{ "retry-after": "2" }, 2_000],
      [{ "retry-after": "0.5" }, 500],
      [{ "retry-after": "7", "retry-after-ms": "6500" }, 6_500],
      [{ "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
      [{ "retry-after": "soon" }, null],
      [{ "retry-after": "3", "retry-after-ms": "soon" }, 3_000],
    ] as [Record<string, string>, number | null][])("%j: %s", ([headers, ms]) => {
      expect(asked(sdk, headers)).toBe(ms);
    });

    test("a date is the time until then", () => {
      const ms = asked(sdk, { "retry-after": new Date(Date.now() + 3_600_000).toUTCString() });
      expect(ms).toBeGreaterThan(3_000_000);
      expect(ms).toBeLessThanOrEqual(3_600_000);
    });
  });
});

describe.concurrent("a wait that a provider asks for", () => {
  const limited = (headers: Record<string, string>): Fault => ({ kind: "status", status: 429, headers });

  test("a rate limit that lasts fails no call", async () => {
    await using lab = await failureLab(oneCallEach(["openai", "chat"]), rows(1), (_, { nth }) =>
      nth <= 12 ? limited({ "retry-after-ms": "1" }) : undefined,
    );
    expect((await lab.run()).code).toBe(0);
    expect(outcomes(lab.attemptsOf(0))).toEqual([
      ...Array.from({ length: 12 }, () => ["rate_limited", "retry"]),
      ["succeeded", "kept"],
    ]);
  });

  test("a call that has to wait ten minutes is not sent before, and holds up no other", async () => {
    const waits = [
      { "retry-after": "600" },
      { "retry-after-ms": "600000" },
      { "retry-after": new Date(Date.now() + 600_000).toUTCString() },
    ];
    const data = rows(8);
    await using lab = await failureLab(oneCallEach(["openai", "chat"]), data, (row, { nth }) => {
      if (row < waits.length) return limited(waits[row]!);
      return nth === 1 ? { kind: "status", status: 503 } : undefined;
    });
    await using running = lab.start("run", "config.json", "--no-export");
    await vi.waitFor(() => expect(lab.server.served.answers).toBe(data.length - waits.length), 30_000);
    running.kill("SIGINT");
    expect((await running.done).code).toBe(130);
    for (const row of waits.keys()) expect(outcomes(lab.attemptsOf(row))).toEqual([["rate_limited", "retry"]]);
    expect(lab.server.requests).toHaveLength(3 + 2 * 5);
  });
});

describe.concurrent("half of an answer", () => {
  test.for<[Fault, attempts: number]>([
    [{ kind: "half" }, 4],
    [{ kind: "malformed" }, 3],
  ])(
    "half of an answer is paid, and no outage, however many calls it is the answer to: %j",
    async ([fault, attempts]) => {
      const data = rows(6);
      const config = oneCallEach(["openai", "chat"], { max_attempts: 4, give_up_after_s: 30 });
      await using lab = await failureLab(config, data, () => fault);
      const { code, stderr } = await lab.run();
      expect(code, stderr).toBe(1);
      expect(data.map((_, row) => lab.requestsOf(row).length)).toEqual(data.map(() => attempts));
      expect(lab.query("select count(*) as n from attempts where reserved_prompt_tokens is null")).toEqual([{ n: 0 }]);
    },
  );
});

describe.concurrent("a quota that ends", () => {
  test("when the quota ends in the middle, every answer is kept and none is asked for again", async () => {
    const config = oneCallEach(["openai", "chat"]);
    const data = rows(60);
    await using lab = await failureLab(config, data, (_, { index }) =>
      index >= 30 ? { kind: "status", status: 429, code: "insufficient_quota" } : undefined,
    );
    const { code, stderr } = await lab.run(["--concurrency", "8"]);
    expect(code, stderr).toBe(3);
    expect(lab.server.requests.length).toBeLessThanOrEqual(30 + 8);
    expect(lab.query("select state, count(*) n from calls group by 1 order by 1")).toEqual([
      { state: "pending", n: 30 },
      { state: "succeeded", n: 30 },
    ]);

    lab.server.behave = undefined;
    const resumed = await lab.datagen("resume", "latest", "--json", "--output", "dataset.json");
    expect(resumed.code, resumed.stderr).toBe(0);
    const { answers, ...served } = lab.server.served;
    expect(answers).toBe(60);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ run: { tokens: { ...served, estimated: false } } });
    expect((await lab.dataset()).tasks).toEqual(expectedDataset(lab.config, data).tasks);
  });
});
