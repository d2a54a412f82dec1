import type { Config } from "../../config/schema.ts";
import type { Settings } from "../../plan/settings.ts";
import { missingShards } from "../../plan/shard.ts";
import { providers } from "../../providers/index.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { runNamed, type RunRow } from "../../store/runs/runs.ts";
import { type Environment, readVariables, valueOf, type Variables } from "../server/environment.ts";
import type { OnEvent } from "../events.ts";
import { isOwnHost } from "../server/target.ts";

export interface RunConfigOptions {
  /** Where base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  /** Gets warnings about values that the config leaves to the environment or the command line. */
  onEvent?: OnEvent | undefined;
}

/**
 * A config that repeats a run, so that its calls have the same keys: the validated config, with the flags of `run` and the
 * provider and endpoint that datagen chose. A base URL from the environment is not in it, because a base URL in a config
 * gets another API key.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function runConfig(store: Store, run: string, options: RunConfigOptions = {}): Config {
  const { environment, onEvent = () => {} } = options;
  const row = runNamed(store, run);
  for (const message of [leftOut(row, readVariables(environment)), partOf(row), reuseOf(row), importOf(row)]) {
    if (message !== null) onEvent({ type: "warning", message });
  }
  return decidedConfig(row, getSettings(store, row.settingsId));
}

/**
 * The config of a run with everything that datagen chose, except the base URL.
 * @internal
 */
export function decidedConfig({ config, provider }: RunRow, { endpoint }: Settings): Config {
  return { ...config, model_config: { ...config.model_config, endpoint }, api_provider: provider };
}

/** What a run that reused answers with other token limits needs besides the config. */
function reuseOf({ reuse, hasMixedSettings }: RunRow): string | null {
  if (reuse === "unless_truncated") {
    return "the run reused answers with another token limit; for the same calls, run the config with --reuse-unless-truncated";
  }
  return hasMixedSettings
    ? "some answers of the run were asked again with a higher token limit; the config has the first limit"
    : null;
}

/** What is unknown about the inputs of an imported run. */
function importOf({ imported, inputSha256 }: RunRow): string | null {
  if (imported === null || inputSha256 !== "") return null;
  return "the run was imported, so the file of its inputs is not known for sure; check data_config.input_data_path";
}

/** What a run of a part of the inputs needs besides the config; null if the run has all inputs. */
function partOf({ shard }: RunRow): string | null {
  if (shard === null || missingShards(shard).length === 0) return null;
  const flags = shard.indices.map((index) => `--shard ${index}/${shard.count}`).join(", ");
  return `the run has only a part of the inputs, but the config asks for all; for the same calls, run it with ${flags}`;
}

/** What a config cannot say about the base URL or the key of a run; null if nothing is missing. */
function leftOut({ config, provider, baseUrl, baseUrlSource }: RunRow, variables: Variables): string | null {
  const { remote } = providers[provider];
  if (remote === null || baseUrl === null) return null;
  const { baseUrlVariable: variable, keyVariable } = remote;
  if (baseUrlSource === "environment") {
    return `the run's base URL came from the environment and is not in this config; for the same calls, set ${variable}=${baseUrl}`;
  }
  if (baseUrlSource === "flag" && !isOwnHost(provider, baseUrl)) {
    return `the run's base URL came from --base-url; in a config it gets DATAGEN_API_KEY. To use ${keyVariable}, add --base-url ${baseUrl}`;
  }
  const named = valueOf(variables, variable);
  const isElsewhere = named !== undefined && named.replace(/\/+$/, "") !== baseUrl;
  if (baseUrlSource === "default" && config.model_config.base_url === undefined && isElsewhere) {
    return `the run used ${baseUrl}; for the same calls, unset ${variable}, which names another server`;
  }
  return null;
}
