import { applyOverrides } from "../../config/parse.ts";
import { formatPath, formatProblems, type Path, type Problem } from "../../config/problems.ts";
import { chatOnly } from "../../config/prompt-problems.ts";
import type { Config, Overrides } from "../../config/schema.ts";
import { UsageError } from "../../errors.ts";
import type { Priced } from "../../estimate/estimate.ts";
import { instructionsOf } from "../../plan/prompt.ts";
import { providers } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import type { Store } from "../../store/file/store.ts";
import { resolvePrices } from "../prices.ts";
import { type Environment, readVariables, type Variables } from "../server/environment.ts";
import {
  connectionOf,
  connectionOfWorkers,
  eachServer,
  MissingKeyError,
  missingKeys,
  resolveTarget,
  type Target,
} from "../server/target.ts";
import { canonicalJson } from "../../plan/settings.ts";
import { checkBatches } from "./batches.ts";
import { checkCap } from "./cap.ts";
import { namesQueue, queueUrlOfPlan } from "./queue.ts";

/** A config with everything that its run needs: the provider, the settings and the prices. */
export interface Resolved {
  /** Includes the values of flags. */
  config: Config;
  /** Whether a flag says how many inputs to use. */
  isSampled: boolean;
  target: Target;
  priced: Priced;
  /** Where keys come from. */
  variables: Variables;
}

/**
 * Decides, once, everything that a config leaves to flags, the environment, the provider and the user's prices.
 * @throws UsageError when a flag or a base URL does not fit, or the endpoint takes no system prompts and messages
 */
export async function resolve(
  store: Store,
  given: Config,
  { overrides = {}, environment }: { overrides?: Overrides | undefined; environment?: Environment | undefined },
): Promise<Resolved> {
  const variables = readVariables(environment);
  const config = withExecutor(applyOverrides(given, overrides), variables);
  const target = resolveTarget(config, overrides.baseUrl !== undefined, variables);
  checkMessages(config, target);
  checkForProvider(config, target);
  const isSampled = overrides.test === true || overrides.sampleSize !== undefined;
  return { config, isSampled, target, priced: await resolvePrices(store, config, target), variables };
}

/** The config with the executor that follows from the environment, if it names none. */
function withExecutor(config: Config, variables: Variables): Config {
  return config.executor === undefined && namesQueue(variables) ? { ...config, executor: "queue" } : config;
}

/**
 * Resolves the models of an experiment, as {@link resolve} does.
 * @throws UsageError also when two of them would be asked the same
 */
export async function resolveAll(
  store: Store,
  configs: readonly Config[],
  options: { overrides?: Overrides | undefined; environment?: Environment | undefined },
): Promise<Resolved[]> {
  const all: Resolved[] = [];
  const places = new Map<string, number>();
  for (const [at, config] of configs.entries()) {
    const resolved = await resolve(store, config, options);
    const asked = canonicalJson(resolved.target.settings);
    const earlier = places.get(asked);
    if (earlier !== undefined) {
      throw new UsageError(
        `model ${at + 1} would be asked the same as model ${earlier + 1}: ${resolved.target.settings.model} with the same parameters`,
        "Leave one of them out, or give them other parameters. To ask more than once, set replicates.",
      );
    }
    places.set(asked, at);
    all.push(resolved);
  }
  return all;
}

/** @throws UsageError when the model is only on the endpoint that takes no messages, and the config has some */
function checkMessages(config: Config, { settings: { endpoint, model } }: Target): void {
  const [place] = endpoint === "completions" ? chatOnly(config) : [];
  if (place === undefined) return;
  throw new UsageError(
    `${formatPath(place)} cannot be sent: ${model} uses the endpoint completions, which takes one text`,
    "Take system_prompt and messages out of the config, or set model_config.endpoint to chat.",
  );
}

/** @throws UsageError when the provider would refuse every request of the run, or of one of its perspectives */
function checkForProvider(config: Config, { provider, asked }: Target): void {
  const info = providers[provider];
  const found = new Map<string, Problem>();
  for (const [at, { before }] of instructionsOf(config).entries()) {
    const settings = asked[at];
    const perspective = config.agent_perspectives[at];
    if (!settings || !perspective) continue;
    for (const { key, text } of info.problems?.(settings, before) ?? []) {
      const own: Path = ["agent_perspectives", at];
      const path: Path =
        key === "system_prompt" || key === "messages"
          ? [...(perspective[key] === undefined ? [] : own), key]
          : [
              ...(key === "model_name" || perspective.model_config?.[key] === undefined ? [] : own),
              "model_config",
              key,
            ];
      found.set(formatPath(path), { path, text });
    }
  }
  if (found.size > 0) throw new UsageError(formatProblems("the config", [...found.values()]));
}

/**
 * Checks that the runs of a config's models can be sent.
 * @param queue the URL of the queue that a flag gives
 * @returns the connections of each, as {@link checkSendable} returns them
 * @throws UsageError as {@link checkSendable} does, but with all keys that are missing
 */
export function checkAllSendable(all: readonly Resolved[], queue?: string): Connection[][] {
  const missing: MissingKeyError[] = [];
  const connections: Connection[][] = [];
  for (const resolved of all) {
    try {
      connections.push(checkSendable(resolved, queue));
    } catch (error) {
      if (error instanceof MissingKeyError) missing.push(error);
      else throw missing.length > 0 ? missingKeys(missing) : error;
    }
  }
  if (missing.length > 0) throw missingKeys(missing);
  return connections;
}

/**
 * Checks that a run can be sent.
 * @param queue the URL of the queue that a flag gives
 * @returns its connections, one for each server
 * @throws UsageError where a key or the queue is missing, the provider's batches do not take its requests, or its cap
 *   cannot be kept
 */
function checkSendable({ config, target, priced, variables }: Resolved, queue?: string): Connection[] {
  const { executor = "live", max_cost_usd: cap } = config;
  if (executor === "queue") queueUrlOfPlan(queue, variables);
  const connections = eachServer(target).map((server) =>
    executor === "queue" ? connectionOfWorkers(server, config) : connectionOf(server, config, variables),
  );
  if (executor === "batch") checkBatches(target);
  if (cap !== undefined) {
    checkCap(priced.prices, target.asked, executor, "reason" in priced ? priced.reason : undefined);
  }
  return connections;
}
