import { type ProviderName, PROVIDERS } from "../../config/providers.ts";
import type { Config } from "../../config/schema.ts";
import { configWarnings } from "../../config/warnings.ts";
import { type Input, type InputFile, readInputs } from "../../dataset/inputs.ts";
import { UsageError } from "../../errors.ts";
import { type Expected, isInShard, type Part } from "../../plan/shard.ts";
import { createEstimator, type Estimate } from "../../estimate/estimate.ts";
import { callsPerInput } from "../../plan/calls.ts";
import { historyOf } from "../../store/reuse/history.ts";
import { providers, WITHOUT_SERVER } from "../../providers/index.ts";
import type { Store } from "../../store/file/store.ts";
import { expandHome } from "../../store/file/paths.ts";
import type { ReusePolicy } from "../../store/reuse/reuse-policy.ts";
import { createReuse } from "../../store/reuse/reuse.ts";
import { earlierAnswers } from "../run/earlier-answers.ts";
import type { OnEvent } from "../events.ts";
import type { Resolved } from "../run/resolve.ts";

export interface EstimateOptions {
  /** Which answers of earlier calls the run reuses; see `createRun`. */
  reuse?: ReusePolicy | undefined;
  /** The id of a pilot: the estimate rests on its calls first. */
  pilot?: string | undefined;
}

const EVENT_EVERY_MS = 100;

/**
 * Reads the whole input once, before anything is written: checks every row, and estimates what the run will send.
 * @returns the estimate, what it expects before it is rounded, and the SHA-256 of the file
 */
export async function survey(
  store: Store,
  {
    config,
    target: { provider, settings },
    priced,
    isSampled,
  }: Pick<Resolved, "config" | "target" | "priced" | "isSampled">,
  {
    onEvent,
    shard = null,
    reuse: policy = "same",
    pilot,
  }: EstimateOptions & { onEvent: OnEvent; shard?: Part | null | undefined },
): Promise<{ estimate: Estimate; expected: Expected; sha256: string }> {
  const { input_data_path: path, sample_size: size } = config.data_config;
  for (const message of configWarnings(config)) onEvent({ type: "warning", message });
  using reuse = createReuse(store, settings, policy, config.model_config.reasoning_tags ?? null);
  const estimator = await createEstimator({
    config,
    isCountedHere: providers[provider].remote === null,
    settings,
    priced,
    history: historyOf(store, provider, alikeTo(provider)),
    answersTo: earlierAnswers(config, callsPerInput(config.agent_perspectives, config.replicates), reuse),
    notesOf: (answer) => reuse.textOf(answer),
    pilot,
  });
  let inputs = 0;
  let withoutReference = 0;
  let saidAt = Date.now();
  const { sha256, more } = await eachInput(config.data_config, shard, (input) => {
    estimator.add(input);
    inputs += 1;
    if (input.reference === null) withoutReference += 1;
    if (Date.now() - saidAt < EVENT_EVERY_MS) return;
    saidAt = Date.now();
    onEvent({ type: "counting", inputs });
  });
  if (shard === null && inputs < size) {
    onEvent({ type: "warning", message: `${path} has ${inputs} inputs; sample_size is ${size}, so all are used` });
  }
  if (more !== null && more > 0) {
    const message = `${size} of ${size + more} inputs of ${path} are used${isSampled ? "" : "; sample_size takes more"}`;
    onEvent({ type: "warning", message });
  }
  if (shard !== null && inputs === 0) {
    throw new UsageError(`none of the inputs of ${path} is in shard ${shard.indices.join()} of ${shard.count}`);
  }
  if (config.add_references && withoutReference > 0) {
    const message = `${withoutReference} of ${inputs} inputs have no reference; theirs is null in the dataset`;
    onEvent({ type: "warning", message });
  }
  return { estimate: estimator.estimate(), expected: estimator.expected(), sha256 };
}

/**
 * Reads the inputs that a run has: the first of a file, or a part of those.
 * @returns what is known of the file then
 */
export async function eachInput(
  { input_data_path: path, sample_size: size }: Config["data_config"],
  shard: Part | null,
  visit: (input: Input) => void,
): Promise<InputFile> {
  const inputs = readInputs(expandHome(path), size);
  for (let next = await inputs.next(); ; next = await inputs.next()) {
    if (next.done) return next.value;
    if (shard === null || isInShard(shard, next.value.index)) visit(next.value);
  }
}

/** The providers whose answers resemble those of one: all with a server, or all without. */
function alikeTo(provider: ProviderName): ProviderName[] {
  const isLocal = WITHOUT_SERVER.includes(provider);
  return PROVIDERS.filter((name) => WITHOUT_SERVER.includes(name) === isLocal);
}
