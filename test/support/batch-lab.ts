import { json } from "node:stream/consumers";
import { expect } from "vitest";
import { renderRun } from "../../src/app/dataset/export-run.ts";
import { type RunDetails, showRun } from "../../src/app/runs/show-run.ts";
import type { RunSummary } from "../../src/app/runs/summary.ts";
import { checkStore } from "../../src/store/check/check.ts";
import { openStore } from "../../src/store/file/open.ts";
import {
  type Config,
  configFor,
  type ConfigOverrides,
  datagen,
  environmentFor,
  expectedDataset,
  openDatabase,
  type Row,
  rows,
  type Running,
  startDatagen,
  workspace,
} from "./harness.ts";
import { type LoopbackServer, type ServerOptions, startServer } from "./server.ts";

/** US dollars per million tokens. */
export const PRICES = { input: 0.15, cached_input: 0.075, output: 0.6, batch_factor: 0.5 };

export const PLAIN = { condition: "Plain", reading: null, strategy: "Say it in English." };

/** Makes the delays before a retry as short as they can be. */
const NO_JITTER = "--import=data:text/javascript,Math.random=()=>0";

const DATABASE = "data/datagen.db";

interface Dataset {
  tasks: unknown[];
  metadata: Record<string, unknown> & { calls: RunSummary["calls"] };
}

/** A server, a config over so many rows, and a folder with a database; `await using` removes them. */
export async function batchLab(overrides: ConfigOverrides = {}, inputs = 4, options: ServerOptions = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startServer(options));
  const space = stack.use(await workspace());
  const config: Config = configFor({ prices: PRICES, data_config: { sample_size: inputs }, ...overrides });
  const data: Row[] = rows(inputs);
  await space.write("rows.json", data);
  await space.write("config.json", config);
  const spawned = {
    cwd: space.path,
    env: { ...environmentFor(server), NODE_OPTIONS: NO_JITTER } as Record<string, string | undefined>,
  };
  const run = (...args: string[]) => datagen(args, spawned);
  /** The process that a script may kill. */
  let child: Running | undefined;
  return {
    server,
    space,
    config,
    data,
    spawned,
    run,
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
    query<T>(sql: string): T[] {
      using database = disposable(openDatabase(space.at(DATABASE)));
      return database.prepare<[], T>(sql).all();
    },
    /** What the dataset must hold if nothing fails. */
    expected: () => expectedDataset(config, data),
    /** Nothing in the database breaks a rule. */
    expectSound(): void {
      using store = openStore(space.at(DATABASE));
      expect(checkStore(store)).toEqual([]);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type BatchLab = Awaited<ReturnType<typeof batchLab>>;

function disposable<T extends { close(): unknown }>(one: T): T & Disposable {
  return Object.assign(one, { [Symbol.dispose]: () => void one.close() });
}

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
