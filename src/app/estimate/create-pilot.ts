import { applyOverrides } from "../../config/parse.ts";
import type { Config } from "../../config/schema.ts";
import type { Store } from "../../store/file/store.ts";
import { madeName } from "../../store/runs/experiments.ts";
import { localTime } from "../paths.ts";
import { planRuns } from "../run/create-run.ts";
import { type CreateRunOptions, type PreparedRun, prepareRuns } from "../run/prepare-run.ts";
import type { NamedRuns } from "../runs/named-runs.ts";
import { eachInput } from "./survey.ts";

/** Runs have this name if they are pilots. The name of an experiment of several begins with it. */
const NAME = "pilot";

/**
 * Plans a run of the first inputs of a config, named "pilot". `estimateRun` can estimate the whole run from its answers,
 * and the whole run reuses them.
 * @param size how many inputs; at most those of the whole run
 * @returns the id of the run
 * @throws UsageError as `createRun` does
 */
export async function createPilot(
  store: Store,
  given: Config,
  size: number,
  options: Omit<CreateRunOptions, "name"> = {},
): Promise<string> {
  const { name } = await planPilots(store, await preparePilots(store, [given], size, options));
  return name;
}

/**
 * Pilots that are checked and agreed to, one for each model, and of which nothing is written yet.
 * @internal
 */
export interface PreparedPilots {
  prepared: readonly PreparedRun[];
  options: CreateRunOptions;
}

/**
 * Checks the pilots of the models of a config, as `prepareRuns` does.
 * @param configs one for each model
 * @throws UsageError also when the inputs cannot be read
 * @internal
 */
export async function preparePilots(
  store: Store,
  configs: readonly Config[],
  size: number,
  given: Omit<CreateRunOptions, "name">,
): Promise<PreparedPilots> {
  const { overrides = {}, onEvent = () => {} } = given;
  const [first] = configs;
  if (!first) throw new Error("the config has no model");
  let inputs = 0;
  await eachInput(applyOverrides(first, overrides), null, () => {
    inputs += 1;
  });
  if (size >= inputs) {
    onEvent({ type: "warning", message: `the pilot is the whole run: there are only ${inputs} inputs` });
  }
  const options = { ...given, overrides: { ...overrides, sampleSize: Math.min(size, inputs) } };
  return { prepared: await prepareRuns(store, configs, options), options };
}

/**
 * Plans pilots: a run, or the runs of an experiment.
 * @throws UsageError as `createRun` does
 * @internal
 */
export async function planPilots(store: Store, { prepared, options }: PreparedPilots): Promise<NamedRuns> {
  const name = prepared.length > 1 ? madeName(store, NAME, localTime(Date.now())) : NAME;
  return await planRuns(store, prepared, { ...options, name });
}
