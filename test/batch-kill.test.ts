import { describe, expect, test } from "vitest";
import { batchLab, type BatchLab, expectChargedOnce, PLAIN, uploaded } from "./support/batch-lab.ts";
import { BATCHING, batchesOf, modelOf } from "./support/providers/index.ts";
import type { BatchFault, ServerOptions } from "./support/server.ts";

type Api = NonNullable<ServerOptions["behaveApi"]>;

describe.concurrent("a kill of a run", () => {
  const POINTS: [when: string, operation: Parameters<Api>[0]["operation"], nth: number, isTaken: boolean][] = [
    ["before its file has arrived", "upload", 1, false],
    ["when its file has arrived", "upload", 1, true],
    ["before its batch is created", "create", 1, false],
    ["when its batch is created", "create", 1, true],
    ["when its batch is looked at", "get", 1, false],
    ["when its batch has completed", "get", 2, true],
    ["before any answer is taken in", "content", 1, false],
    ["before the file of its second wave has arrived", "upload", 2, false],
    ["when its second batch is created", "create", 2, true],
  ];

  // They differ in how a submission is made and found.
  const CASES = BATCHING.flatMap((provider) =>
    POINTS.filter(
      ([, operation]) =>
        operation === "create" ||
        (operation === "upload" ? batchesOf(provider).upload !== null : batchesOf(provider).traits.keepsMetadata),
    ).map((point) => [provider, ...point] as const),
  );

  test.for(CASES)("of %s %s (%s %i, taken: %s) loses nothing and pays nothing twice", async (point) => {
    const [provider, , operation, nth, isTaken] = point;
    await using lab = await batchLab(modelOf(provider), 3);
    let isKilled = false;
    lab.server.behaveApi = (request) => {
      if (isKilled || request.operation !== operation || request.nth !== nth) return undefined;
      isKilled = true;
      lab.kill();
      return { kind: "hang", isTaken };
    };
    const { signal } = await lab.start("run", "config.json", "--batch").done;
    expect(signal).toBe("SIGKILL");
    expect(lab.show().run.status).toBe("waiting");
    lab.expectSound();
    await expectFinished(lab);
  });
});

async function expectFinished(lab: BatchLab): Promise<void> {
  const resumed = await lab.run("resume", "latest");
  expect(resumed.code, resumed.stderr).toBe(0);
  expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
  expectChargedOnce(lab);
  expect(lab.server.batches).toHaveLength(2);
  expect(uploaded(lab)).toBe(2);
  const { run, batches } = lab.show();
  expect(run.calls).toMatchObject({ pending: 0, failed: 0 });
  expect(batches.map(({ status }) => status)).toEqual(["completed", "completed"]);
  lab.expectSound();
}

describe.concurrent("a kill", () => {
  test("when half of the answers are stored stores the other half", async () => {
    await using lab = await batchLab({ agent_perspectives: [PLAIN] }, 5_600, {
      behaveLine: ({ nth, index }) => (nth === 1 && index % 30 === 0 ? { kind: "status", status: 500 } : undefined),
    });
    lab.server.behaveApi = ({ operation, nth }) => {
      // The file of errors: of the answers, one transaction of 5,000 is stored.
      if (operation !== "content" || nth !== 2) return undefined;
      lab.kill();
      return { kind: "hang" };
    };
    expect((await lab.start("run", "config.json", "--batch").done).signal).toBe("SIGKILL");
    const stored = lab.show().run.calls.succeeded;
    expect(stored).toBeGreaterThanOrEqual(5_000);
    expect(stored).toBeLessThan(5_600);
    lab.expectSound();
    lab.server.behaveApi = undefined;
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    expect(lab.server.batches.map(({ lines }) => lines.length)).toEqual([5_600, 187]);
    lab.expectSound();
  });

  test("again and again, at every request about files and batches, ends with the same dataset", async () => {
    await using lab = await batchLab({}, 2);
    const seen = new Set<string>();
    lab.server.behaveApi = ({ operation, nth }) => {
      // Before the first list there is no run yet that could go on.
      if (operation === "listBatches" && nth === 1) return undefined;
      const isTaken = nth % 2 === 0;
      const point = `${operation} ${isTaken}`;
      if (seen.has(point)) return undefined;
      seen.add(point);
      lab.kill();
      return { kind: "hang", isTaken };
    };
    await lab.start("run", "config.json", "--batch").done;
    for (let kills = 0; kills < 20; kills += 1) {
      const { code, signal } = await lab.start("resume", "latest").done;
      if (signal === null) {
        expect(code).toBe(0);
        break;
      }
    }
    expect(seen.size).toBeGreaterThan(7);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });
});

describe.concurrent.each(BATCHING)("a submission to %s", (provider) => {
  const FAULTS: BatchFault[] = [
    { kind: "reset" },
    { kind: "half", isTaken: true },
    { kind: "status", status: 503, isTaken: true },
  ];
  const operations = batchesOf(provider).upload === null ? (["create"] as const) : (["upload", "create"] as const);
  const CASES = operations.flatMap((operation) => FAULTS.map((fault) => [operation, fault] as const));

  test.for(CASES)("with a lost answer is not sent twice: %s, %j", async ([lost, fault]) => {
    await using lab = await batchLab({ ...modelOf(provider), agent_perspectives: [PLAIN] }, 3, {
      behaveBatch: () => ({ states: [] }),
      behaveApi: ({ operation, nth }) => (operation === lost && nth === 1 ? fault : undefined),
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expect([uploaded(lab), lab.server.batches.length]).toEqual([1, 1]);
    expectChargedOnce(lab);
  });
});
