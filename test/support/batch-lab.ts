import { readdirSync } from "node:fs";
import { json } from "node:stream/consumers";
import { expect } from "vitest";
import { renderRun } from "../../src/app/dataset/export-run.ts";
import { type RunDetails, showRun } from "../../src/app/runs/show-run.ts";
import type { RunSummary } from "../../src/app/runs/summary.ts";
import { checkStore } from "../../src/store/check/check.ts";
import { openStore } from "../../src/store/file/open.ts";
import { type ConfigOverrides, expectedDataset, rows, type Running, startDatagen } from "./harness.ts";
import { DATABASE, NO_JITTER, openLab } from "./lab.ts";
import type { LoopbackServer, ServerOptions } from "./server.ts";

/** US dollars per million tokens. */
export const PRICES = { input: 0.15, cached_input: 0.075, output: 0.6, batch_factor: 0.5 };

export const PLAIN = { condition: "Plain", reading: null, strategy: "Say it in English." };

interface Dataset {
  tasks: unknown[];
  metadata: Record<string, unknown> & { calls: RunSummary["calls"] };
}

/** A server, a config over so many rows, and a folder with a database; `await using` removes them. */
export async function batchLab(overrides: ConfigOverrides = {}, inputs = 4, options: ServerOptions = {}) {
  const lab = await openLab({
    config: { prices: PRICES, data_config: { sample_size: inputs }, ...overrides },
    data: rows(inputs),
    server: options,
    env: NO_JITTER,
  });
  const { space, spawned, config, data } = lab;
  /** The process that a script may kill. */
  let child: Running | undefined;
  return {
    ...lab,
    run: lab.datagen,
    start: (...args: string[]) => (child = startDatagen(args, spawned)),
    /** Ends the process that was started last, as the power does. */
    kill: (signal?: NodeJS.Signals) => child?.kill(signal),
    /** The newest run as a dataset. */
    async dataset(): Promise<Dataset> {
      using store = openStore(space.at(DATABASE));
      return (await json(renderRun(store, "latest"))) as Dataset;
    },
    show(): RunDetails {
      using store = openStore(space.at(DATABASE));
      return showRun(store, "latest");
    },
    change(sql: string): void {
      using store = openStore(space.at(DATABASE));
      store.sqlite.exec(sql);
    },
    filesIn: (folder: string) => readdirSync(space.at(folder)),
    /** What the dataset must hold if nothing fails. */
    expected: () => expectedDataset(config, data),
    /** Nothing in the database breaks a rule. */
    expectSound(): void {
      using store = openStore(space.at(DATABASE));
      expect(checkStore(store)).toEqual([]);
    },
  };
}

export type BatchLab = Awaited<ReturnType<typeof batchLab>>;

/** What the server has charged, in US dollars, where all was asked in one way. */
export function chargedBy({ served: { prompt, cached, completion } }: LoopbackServer, factor: number): number {
  const { input, cached_input: ofCache, output } = PRICES;
  return (factor * ((prompt - cached) * input + cached * ofCache + completion * output)) / 1e6;
}

/** Every call was charged once, and so none was paid for twice and none is missing. */
export function expectChargedOnce({ server, expected }: BatchLab): void {
  const wanted = expected().calls.length;
  const times = [...server.charged().values()];
  expect([times.length, Math.max(...times)]).toEqual([wanted, 1]);
}

/** The files of requests that the server has; those of answers are its own. */
export function uploaded({ server }: BatchLab): number {
  return server.files.filter(({ purpose }) => purpose !== "batch_output").length;
}
