import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { type ConfigOverrides, datagen, rows } from "./support/harness.ts";
import { openLab, PLAIN } from "./support/lab.ts";

const BIN = join(resolve(import.meta.dirname, ".."), "dist/main.js");

/** Dollars for a word. */
const DEAR = { input: 100_000, cached_input: 100_000, output: 100_000 };

/** A lab of a few calls, whose commands can also run on a terminal where somebody answers. */
async function open(config: ConfigOverrides = {}) {
  const lab = await openLab({ config: { agent_perspectives: [PLAIN], ...config }, data: rows(2) });
  const bin = await lab.space.write(
    "terminal.mjs",
    `for (const stream of [process.stdin, process.stdout, process.stderr]) stream.isTTY = true;
     await import(${JSON.stringify(pathToFileURL(BIN).href)});`,
  );
  return {
    ...lab,
    onTerminal: (answer: string, ...args: string[]) => datagen(args, { ...lab.spawned, bin, input: `${answer}\n` }),
  };
}

const QUESTION = /About \$[\d,.]+ for 2 calls to gpt-4o-mini: more than \$1\.00 \(confirm_above_usd\)\. Send them\?/;
const RUN = ["run", "config.json", "--no-export"];

describe.concurrent("before a run that will cost more than an amount", () => {
  test("a terminal asks, and a no sends and creates nothing", async () => {
    await using lab = await open({ prices: DEAR });
    const { code, stderr } = await lab.onTerminal("n", ...RUN);
    expect(stderr).toMatch(QUESTION);
    expect(stderr).toMatch(/^.*Nothing was sent, and no run was created\.$/m);
    expect(stderr).not.toContain("Error");
    expect(code).toBe(2);
    expect(lab.server.requests).toEqual([]);
    expect(existsSync(lab.space.at("data"))).toBe(false);
  });

  test("a terminal goes on after a yes, and nobody else is asked", async () => {
    await using lab = await open({ prices: DEAR });
    const asked = await lab.onTerminal("y", ...RUN);
    expect(asked.stderr).toMatch(QUESTION);
    expect(asked.code, asked.stderr).toBe(0);
    for (const flags of [["--yes"], ["--confirm-above", "1000"]]) {
      const sure = await lab.onTerminal("", ...RUN, "--fresh", ...flags);
      expect([sure.code, sure.stderr.includes("Send them?")], sure.stderr).toEqual([0, false]);
    }
    const piped = await lab.datagen(...RUN, "--fresh");
    expect([piped.code, piped.stderr.includes("Send them?")], piped.stderr).toEqual([0, false]);
    expect(lab.server.requests).toHaveLength(8);
  });

  test("the amount may stand in the config, a cap below it needs no question, and an unknown cost asks nothing", async () => {
    await using strict = await open({ confirm_above_usd: 0 });
    expect((await strict.onTerminal("n", ...RUN)).stderr).toMatch(/more than \$0\.00 \(confirm_above_usd\)/);
    await using lab = await open({ prices: DEAR });
    expect((await lab.onTerminal("", ...RUN, "--max-cost", "0.5")).stderr).not.toContain("Send them?");
    const unknown = await strict.onTerminal("", ...RUN, "--model", "gpt-of-nobody");
    expect([unknown.code, unknown.stderr.includes("Send them?")], unknown.stderr).toEqual([0, false]);
  });

  test("a pilot is asked about, too", async () => {
    await using lab = await open({ prices: DEAR });
    const { code, stderr } = await lab.onTerminal("n", "estimate", "config.json", "--pilot", "1");
    expect([code, lab.server.requests.length], stderr).toEqual([2, 0]);
    expect(stderr).toMatch(/for 1 call to gpt-4o-mini/);
  });
});

test("an estimate above the cap is said before anything is sent", async () => {
  await using lab = await open({ prices: DEAR });
  const { code, stderr } = await lab.datagen(...RUN, "--max-cost", "0.001");
  expect(code).toBe(3);
  expect(stderr).toMatch(/Warning: the estimate of \$[\d.]+ is above the cap of \$0\.001, where the run will stop\n/);
  expect(lab.server.requests).toEqual([]);
});

test("a run of the same plan that is running now is named, and asked about on a terminal", async () => {
  await using lab = await open({ concurrency: 1 });
  lab.server.behave = () => ({ kind: "hang" });
  await using first = lab.start(...RUN);
  await expect.poll(() => lab.server.requests.length, { timeout: 20_000 }).toBe(1);
  const [, id] = await first.waitFor(/^Run (\w+): /m);
  lab.server.behave = undefined;

  const asked = await lab.onTerminal("n", ...RUN);
  expect(asked.stderr).toContain(`Run ${id} has the same plan, and is running since `);
  expect([asked.code, lab.server.requests.length]).toEqual([2, 1]);
  const other = await lab.onTerminal("", ...RUN, "--sample-size", "1");
  expect(other.stderr).not.toContain("same plan");
  const piped = await lab.datagen(...RUN, "--fresh");
  expect(piped.stderr).toContain(`Warning: run ${id} has the same plan, and is running since `);
  expect(piped.code, piped.stderr).toBe(0);
});

test.for([
  ["import", "rows.json"],
  ["import", "nowhere.json"],
])("datagen %s %s makes no folder for its database", async (args) => {
  await using lab = await open();
  const { code, stderr } = await lab.datagen(...args);
  expect(code, stderr).toBe(2);
  expect(existsSync(lab.space.at("data"))).toBe(false);
});

test.for([
  ["without a key", { OPENAI_API_KEY: undefined, OPENAI_BASE_URL: undefined }, "config.json"],
  ["with a wrong config", {}, "rows.json"],
  ["with wrong inputs", {}, "wrong.json"],
] as const)("a run %s makes no folder for its database", async ([, env, config]) => {
  await using lab = await open();
  await lab.space.write("bad.json", [{ text: "there is no input" }]);
  await lab.space.write("wrong.json", { ...lab.config, data_config: { input_data_path: "bad.json" } });
  const args = ["run", config];
  const { code, stderr } = await datagen(args, { cwd: lab.space.path, env: { ...lab.spawned.env, ...env } });
  expect(code, stderr).toBe(2);
  expect(existsSync(lab.space.at("data"))).toBe(false);
});
