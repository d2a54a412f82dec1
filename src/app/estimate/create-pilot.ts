import { applyOverrides } from "../../config/parse.ts";
import type { Config } from "../../config/schema.ts";
import type { Store } from "../../store/file/store.ts";
import { madeName } from "../../store/runs/experiments.ts";
import { localTime } from "../paths.ts";
import { type CreatedExperiment, createRun, planExperiment } from "../run/create-run.ts";
import type { CreateRunOptions, PreparedRun } from "../run/prepare-run.ts";
import { eachInput } from "./survey.ts";

/**
 * The options of `createRun` for a pilot.
 * @throws UsageError when the inputs cannot be read
 * @internal
 */
export async function pilotOptions(
  given: Config,
  size: number,
  options: Omit<CreateRunOptions, "name">,
): Promise<CreateRunOptions> {
  const { overrides = {}, onEvent = () => {} } = options;
  const config = applyOverrides(given, overrides);
  let inputs = 0;
  await eachInput(config, null, () => {
    inputs += 1;
  });
  if (size >= inputs) {
    onEvent({ type: "warning", message: `the pilot is the whole run: there are only ${inputs} inputs` });
  }
  return { ...options, overrides: { ...overrides, sampleSize: Math.min(size, inputs) }, name: "pilot" };
}

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
  return await createRun(store, given, await pilotOptions(given, size, options));
}

/**
 * Plans the pilots of several models as an experiment, whose name begins with "pilot".
 * @throws UsageError as `createExperiment` does
 * @internal
 */
export async function planPilots(
  store: Store,
  prepared: readonly PreparedRun[],
  options: CreateRunOptions,
): Promise<CreatedExperiment> {
  const name = madeName(store, "pilot", localTime(Date.now()));
  return await planExperiment(store, prepared, { ...options, name });
}
