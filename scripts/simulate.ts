// Plays schedules of the simulation. `npm run simulate -- --seed N` plays one, `--count N` the first N, `--minutes N` as
// many as fit into N minutes; both together stop at whichever comes first. A schedule depends only on its seed, so that a
// failure can be played again.
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeTemplate } from "../test/simulation/world.ts";
import { simulate } from "../test/simulation/simulate.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    count: { type: "string" },
    from: { type: "string", default: "1" },
    minutes: { type: "string" },
    step: { type: "string", default: "1" },
  },
});
const isWorker = process.send !== undefined;
const first = Number(values.seed ?? values.from);
const seconds = values.minutes === undefined ? Infinity : Number(values.minutes) * 60;
const most = Number(values.count ?? (seconds === Infinity ? 300 : Infinity));
const count = values.seed === undefined ? most : 1;
// Use the real clock, because the simulation replaces `Date` and timers.
const startedAt = process.hrtime.bigint();
const elapsed = () => Number(process.hrtime.bigint() - startedAt) / 1e9;

if (values.seed !== undefined || isWorker) {
  process.exitCode = (await playAll(first, Number(values.step))) ? 0 : 1;
} else {
  const processes = availableParallelism();
  const workers = Array.from({ length: processes }, (_, at) => work(at, processes));
  const results = await Promise.all(workers);
  const played = results.reduce((sum, result) => sum + result.played, 0);
  const failed = results.filter(({ isOk }) => !isOk).length;
  process.stdout.write(
    `${played} schedules played in ${Math.round(elapsed())} s\n${played - failed} passed, ${failed} failed\n`,
  );
  process.exitCode = failed === 0 && played > 0 ? 0 : 1;
}

/** Plays every `step`th schedule from `seed` on, until one fails. @returns whether all passed */
async function playAll(seed: number, step: number): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "datagen-template-"));
  const template = join(folder, "template.db");
  makeTemplate(template);
  let played = 0;
  try {
    for (let at = seed; at < first + count && elapsed() < seconds; at += step) {
      played += 1;
      await simulate(at, template);
    }
    return true;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    process.send?.(played);
  }
}

/** Plays a share of the schedules in another process. */
function work(at: number, processes: number): Promise<{ played: number; isOk: boolean }> {
  const more = [
    ...(count === Infinity ? [] : ["--count", String(count)]),
    ...(values.minutes === undefined ? [] : ["--minutes", values.minutes]),
  ];
  const child = fork(import.meta.filename, ["--from", String(first + at), "--step", String(processes), ...more]);
  let played = 0;
  child.on("message", (message) => {
    played = Number(message);
  });
  return new Promise((resolve) => child.on("exit", (code) => resolve({ played, isOk: code === 0 })));
}
