import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { batchLab, chargedBy, PRICES } from "./support/batch-lab.ts";
import { ENGINES, startEngine, type TestEngine } from "./support/engines.ts";
import { type Running, startDatagen } from "./support/harness.ts";
import { rounds } from "./support/rounds.ts";
import type { Fault } from "./support/server.ts";
import { randomOf, type Random } from "./simulation/random.ts";

const INPUTS = 6;
const CONCURRENCY = 4;
const WORKERS = 2;
/** Of a test, and of each process in it. */
const LONGEST_MS = 300_000;
const FAULTS: Fault[] = [
  { kind: "status", status: 500 },
  { kind: "status", status: 503 },
  { kind: "status", status: 429, headers: { "retry-after": "0" } },
  { kind: "reset" },
  { kind: "malformed" },
];

/** How many rounds share an engine, and its ends. */
const AT_ONCE = 4;

/** One run whose process and workers are killed at random. */
async function startRound(engine: TestEngine, random: Random) {
  const cap = (INPUTS * 6 * 10 * (1_000 * PRICES.input + 200 * PRICES.output)) / 1e6;
  const config = { executor: "queue" as const, max_attempts: 20, max_cost_usd: cap };
  const lab = await batchLab(config, INPUTS, {
    latency: () => random.whole(50, 600),
    behave: () => (random.chance(0.2) ? random.pick(FAULTS) : undefined),
  });
  lab.spawned.env["DATAGEN_QUEUE"] = engine.url;
  const started = new Set<Running>();
  let isDone = false;
  const startOne = async (): Promise<Running> => {
    const args = ["worker", "--json", "--base-url", lab.server.openaiUrl, "--concurrency", String(CONCURRENCY)];
    const worker = startDatagen(args, { ...lab.spawned, timeoutMs: LONGEST_MS });
    started.add(worker);
    await worker.waitFor(/^Taking jobs from /m, "stderr", LONGEST_MS);
    return worker;
  };
  const workers: Running[] = await Promise.all(Array.from({ length: WORKERS }, startOne));
  let process = lab.start("run", "config.json");
  /** The most calls that may have been answered without anybody having heard of it. */
  let mostLost = 0;
  const open = () =>
    lab.query<{ n: number }>("select count(*) n from attempts where job_token is not null and message is null")[0]!.n;

  async function killSomething(): Promise<void> {
    const victim = random.whole(0, WORKERS);
    const worker = workers[victim];
    if (!worker) {
      process.kill();
      return;
    }
    mostLost += CONCURRENCY;
    worker.kill();
    workers[victim] = await startOne();
  }

  return {
    lab,
    isDone: () => isDone,
    /** The engine is about to lose all that it has, or has lost it. */
    loses: () => (mostLost += open()),
    async play(kills: number): Promise<void> {
      const killing = (async () => {
        while (lab.server.requests.length < 4) await sleep(20);
        for (let left = kills; left > 0; left -= 1) {
          await sleep(random.whole(200, 2_500));
          if (isDone) return;
          await killSomething();
        }
      })();
      killing.catch(() => {});
      for (;;) {
        const { code, signal, stderr } = await process.done;
        // A process that starts while the engine is away stops, and can be resumed.
        const isAway = code === 3 && stderr.includes("does not answer");
        if (signal !== "SIGKILL" && !isAway) {
          expect(code, stderr).toBe(0);
          break;
        }
        if (isAway) await sleep(500);
        process = lab.start("resume", "latest");
      }
      isDone = true;
      await killing;
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
      lab.expectSound();
      const times = [...lab.server.charged().values()];
      expect(times).toHaveLength(lab.expected().calls.length);
      const twice = times.reduce((sum, each) => sum + each - 1, 0);
      expect(twice).toBeLessThanOrEqual(mostLost);
      expect(chargedBy(lab.server, 1)).toBeLessThanOrEqual(cap);
      expect(lab.show().run.cost_usd ?? 0).toBeLessThanOrEqual(chargedBy(lab.server, 1) + 1e-6);
    },
    async [Symbol.asyncDispose]() {
      isDone = true;
      for (const one of [...started, process]) one.kill();
      await lab[Symbol.asyncDispose]();
    },
  };
}

const SEEDS = Array.from({ length: rounds(4, 40) / AT_ONCE }, (_, at) => at + 1);

// A round waits most of its time for workers that were lost.
describe.each(ENGINES)("a run whose calls are in %s", { concurrent: SEEDS.length === 1 }, (name) => {
  test.each(SEEDS)(
    "has the live dataset after kills of its process, its workers and the engine, and pays only what was in flight twice: %i",
    async (seed) => {
      await using engine = await startEngine(name);
      await using stack = new AsyncDisposableStack();
      const random = randomOf(seed);
      const all = await Promise.all(
        Array.from({ length: AT_ONCE }, async (_, at) =>
          stack.use(await startRound(engine, randomOf(1_000 * seed + at))),
        ),
      );
      const playing = Promise.all(all.map((round) => round.play(random.whole(1, 3))));
      let isOver = false;
      const over = playing.finally(() => (isOver = true));
      over.catch(() => {});
      while (all.some(({ lab, isDone }) => !isDone() && lab.server.requests.length < 4)) await sleep(20);
      for (const isEmpty of [false, true]) {
        await sleep(random.whole(1_000, 4_000));
        if (isOver) break;
        // What Redis has answered outlives its crash. PostgreSQL loses the last moments; see OPTIONS in postgres.ts.
        const loses = isEmpty || name === "postgres";
        const lose = () => all.forEach((round) => loses && !round.isDone() && round.loses());
        lose();
        await engine.crash();
        lose();
        await sleep(random.whole(100, 1_500));
        await (isEmpty ? engine.restartEmpty() : engine.restart());
      }
      await over;
    },
    LONGEST_MS,
  );
});
