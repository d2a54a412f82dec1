import type { Config, Overrides } from "../../config/schema.ts";
import type { Store } from "../../store/file/store.ts";
import type { Environment } from "../server/environment.ts";
import type { Estimate } from "../../estimate/estimate.ts";
import type { OnEvent } from "../events.ts";
import { resolve } from "../run/resolve.ts";
import { type EstimateOptions, survey } from "./survey.ts";

export interface EstimateRunOptions extends EstimateOptions {
  /** Values that override the config's. */
  overrides?: Overrides | undefined;
  /** Where base URLs come from; no key is needed. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  onEvent?: OnEvent | undefined;
}

/**
 * Estimates the calls, tokens and cost of a run of a config. Reads all inputs, sends nothing, and writes nothing to the
 * database.
 * @throws UsageError when anything is wrong with the config or its inputs
 */
export async function estimateRun(store: Store, given: Config, options: EstimateRunOptions = {}): Promise<Estimate> {
  const { onEvent = () => {}, reuse, pilot } = options;
  const resolved = await resolve(store, given, options);
  const { estimate } = await survey(store, resolved, { reuse, pilot, onEvent });
  return estimate;
}
