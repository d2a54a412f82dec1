import type { Config } from "../../config/schema.ts";
import type { Settings } from "../../plan/settings.ts";
import { missingShards } from "../../plan/shard.ts";
import { providers } from "../../providers/index.ts";
import type { Store } from "../../store/file/store.ts";
import { getSettings } from "../../store/runs/plan.ts";
import { findRun, getRun, type RunRow } from "../../store/runs/runs.ts";
import { type Environment, readVariables, valueOf, type Variables } from "../server/environment.ts";
import type { OnEvent } from "../events.ts";
import { isOwnHost } from "../server/target.ts";

export interface RunConfigOptions {
  /** Where base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  /** Is warned of what the config leaves to the environment or the command line. */
  onEvent?: OnEvent | undefined;
}

/**
 * The config that makes a run again, with the same keys of its calls: as it was validated, with the flags of `run` in it, and with
 * the provider and the endpoint that were decided. A base URL of the environment is not in it: in a config it would be
 * sent another API key.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export function runConfig(store: Store, run: string, options: RunConfigOptions = {}): Config {
  const { environment, onEvent = () => {} } = options;
  const row = getRun(store, findRun(store, run));
  for (const message of [leftOut(row, readVariables(environment)), partOf(row), reuseOf(row), importOf(row)]) {
    if (message !== null) onEvent({ type: "warning", message });
  }
  return decidedConfig(row, getSettings(store, row.settingsId));
}

/**
 * The config of a run with what was decided beside it, the base URL apart.
 * @internal
 */
export function decidedConfig({ config, provider }: RunRow, { endpoint }: Settings): Config {
  return { ...config, model_config: { ...config.model_config, endpoint }, api_provider: provider };
}

/** What a run that took answers with other token limits needs beside the config. */
function reuseOf({ reuse, hasMixedSettings }: RunRow): string | null {
  if (reuse === "unless_truncated") {
    return "the run took answers with another token limit; for the same calls, run it with --reuse-unless-truncated";
  }
  return hasMixedSettings
    ? "answers of the run were asked again with a higher token limit, and the config has the first"
    : null;
}

/** What is not known of the inputs of an imported run. */
function importOf({ imported, inputSha256 }: RunRow): string | null {
  if (imported === null || inputSha256 !== "") return null;
  return "the run was imported, and which file its inputs came from is not known for sure; see data_config.input_data_path";
}

/** What a run of a part of the inputs needs beside the config; null where it has all. */
function partOf({ shard }: RunRow): string | null {
  if (shard === null || missingShards(shard).length === 0) return null;
  const flags = shard.indices.map((index) => `--shard ${index}/${shard.count}`).join(", ");
  return `the run has a part of the inputs, and the config asks for all; for the same calls, run it with ${flags}`;
}

/** What decides where the requests go, and with which key, and cannot stand in the config; null where it all does. */
function leftOut({ config, provider, baseUrl, baseUrlSource }: RunRow, variables: Variables): string | null {
  const { remote } = providers[provider];
  if (remote === null || baseUrl === null) return null;
  const { baseUrlVariable: variable, keyVariable } = remote;
  if (baseUrlSource === "environment") {
    return `the run's base URL came from the environment and is not in this config; for the same calls, set ${variable}=${baseUrl}`;
  }
  if (baseUrlSource === "flag" && !isOwnHost(provider, baseUrl)) {
    return `the run's base URL came from --base-url; in a config it gets DATAGEN_API_KEY, for ${keyVariable} add --base-url ${baseUrl}`;
  }
  const named = valueOf(variables, variable);
  const isElsewhere = named !== undefined && named.replace(/\/+$/, "") !== baseUrl;
  if (baseUrlSource === "default" && config.model_config.base_url === undefined && isElsewhere) {
    return `the run went to ${baseUrl}; for the same calls, unset ${variable}, which leads elsewhere`;
  }
  return null;
}
