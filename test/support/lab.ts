import type { RunSummary } from "../../src/app/runs/summary.ts";
import {
  configFor,
  type ConfigOverrides,
  environmentFor,
  queryRows,
  type Row,
  rows,
  type SpawnOptions,
  startDatagen,
  workspace,
} from "./harness.ts";
import { datagenInTurn } from "./in-turn.ts";
import { type ServerOptions, startServer } from "./server.ts";

/** A perspective that needs one call for each row. */
export const PLAIN = { condition: "Plain", reading: null, strategy: "Translate the German text into English." };

/** Makes the delays before a retry as short as they can be, and as long as a Retry-After says. */
export const NO_JITTER = { NODE_OPTIONS: "--import=data:text/javascript,Math.random=()=>0" };

/** A lab's database, in its folder. */
export const DATABASE = "data/datagen.db";

export interface LabDataset {
  tasks: { context: string; responses: (string | null)[]; preparations: (string | null)[] }[];
  metadata: Record<string, unknown> & {
    api_provider: string;
    calls: RunSummary["calls"];
    token_usage: { prompt_tokens: number; completion_tokens: number; estimated: boolean };
    api_calls: { total_calls: number };
  };
}

interface LabOptions {
  config?: ConfigOverrides;
  /** Default: one row. */
  data?: Row[];
  server?: ServerOptions;
  /** Variables beside those with which the server is asked. */
  env?: SpawnOptions["env"];
}

/** A server, and a folder with a config and its inputs, in which commands run; `await using` removes both. */
export async function openLab({ config: overrides, data = rows(1), server: options, env }: LabOptions = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startServer(options));
  const space = stack.use(await workspace());
  const config = configFor(overrides);
  await space.write("config.json", config);
  await space.write("rows.json", data);
  const spawned = { cwd: space.path, env: { ...environmentFor(server), ...env } as NonNullable<SpawnOptions["env"]> };
  return {
    server,
    space,
    config,
    data,
    spawned,
    /** Runs `datagen ARGS` to its end. */
    datagen: (...args: string[]) => datagenInTurn(args, spawned),
    /** Starts `datagen ARGS` as a process of its own. */
    start: (...args: string[]) => startDatagen(args, spawned),
    /** Runs the config to its end; the dataset is `dataset.json`. @param variables in the place of the lab's own */
    async runConfig(flags: readonly string[] = [], variables: SpawnOptions["env"] = spawned.env) {
      const args = ["run", "config.json", "--json", "--output", "dataset.json", ...flags];
      const result = await datagenInTurn(args, { cwd: space.path, ...(variables && { env: variables }) });
      const { run } = JSON.parse(result.stdout || "{}") as { run?: RunSummary };
      return { ...result, run };
    },
    dataset: () => space.json<LabDataset>("dataset.json"),
    query: <T>(sql: string) => queryRows<T>(space.at(DATABASE), sql),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
