import { type ProviderName, PROVIDERS } from "../../config/providers.ts";
import type { Config } from "../../config/schema.ts";
import { rowUseOf } from "../../config/prompt-parts.ts";
import { configWarnings } from "../../config/warnings.ts";
import { nameOfInputs } from "../../sources/input-files.ts";
import { type Input, type InputsRead, readInputs, type ReadInputsOptions } from "../../sources/inputs.ts";
import { UsageError } from "../../errors.ts";
import { type Expected, isInShard, type Part } from "../../plan/shard.ts";
import { createEstimator, type Estimate } from "../../estimate/estimate.ts";
import type { PromptRow } from "../../plan/prompt.ts";
import { callsPerInput } from "../../plan/calls.ts";
import { historyOf } from "../../store/reuse/history.ts";
import { modelFacts } from "../../models/limits.ts";
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
 * @returns the estimate, what it expects before it is rounded, and what is known of the files
 */
export async function survey(
  store: Store,
  {
    config,
    target: { provider, settings, asked },
    priced,
    isSampled,
  }: Pick<Resolved, "config" | "target" | "priced" | "isSampled">,
  {
    onEvent,
    shard = null,
    reuse: policy = "same",
    pilot,
  }: EstimateOptions & { onEvent: OnEvent; shard?: Part | null | undefined },
): Promise<{ estimate: Estimate; expected: Expected; read: InputsRead }> {
  const path = nameOfInputs(config.data_config);
  for (const message of configWarnings(config)) onEvent({ type: "warning", message });
  using reuse = createReuse(store, asked, policy, config.model_config.reasoning_tags ?? null);
  const estimator = await createEstimator({
    config,
    isCountedHere: providers[provider].remote === null,
    marksCache: providers[provider].marksCache === true,
    settings,
    asked,
    priced,
    history: historyOf(store, provider, alikeTo(provider)),
    answersTo: earlierAnswers(config, callsPerInput(config.agent_perspectives, config.replicates), asked, reuse),
    notesOf: (answer) => reuse.textOf(answer),
    pilot,
  });
  let inputs = 0;
  let withoutReference = 0;
  let saidAt = Date.now();
  const visit = (input: Input) => {
    estimator.add(rowOf(input));
    inputs += 1;
    if (input.reference === null) withoutReference += 1;
    if (Date.now() - saidAt < EVENT_EVERY_MS) return;
    saidAt = Date.now();
    onEvent({ type: "counting", inputs });
  };
  const onWarning = (message: string) => onEvent({ type: "warning", message });
  const read = await eachInput(config, shard, visit, { onWarning });
  const left = leftOut(config.data_config, read, isSampled);
  if (left !== null) onWarning(left);
  else if (shard === null && inputs < config.data_config.sample_size) {
    const count = inputs === 1 ? "1 input" : `${inputs} inputs`;
    onWarning(`${path} has ${count}; sample_size is ${config.data_config.sample_size}, so all are used`);
  }
  if (shard !== null && inputs === 0) {
    throw new UsageError(`none of the inputs of ${path} is in shard ${shard.indices.join()} of ${shard.count}`);
  }
  if (config.add_references && withoutReference > 0) {
    const message = `${withoutReference} of ${inputs} inputs have no reference; theirs is null in the dataset`;
    onEvent({ type: "warning", message });
  }
  const tooLong = tooLongFor(settings.model, estimator.tooLong());
  if (tooLong !== null) onWarning(tooLong);
  return { estimate: estimator.estimate(), expected: estimator.expected(), read };
}

/** Says that calls do not fit into the context window of a model; null if all do, or if it is unknown. */
function tooLongFor(model: string, calls: number): string | null {
  const window = modelFacts(model)?.contextWindow;
  if (window === undefined || calls === 0) return null;
  const count = calls === 1 ? "the prompt of 1 call does" : `the prompts of ${calls} calls do`;
  return `${count} not fit into the context window of ${model}, ${window} tokens, together with max_tokens`;
}

/** Says which rows of the files a run does not use; null if it uses all, or if their number is unknown. */
function leftOut(data: Config["data_config"], { rows }: InputsRead, isSampled: boolean): string | null {
  const { offset = 0, sample_size: size, shuffle = false, seed = 0 } = data;
  if (rows === null || rows <= size) return null;
  const used = Math.min(size, rows - offset);
  const how = [
    ...(shuffle ? [`drawn at random with the seed ${seed}`] : []),
    ...(offset > 0 ? [`after the first ${offset}`] : []),
  ].join(", ");
  const more = isSampled || used < size ? "" : "; sample_size takes more";
  return `${used} of ${rows} inputs of ${nameOfInputs(data)} are used${how === "" ? "" : `, ${how}`}${more}`;
}

/**
 * Reads the inputs that a run has, or a part of them.
 * @returns what is known of the files then
 */
export async function eachInput(
  config: Config,
  shard: Part | null,
  visit: (input: Input) => void,
  options: Omit<ReadInputsOptions, "used"> = {},
): Promise<InputsRead> {
  const inputs = readInputs(withHome(config.data_config), { ...options, used: rowUseOf(config) });
  for (let next = await inputs.next(); ; next = await inputs.next()) {
    if (next.done) return next.value;
    for (const input of next.value) if (shard === null || isInShard(shard, input.index)) visit(input);
  }
}

/** What prompts use of an input. */
export function rowOf({ text: input, reference, columns }: Input): PromptRow {
  return { input, reference, columns };
}

/** The files of a config as they can be opened. */
export function withHome(data: Config["data_config"]): Config["data_config"] {
  const { input_data_path: path } = data;
  return { ...data, input_data_path: typeof path === "string" ? expandHome(path) : path.map(expandHome) };
}

/** The providers whose answers resemble those of one: all with a server, or all without. */
function alikeTo(provider: ProviderName): ProviderName[] {
  const isLocal = WITHOUT_SERVER.includes(provider);
  return PROVIDERS.filter((name) => WITHOUT_SERVER.includes(name) === isLocal);
}
