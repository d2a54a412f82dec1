import { parseConfig } from "../../config/parse.ts";
import type { Config, ConfigInput, Overrides } from "../../config/schema.ts";
import { openStore } from "../../store/file/open.ts";
import { planRuns } from "./create-run.ts";
import { prepareRun } from "./prepare-run.ts";
import { DEFAULT_DATABASE } from "../paths.ts";
import type { OnEvent } from "../events.ts";
import { executeRun } from "./execute-run.ts";
import { exportRun } from "../dataset/export-run.ts";
import { checkOutput, keptOf } from "../dataset/output.ts";

export interface PipelineOptions {
  /** The database's path. Default: `data/datagen.db`. */
  database?: string | undefined;
  /** The dataset's path, or a folder that exists. Default: the folder `data/agents`. */
  output?: string | undefined;
  /** A label for lists. */
  name?: string | undefined;
  /** Values that override the config's. */
  overrides?: Overrides | undefined;
  /** Stops the run, which can be resumed with `datagen resume` or `executeRun`, or the export of its dataset. */
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** Makes a dataset from a config in one call: plans, executes and exports a run. */
export class DataGenerationPipeline {
  readonly config: Config;
  readonly #options: PipelineOptions;

  /** @throws UsageError that lists everything that is wrong with the config */
  constructor(config: ConfigInput, options: PipelineOptions = {}) {
    this.config = parseConfig(config);
    this.#options = options;
  }

  /**
   * Runs the config. Every answer is stored when it arrives, so that nothing is lost if this throws.
   * @returns the path of the dataset
   * @throws DatagenError of the kinds that `createRun`, `executeRun` and `exportRun` name
   */
  async generateDataset(): Promise<string> {
    const { database = DEFAULT_DATABASE, output, name, overrides, signal, onEvent } = this.#options;
    using known = openStore(database, "pretend");
    await checkOutput(output, keptOf(known, this.config));
    const options = { name, overrides, onEvent };
    const prepared = await prepareRun(known, this.config, options);
    using store = known.isPretended ? openStore(database) : known;
    const { name: run } = await planRuns(store, [prepared], options);
    await executeRun(store, run, { signal, onEvent });
    return await exportRun(store, run, { output, signal, onEvent });
  }
}
