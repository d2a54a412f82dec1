import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { batchLab, expectChargedOnce, PLAIN, uploaded } from "./support/batch-lab.ts";
import { type BatchFault, startServer } from "./support/server.ts";

/** A batch that is looked at so many times before it ends. */
const after = (looks: number) => ({ behaveBatch: () => ({ states: Array<"in_progress">(looks).fill("in_progress") }) });

describe.concurrent("a run whose batches are open", () => {
  test("exits with 3 under --no-wait until it is complete, and stores the results that are ready at each check", async () => {
    await using lab = await batchLab({}, 3, after(1));
    const codes = [(await lab.run("run", "config.json", "--batch", "--no-wait")).code];
    const succeeded = [];
    while (codes.at(-1) === 3 && codes.length < 9) {
      const { run, batches } = lab.show();
      expect(run.status).toBe("waiting");
      expect(batches.at(-1)).toMatchObject({ ended_at: null });
      const looked = await lab.run("resume", "latest", "--no-wait");
      if (looked.code === 3) {
        expect(looked.stderr).toMatch(/1 batch is open at the provider, with \d+ requests/);
        expect(looked.stderr).toMatch(/Go on with: datagen resume \w+/);
      }
      codes.push(looked.code);
      succeeded.push(lab.show().run.calls.succeeded);
    }
    expect(codes).toEqual([3, 3, 3, 3, 0]);
    expect(succeeded).toEqual([0, 12, 12, 18]);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("is waiting in lists, and is shown with them", async () => {
    await using lab = await batchLab({}, 3, after(9));
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const { stdout } = await lab.run("runs", "list", "--json");
    expect(JSON.parse(stdout)).toMatchObject([{ status: "waiting", calls: { pending: 18 }, finished_at: null }]);
    expect((await lab.run("runs", "list")).stdout).toMatch(/ waiting /);
    const [batch] = lab.server.batches;
    expect(lab.show().batches).toEqual([
      {
        name: batch?.name,
        id: batch?.id,
        status: "validating",
        requests: 12,
        completed: 0,
        failed: 0,
        error: null,
        created_at: expect.stringMatching(/^\d{4}-.*Z$/),
        ended_at: null,
      },
    ]);
    expect((await lab.run("runs", "show", "latest")).stdout).toMatch(
      new RegExp(`^BATCH +STATUS +REQUESTS.*\\n${batch?.id} +validating +12 `, "m"),
    );
    // What may be charged is under way, and no request without a known outcome.
    expect(lab.show().possibly_billed).toEqual({ requests: 0, cost_usd: 0 });
  });

  test("is left as it is by a Ctrl-C, which exits with 130", async () => {
    await using lab = await batchLab({}, 3, after(4));
    const running = lab.start("run", "config.json", "--batch");
    await running.waitFor(/Batch \S+ of 12 requests in_progress/);
    running.kill("SIGINT");
    const { code, stderr } = await running.done;
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/Go on with: datagen resume \w+/);
    expect(lab.server.batches.map(({ status }) => status)).toEqual(["in_progress"]);
    expect(lab.show().run.status).toBe("waiting");
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    expect(lab.server.batches).toHaveLength(2);
  });

  test("does not get other notes while a strategy is asked on those that it has, or on the want of them", async () => {
    let isEmpty = true;
    await using lab = await batchLab({}, 2, {
      behaveBatch: ({ index }) => ({ states: index < 3 ? [] : Array<"in_progress">(3).fill("in_progress") }),
      behave: ({ prompt }) => (isEmpty && prompt.startsWith("Take notes") ? { kind: "empty" } : undefined),
    });
    const running = lab.start("run", "config.json", "--batch");
    // Three times the readings, of which the first has the other strategies too; then the strategies without notes.
    await running.waitFor(/Batch \S+ of [24] requests in_progress/);
    running.kill("SIGINT");
    expect((await running.done).code).toBe(130);
    isEmpty = false;
    expect(lab.query("select failure from calls where state = 'failed'")).toHaveLength(2);
    const first = await lab.run("resume", "latest", "--live", "--retry-failed");
    expect(first.code, first.stderr).toBe(1);
    const second = await lab.run("resume", "latest", "--live", "--retry-failed");
    expect(second.code, second.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    lab.expectSound();
  });
});

describe.concurrent("runs cancel", () => {
  test.for(["gpt-4o-mini", "meta-llama/Llama-3.3-70B-Instruct-Turbo"])(
    "stores the results that are ready, and leaves the rest pending: %s",
    async (model) => {
      await using lab = await batchLab({ model_config: { model_name: model }, max_attempts: 1 }, 4, after(99));
      expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
      const cancelled = await lab.run("runs", "cancel", "latest", "--json");
      expect(cancelled.code, cancelled.stderr).toBe(0);
      expect(JSON.parse(cancelled.stdout)).toMatchObject({ status: "interrupted", calls: { succeeded: 8, failed: 0 } });
      expect(lab.server.batches.map(({ status }) => status)).toEqual(["cancelled"]);
      expect(lab.show().batches).toMatchObject([{ status: "cancelled", ended_at: expect.any(String) }]);
      lab.expectSound();
      lab.server.behaveBatch = undefined;
      const resumed = await lab.run("resume", "latest", "--live");
      expect(resumed.code, resumed.stderr).toBe(0);
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
      expectChargedOnce(lab);
      lab.expectSound();
    },
  );

  test.for([true, false])("finds a batch whose creation may have arrived: %s", async (isTaken) => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 4, after(99));
    lab.server.behaveApi = ({ operation }) => {
      if (operation !== "create") return undefined;
      lab.kill();
      return { kind: "hang", isTaken };
    };
    await lab.start("run", "config.json", "--batch").done;
    lab.server.behaveApi = undefined;
    const cancelled = await lab.run("runs", "cancel", "latest");
    expect(cancelled.code, cancelled.stderr).toBe(0);
    expect(lab.server.batches.map(({ status }) => status)).toEqual(isTaken ? ["cancelled"] : []);
    expect(lab.show().run).toMatchObject({ status: "interrupted", calls: { succeeded: isTaken ? 2 : 0, failed: 0 } });
    expect((await lab.run("resume", "latest", "--live")).code).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("of a run without batches changes nothing", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 2);
    expect((await lab.run("run", "config.json")).code).toBe(0);
    const cancelled = await lab.run("runs", "cancel", "latest");
    expect(cancelled.code, cancelled.stderr).toBe(0);
    expect(lab.show().run.status).toBe("completed");
    expect(lab.server.batchRequests).toEqual([]);
  });
});

describe.concurrent("a server", () => {
  const MISSING: BatchFault[] = [
    { kind: "status", status: 404, message: "Invalid URL" },
    { kind: "status", status: 405, message: "Method Not Allowed" },
  ];

  test.for<[fault: BatchFault, answer: RegExp]>([
    [MISSING[0]!, /404: Invalid URL/],
    [MISSING[1]!, /405: Method Not Allowed/],
    [{ kind: "status", status: 400, message: "no support for 'list_batches'" }, /400: no support for 'list_batches'/],
    [{ kind: "html", status: 200 }, /the server answered 200 with HTML/],
  ])("without batches is told before anything is sent or written: %j", async ([fault, answer]) => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 2, { behaveApi: () => fault });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(2);
    expect(result.stderr).toMatch(
      /http:\/\/127\.0\.0\.1:\d+\/openai\/v1 has no batch API; to GET \/batches it answered/,
    );
    expect(result.stderr).toMatch(answer);
    expect(result.stderr).toContain("Leave --batch out");
    expect(lab.server.batchRequests.map(({ method, path }) => [method, path])).toEqual([
      ["GET", "/openai/v1/batches?limit=1"],
    ]);
    expect(existsSync(lab.space.at("data"))).toBe(false);
  });

  test("without batches keeps a run live that was planned so", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 2, {
      behave: () => ({ kind: "status", status: 401 }),
    });
    expect((await lab.run("run", "config.json")).code).toBe(3);
    lab.server.behaveApi = () => MISSING[0];
    const refused = await lab.run("resume", "latest", "--batch");
    expect(refused.code, refused.stderr).toBe(2);
    expect(refused.stderr).toContain("has no batch API");
    expect(lab.server.batchRequests).toHaveLength(1);
    lab.server.behave = undefined;
    expect((await lab.run("resume", "latest")).code).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
  });

  test.for(MISSING)("that takes no batches any more is told, and the run goes on live: %j", async (fault) => {
    await using lab = await batchLab({}, 2, {
      behaveApi: ({ operation, nth }) => (operation === "listBatches" && nth === 1 ? undefined : fault),
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/http:\/\/127\.0\.0\.1:\d+\/openai\/v1 has no batch API/);
    expect(result.stderr).toMatch(/^Go on with: datagen resume \w+ --live$/m);
    expect((await lab.run("resume", "latest")).code).toBe(3);
    const resumed = await lab.run("resume", "latest", "--live");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("is asked once for the batches of all models, again after a passing failure, and not by a resume", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN], prices: undefined }, 2, {
      ...after(3),
      behaveApi: ({ operation, nth }) =>
        operation === "listBatches" && nth === 1 ? { kind: "status", status: 503 } : undefined,
    });
    const both = ["--model", "gpt-4o-mini", "--model", "gpt-4o", "--base-url", lab.server.openaiUrl];
    const begun = await lab.run("run", "config.json", "--batch", "--no-wait", "--name", "both", ...both);
    expect(begun.code, begun.stderr).toBe(3);
    const probes = () => lab.server.batchRequests.filter(({ path }) => path.endsWith("/batches?limit=1")).length;
    expect([probes(), lab.server.batches.length]).toEqual([2, 2]);
    const resumed = await lab.run("resume", "both", "--batch");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect([probes(), lab.server.batches.length]).toEqual([2, 2]);
  });

  test("gets batches that are no larger than the config says", async () => {
    const config = { agent_perspectives: [PLAIN], max_batch_requests: 2 };
    await using lab = await batchLab(config, 5);
    expect((await lab.run("run", "config.json", "--batch")).code).toBe(0);
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([2, 2, 1]);
    await using small = await batchLab({ agent_perspectives: [PLAIN], max_batch_mb: 0.001 }, 8);
    expect((await small.run("run", "config.json", "--batch")).code).toBe(0);
    const sizes = small.server.files.filter(({ purpose }) => purpose === "batch").map(({ bytes }) => bytes);
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
    expect((await small.dataset()).tasks).toEqual(small.expected().tasks);
  });

  test("that does not know a batch any more is told, and a cancelled batch is sent again", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 2, { behaveBatch: () => ({ states: [] }) });
    lab.server.behaveApi = ({ operation }) =>
      operation === "get" || operation === "cancel"
        ? { kind: "status", status: 404, message: "No such thing" }
        : undefined;
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toContain(`does not know batch ${lab.server.batches[0]?.id}`);
    expect(result.stderr).toMatch(/`datagen runs cancel \w{8} --give-up`/);
    expect(lab.show().run.status).toBe("waiting");
    const cancelled = await lab.run("runs", "cancel", "latest");
    expect(cancelled.code, cancelled.stderr).toBe(0);
    expect(cancelled.stderr).toContain("2 of its requests are possibly billed, and pending again");
    expect(lab.show()).toMatchObject({
      run: { status: "interrupted", calls: { pending: 2, failed: 0 } },
      possibly_billed: { requests: 2 },
    });
    lab.server.behaveApi = undefined;
    expect((await lab.run("resume", "latest")).code).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    lab.expectSound();
  });

  test.for<[operation: string, fault: BatchFault, message: RegExp]>([
    ["upload", { kind: "status", status: 401 }, /refused the API key/],
    ["create", { kind: "status", status: 400, message: "Billing hard limit has been reached" }, /Billing hard limit/],
    ["get", { kind: "status", status: 403 }, /forbids these requests/],
  ])(
    "that refuses a request about batches stops the run, which goes on later: %s",
    async ([wanted, fault, message]) => {
      await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 2);
      lab.server.behaveApi = ({ operation }) => (operation === wanted ? fault : undefined);
      const result = await lab.run("run", "config.json", "--batch");
      expect(result.code, result.stderr).toBe(3);
      expect(result.stderr).toMatch(message);
      lab.server.behaveApi = undefined;
      const resumed = await lab.run("resume", "latest");
      expect(resumed.code, resumed.stderr).toBe(0);
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
      expect([uploaded(lab), lab.server.batches.length]).toEqual([1, 1]);
      expectChargedOnce(lab);
    },
  );

  test("that fails every batch whole is sent smaller ones, says why, and fails the calls in the end", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN], max_attempts: 2 }, 2, {
      behaveBatch: () => ({ fails: [{ code: "mismatched_model", message: "The model cannot be batched." }] }),
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(1);
    const sizes = lab.server.batches.map(({ lines }) => lines.length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(sizes.at(-1)).toBeLessThan(sizes[0] ?? 0);
    const shown = (await lab.run("runs", "show", "latest")).stdout;
    expect(shown).toMatch(/ failed .*The model cannot be batched\.$/m);
    expect(shown).toMatch(/^not_processed +\d+ +2 +The model cannot be batched\./m);
    lab.server.behaveBatch = undefined;
    expect((await lab.run("resume", "latest", "--retry-failed")).code).toBe(0);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("that takes batches for chats only refuses other models before anything is planned", async () => {
    const model = { model_name: "meta-llama/Llama-3.3-70B-Instruct-Turbo", endpoint: "completions" as const };
    await using lab = await batchLab({ model_config: model, api_provider: "together" }, 2);
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(2);
    expect(result.stderr).toMatch(/batches of together accept only requests to the endpoint chat/);
    expect(lab.server.batchRequests).toEqual([]);
  });
});

describe.concurrent("the offline provider", () => {
  test("has batches without a key, and gives the dataset of a live run", async () => {
    await using lab = await batchLab({}, 5);
    Object.assign(lab.spawned.env, { OPENAI_API_KEY: undefined, TOGETHER_API_KEY: undefined });
    const first = await lab.run("run", "config.json", "--provider", "offline", "--batch", "--no-wait");
    expect(first.code, first.stderr).toBe(3);
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    const { tasks } = await lab.dataset();
    expect(lab.show()).toMatchObject({ run: { status: "completed", cost_usd: 0 }, batches: [{}, {}] });
    expect((await lab.run("run", "config.json", "--provider", "offline", "--fresh")).code).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(tasks);
    lab.expectSound();
  });
});

describe.concurrent("a database with batches", () => {
  test.for([0, 99])("can lose their run: looks before its end %i", async (looks) => {
    await using lab = await batchLab({}, 2, after(looks));
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const removed = await lab.run("runs", "delete", "latest", "--yes");
    expect(removed.code, removed.stderr).toBe(0);
    expect(removed.stderr).toMatch(/^Warning: run \w+ has 1 open batch\. .*`datagen runs cancel \w+` cancels/m);
    for (const table of ["runs", "batches", "calls", "attempts"]) {
      expect(lab.query(`select count(*) n from ${table}`)).toEqual([{ n: 0 }]);
    }
    lab.expectSound();
  });

  test("is merged once they are in, and not before", async () => {
    await using lab = await batchLab({}, 3, after(1));
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const early = await lab.run("db", "merge", "data/datagen.db", "--db", "whole.db");
    expect(early.code).toBe(2);
    expect(early.stderr).toMatch(/run \w+ of the other database waits for batches/);
    expect((await lab.run("resume", "latest")).code).toBe(0);
    const merged = await lab.run("db", "merge", "data/datagen.db", "--db", "whole.db");
    expect(merged.code, merged.stderr).toBe(0);
    const shown = await lab.run("runs", "show", "latest", "--json", "--db", "whole.db");
    const { batches, run } = JSON.parse(shown.stdout) as ReturnType<typeof lab.show>;
    expect({ batches, run }).toEqual({ batches: lab.show().batches, run: lab.show().run });
    expect((await lab.run("db", "check", "--db", "whole.db")).stdout).toMatch(/ 0 broken/);
  });
});

test("keys are sent to the server of the run, and stand nowhere", async () => {
  await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 2);
  await using other = await startServer();
  expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
  lab.spawned.env["OPENAI_BASE_URL"] = other.openaiUrl;
  const resumed = await lab.run("resume", "latest");
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(other.batchRequests).toEqual([]);
  const key = lab.spawned.env["OPENAI_API_KEY"] ?? "";
  expect(lab.server.batchRequests.every(({ authorization }) => authorization === `Bearer ${key}`)).toBe(true);
  for (const file of ["data/datagen.db", "data/datagen.db-wal"]) {
    expect(await lab.space.read(file).catch(() => "")).not.toContain(key);
  }
});
