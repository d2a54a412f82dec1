import { describe, expect, test } from "vitest";
import type { Fault, IncomingCall } from "./support/server.ts";
import { openLab, PLAIN } from "./support/lab.ts";
import { rows } from "./support/harness.ts";

/* What happens where a server refuses more than it takes, or everything; and where it is slow because of us. */

const busy: Fault = { kind: "status", status: 503, body: "<html><head><title>503</title></head></html>" };

/** Lets so many requests a second through, as nginx does with `limit_req`. */
function throttled(perSecond: number, burst: number): (call: IncomingCall) => Fault | undefined {
  let level = burst;
  let at = performance.now();
  return () => {
    const now = performance.now();
    level = Math.min(burst, level + ((now - at) / 1_000) * perSecond);
    at = now;
    if (level < 1) return busy;
    level -= 1;
    return undefined;
  };
}

/** A run of one call for each row. */
const plainRun = (calls: number, more: object = {}) => ({
  config: { agent_perspectives: [PLAIN], ...more },
  data: rows(calls),
});

describe.concurrent("a server that says that it is busy while it answers other requests", () => {
  test("has a limit of its rate: no call fails", async () => {
    const behave = throttled(40, 5);
    await using lab = await openLab({ ...plainRun(150, { max_attempts: 3 }), server: { behave, latency: 20 } });
    const { code, run, stderr } = await lab.runConfig();
    expect(code, stderr).toBe(0);
    expect(run?.calls).toMatchObject({ succeeded: 150, failed: 0 });
  });

  test("has a limit of requests at once: no call fails", async () => {
    let working = 0;
    const behave = (): Fault | undefined => {
      if (working >= 2) return busy;
      working += 1;
      setTimeout(() => (working -= 1), 30);
      return undefined;
    };
    await using lab = await openLab({ ...plainRun(60, { max_attempts: 3 }), server: { behave, latency: 30 } });
    const { code, run, stderr } = await lab.runConfig();
    expect(code, stderr).toBe(0);
    expect(run?.calls).toMatchObject({ succeeded: 60, failed: 0 });
  });

  test("but is at fault for one call alone, which fails after its attempts", async () => {
    const data = rows(8);
    const first = (call: IncomingCall) => (call.prompt.includes(data[0]!.input) ? busy : undefined);
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], max_attempts: 3, concurrency: 1 },
      data,
      server: { behave: first },
    });
    const { code, run } = await lab.runConfig();
    expect(code).toBe(1);
    expect(run?.calls).toMatchObject({ succeeded: 7, failed: 1 });
    expect(lab.server.requests.filter(({ status }) => status === 503)).toHaveLength(3);
  });
});

test("a server that answers one request at a time loses no call, and hardly gets one twice", async () => {
  let freeAt = 0;
  const latency = () => {
    const now = performance.now();
    freeAt = Math.max(now, freeAt) + 300;
    return freeAt - now;
  };
  const timeouts = { timeout_s: 3, max_attempts: 3 };
  await using lab = await openLab({ ...plainRun(40, timeouts), server: { latency } });
  const { code, run, stderr } = await lab.runConfig();
  expect(code, stderr).toBe(0);
  expect(run?.calls).toMatchObject({ succeeded: 40, failed: 0 });
  expect(lab.server.requests.length).toBeLessThanOrEqual(1.3 * 40);
});

describe.concurrent("the same refusal of everything", () => {
  const refusal = (message: string, status = 400): Fault => ({ kind: "status", status, body: { error: { message } } });

  test("stops a run after 20 calls, which are pending again", async () => {
    let isMended = false;
    const behave = ({ index }: IncomingCall) =>
      isMended ? undefined : refusal(`Unsupported parameter: 'max_tokens' (request ${index})`);
    await using lab = await openLab({ ...plainRun(60), server: { behave } });
    const { code, stderr } = await lab.runConfig();
    expect(code).toBe(3);
    expect(stderr).toMatch(/refused the first 20 calls alike: Unsupported parameter: 'max_tokens'/);
    expect(lab.server.requests.length).toBeLessThan(30);
    expect(lab.query("select state, count(*) as n from calls group by state")).toEqual([{ state: "pending", n: 60 }]);
    expect(lab.query("select calls_failed as n from runs")).toEqual([{ n: 0 }]);
    expect((await lab.datagen("db", "check")).code).toBe(0);
    isMended = true;
    expect((await lab.datagen("resume", "latest")).code).toBe(0);
  });

  test("stops a smaller run once all of its calls are refused, with its readings and strategies", async () => {
    const behave = () => refusal("The parameter n is not supported");
    await using lab = await openLab({ data: rows(2), server: { behave } });
    const { code, stderr } = await lab.runConfig();
    expect(code).toBe(3);
    expect(stderr).toMatch(/refused the first \d+ calls alike: The parameter n is not supported/);
    expect(lab.query("select distinct state from calls")).toEqual([{ state: "pending" }]);
  });

  test("is none where one call is answered, where words differ, or where a prompt is at fault", async () => {
    for (const behave of [
      ({ index }: IncomingCall) => (index === 3 ? undefined : refusal("No")),
      ({ index }: IncomingCall) => refusal(index % 2 === 0 ? "No" : "Never"),
      () => refusal("This model's maximum context length is 8192 tokens"),
      () => refusal("Your input was flagged by moderation"),
    ]) {
      await using lab = await openLab({ ...plainRun(24), server: { behave } });
      const { code, run, stderr } = await lab.runConfig();
      expect(code, stderr).toBe(1);
      expect(run?.calls.failed).toBeGreaterThanOrEqual(23);
    }
  });

  test.for([
    [
      400,
      [
        {
          error: { code: 400, message: "API key not valid. Please pass a valid API key.", status: "INVALID_ARGUMENT" },
        },
      ],
    ],
    [400, { error: { type: "invalid_request_error", message: "Your credit balance is too low to access the API." } }],
    [
      400,
      { error: { code: "Arrearage", message: "Access denied, please make sure your account is in good standing." } },
    ],
    [400, { error: { message: "Budget has been exceeded! Current cost: 10.1, Max budget: 10", code: "400" } }],
    [403, { error: { message: "Your API key has expired" } }],
  ] as const)("of an account stops a run at once: %i %j", async ([status, body]) => {
    const behave = (): Fault => ({ kind: "status", status, body });
    await using lab = await openLab({ ...plainRun(40), server: { behave } });
    const { code, stderr } = await lab.runConfig();
    expect(code, stderr).toBe(3);
    expect(lab.server.requests.length).toBeLessThanOrEqual(5);
    expect(lab.query("select distinct state from calls")).toEqual([{ state: "pending" }]);
  });
});

test("the last line of a run with failures names the commonest reason", async () => {
  const data = rows(6);
  const behave = ({ prompt }: IncomingCall): Fault | undefined => {
    if (prompt.includes(data[0]!.input)) return { kind: "contentFilter" };
    const isBad = data.slice(1, 4).some(({ input }) => prompt.includes(input));
    return isBad ? { kind: "status", status: 422, body: { error: { message: "Bad\u001b[31m words" } } } : undefined;
  };
  await using lab = await openLab({ config: { agent_perspectives: [PLAIN] }, data, server: { behave } });
  const { code, stderr } = await lab.runConfig();
  expect(code).toBe(1);
  expect(stderr.trim().split("\n").at(-1)).toMatch(/4 calls failed, mostly for bad_request \(Bad.*words\)/);
  expect(stderr).not.toContain("\u001b[31m");
});
