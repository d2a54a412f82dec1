import { readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { batchLab, type BatchLab, expectChargedOnce, PLAIN } from "./support/batch-lab.ts";
import { BATCHING, batchesOf, modelOf } from "./support/providers/index.ts";
import { type BatchFault, type IncomingCall, type LineFault, TOKEN_LIMIT } from "./support/server.ts";

describe.concurrent("a run in batches", () => {
  test.for(BATCHING)("of %s has the dataset of a live run", async (provider) => {
    await using lab = await batchLab(modelOf(provider), 5);
    const result = await lab.run("run", "config.json", "--batch", "--json");
    expect(result.code, result.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expect(lab.server.requests).toEqual([]);
    // The readings and what needs none, then the strategies on notes.
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([20, 10]);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test.for(BATCHING)(
    "of %s has it too with lines that fail, lines that are missing, a batch that expires, one that fails, one too large",
    async (provider) => {
      const most = 100;
      const { validates } = batchesOf(provider).traits;
      let whole = 0;
      let expired = 0;
      await using lab = await batchLab(modelOf(provider), 50, {
        behaveBatch: ({ customIds: { length } }) => {
          if (!validates) return length > most ? { expiresAfter: 0.5 } : undefined;
          if (length > most) return { fails: [TOKEN_LIMIT] };
          if (length > 20 && ++whole === 2) return { fails: [{ code: "internal", message: "It broke." }] };
          if (length > 20 && ++expired === 2) return { expiresAfter: 0.5 };
          return undefined;
        },
        behaveLine: oneInSome,
      });
      const result = await lab.run("run", "config.json", "--batch");
      expect(result.code, result.stderr).toBe(0);
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
      const outcomes = lab.server.batches.flatMap(({ lines }) => lines).map(({ outcome }) => outcome);
      for (const outcome of ["failed", "missing", "expired"] as const) expect(outcomes).toContain(outcome);
      expect(outcomes.includes("waiting")).toBe(validates);
      expect(lab.server.requests).toEqual([]);
      expectChargedOnce(lab);
      const { run, batches } = lab.show();
      expect(run.calls).toMatchObject({ total: 300, succeeded: 300, failed: 0, pending: 0 });
      const failed = batches.filter(({ status }) => status === "failed").map(({ error }) => error);
      expect(failed.includes("It broke.")).toBe(validates);
      expect(batches.map(({ status }) => status)).toContain("expired");
      lab.expectSound();
    },
  );

  test("that is refused for the limit of tokens again and again goes on with what is taken", async () => {
    let refused = 0;
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 8, {
      behaveBatch: () => (++refused <= 4 ? { fails: [TOKEN_LIMIT] } : { states: [] }),
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    // Less each time, and more again once it is taken.
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([8, 4, 2, 1, 1, 2, 3, 2]);
    expect(result.stderr.match(/^Warning: .* refuses even a batch of one request: Enqueued token/gm)).toHaveLength(1);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
  });

  test("whose batch of one request was taken, and has expired, waits anew for such a limit", async () => {
    const again = { ...TOKEN_LIMIT, message: `${TOKEN_LIMIT.message} Again.` };
    const courses = [{ fails: [TOKEN_LIMIT] }, { states: [], expiresAfter: 0 }, { fails: [again] }];
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 1, {
      behaveBatch: ({ index }) => courses[index] ?? { states: [] },
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr.match(/^Warning: .* refuses even a batch of one request/gm)).toHaveLength(2);
    expectChargedOnce(lab);
  });

  test("whose batches are not created for such a limit sends smaller ones, or says that none is taken", async () => {
    await using lab = await batchLab({ ...modelOf("gemini"), agent_perspectives: [PLAIN], give_up_after_s: 1 }, 8);
    let most = 0;
    lab.server.behaveApi = ({ operation }) =>
      operation === "create" && lab.server.files.at(-1)!.bytes > most
        ? { kind: "status", status: 429, message: "You exceeded your current quota." }
        : undefined;
    const refused = await lab.run("run", "config.json", "--batch", "--no-wait");
    expect(refused.code, refused.stderr).toBe(3);
    expect(refused.stderr).toMatch(/takes no batch now: You exceeded your current quota/);
    expect(lab.show().run.calls).toMatchObject({ pending: 8, failed: 0 });
    most = lab.server.files[0]!.bytes * 0.4;
    // Also where the command does not wait, a part of the calls gets through each time.
    const once = await lab.run("resume", "latest", "--no-wait");
    expect(once.code, once.stderr).toBe(3);
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([2]);
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([2, 3, 3]);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    expect(lab.show().possibly_billed.requests).toBe(0);
    lab.expectSound();
  });

  test("handles results that come twice, in another order, for unknown calls, or incomplete", async () => {
    const counts = { total: 2 ** 50, completed: 2 ** 50, failed: 0 };
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 12, {
      behaveLine: ({ nth, index }) => (nth === 1 && index % 4 === 0 ? { kind: "malformed" } : undefined),
      behaveBatch: () => ({
        shows: (batch) => (batch["status"] === "in_progress" ? { ...batch, request_counts: counts } : batch),
      }),
    });
    lab.server.behaveApi = ({ operation, nth }) => {
      const file = operation === "content" && nth === 1 ? lab.server.files.at(-1) : undefined;
      if (!file) return undefined;
      const lines = readFileSync(file.path, "utf8").trimEnd().split("\n");
      const line = lines.find((text) => text.endsWith("}")) ?? "";
      // An id of ours is written in one way alone.
      const ids = ["987654321", "c1", "", "2e0", " 3", "0x4", "5.0", "06", "+7"];
      const ofNobody = ids.map((id) => line.replace(/"custom_id":"\d+"/, `"custom_id":"${id}"`));
      const [customId] = /"custom_id":"\d+"/.exec(line) ?? [];
      const error = `{${customId},"response":null,"error":{"code":"server_error","message":"It broke."}}`;
      writeFileSync(file.path, ["nonsense", error, ...ofNobody, ...lines, ...lines.toReversed()].join("\n"));
      Object.assign(file, { bytes: statSync(file.path).size });
      return undefined;
    };
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(/of 12 requests in_progress: 12 done/);
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([12, 3]);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expect(lab.show().attempts).toBe(15);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("holds what an answer may have cost that cannot be read, or that the batch counts and does not give", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN], max_attempts: 1, give_up_after_s: 2 }, 12, {
      behaveLine: ({ index }) => (index === 5 ? { kind: "malformed" } : undefined),
    });
    lab.server.behaveApi = ({ operation }) => {
      const file = operation === "content" ? lab.server.files.at(-1) : undefined;
      if (!file) return undefined;
      const lines = readFileSync(file.path, "utf8").trimEnd().split("\n");
      const whole = lines.filter((text) => text.endsWith("}"));
      writeFileSync(file.path, lines.filter((text) => !whole.slice(0, 3).includes(text)).join("\n"));
      Object.assign(file, { bytes: statSync(file.path).size });
      return undefined;
    };
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    const { run, possibly_billed: unclear } = lab.show();
    expect(run.calls).toMatchObject({ succeeded: 8, failed: 1, pending: 3 });
    expect(unclear.requests).toBe(4);
    expect(unclear.cost_usd).toBeGreaterThan(0);
    lab.expectSound();
  });

  test.for<BatchFault>([
    { kind: "half" },
    { kind: "reset" },
    { kind: "status", status: 503 },
    { kind: "status", status: 429, headers: { "retry-after": "0" } },
  ])("reads results again whose download breaks: %j", async (fault) => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 12, {
      behaveApi: ({ operation, nth }) => (operation === "content" && nth <= 2 ? fault : undefined),
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });
});

/** About 3 lines of 100 fail the first time, and 1 is in neither file. */
function oneInSome({ nth, promptHash }: IncomingCall): LineFault | undefined {
  const share = Number.parseInt(promptHash.slice(0, 4), 16) / 0x10000;
  if (nth > 1 || share > 0.04) return undefined;
  return share < 0.01 ? { kind: "missing" } : { kind: "status", status: 500 };
}

describe.concurrent("a run that changes over", () => {
  /** A dataset without ids, times, the number of attempts and the cost. */
  function lasting({ tasks, metadata }: Awaited<ReturnType<BatchLab["dataset"]>>) {
    const { run_id: _id, generation_time: _time, api_calls: _calls, cost_usd: _cost, ...rest } = metadata;
    const { base_url: _url, ...others } = rest;
    return JSON.stringify({ tasks, metadata: others });
  }

  async function liveDataset(): Promise<string> {
    await using lab = await batchLab({}, 8);
    expect((await lab.run("run", "config.json")).code).toBe(0);
    return lasting(await lab.dataset());
  }

  test("from live to batches has the bytes of a live run", async () => {
    await using lab = await batchLab({ concurrency: 2 }, 8);
    lab.server.behave = ({ index }) => {
      if (index === 9) lab.kill("SIGINT");
      return undefined;
    };
    expect((await lab.start("run", "config.json").done).code).toBe(130);
    const live = lab.server.requests.length;
    expect(live).toBeLessThan(48);
    const resumed = await lab.run("resume", "latest", "--batch");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.server.requests).toHaveLength(live);
    expectChargedOnce(lab);
    expect(lasting(await lab.dataset())).toBe(await liveDataset());
    expect(lab.query("select origin, count(*) n from answers group by origin order by origin")).toEqual([
      { origin: "batch", n: 48 - live },
      { origin: "live", n: live },
    ]);
    lab.expectSound();
  });

  test("from batches to live sends nothing that is in one, and has the bytes of a live run", async () => {
    let isHeld = true;
    await using lab = await batchLab({}, 8, {
      behaveBatch: () => ({ states: [] }),
      behaveLine: ({ nth, index }) => (nth === 1 && index % 5 === 0 ? { kind: "missing" } : undefined),
    });
    lab.server.behaveApi = ({ operation }) =>
      isHeld && operation === "get" ? { kind: "status", status: 429, headers: { "retry-after": "60" } } : undefined;
    const running = lab.start("run", "config.json", "--batch");
    await running.waitFor(/Batch .* prepared/);
    while (!lab.server.batchRequests.some(({ operation }) => operation === "get")) await tick();
    running.kill("SIGINT");
    const stopped = await running.done;
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stderr).toMatch(/Go on with: datagen resume \w+/);
    isHeld = false;
    const resumed = await lab.run("resume", "latest", "--live");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.server.batches).toHaveLength(1);
    // What the batch did not answer, and the strategies on notes.
    expect(lab.server.requests).toHaveLength(7 + 16);
    expectChargedOnce(lab);
    expect(lasting(await lab.dataset())).toBe(await liveDataset());
    lab.expectSound();
  });

  test("to live while a batch is open leaves it alone, and can go back", async () => {
    await using lab = await batchLab({}, 3, { behaveBatch: () => ({ states: Array(4).fill("in_progress") }) });
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const looked = await lab.run("resume", "latest", "--live", "--no-wait");
    expect(looked.code, looked.stderr).toBe(3);
    expect(lab.server.requests).toEqual([]);
    expect(lab.show().run.status).toBe("waiting");
    const resumed = await lab.run("resume", "latest", "--batch");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.server.requests).toEqual([]);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
  });
});

const tick = () => new Promise((resolve) => setTimeout(resolve, 10));
