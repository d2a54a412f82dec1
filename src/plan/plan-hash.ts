import type { Config } from "../config/schema.ts";
import { canonicalJson, type Settings, sha256 } from "./settings.ts";

/** The keys of a config that are hashed as they are, because they determine the dataset. `planHash` adds parts of others. */
const IS_HASHED: Record<keyof Config, boolean> = {
  task_type: true,
  task_description: true,
  agent_perspectives: true,
  add_references: true,
  system_prompt: true,
  messages: true,
  prompt_template: true,
  replicates: true,
  // Their parts that count are the settings, the input file, and what planHash adds.
  model_config: false,
  api_provider: false,
  data_config: false,
  // How a run is executed.
  executor: false,
  keep_provider_files: false,
  max_batch_requests: false,
  max_batch_mb: false,
  concurrency: false,
  timeout_s: false,
  max_attempts: false,
  give_up_after_s: false,
  max_answer_mb: false,
  max_cost_usd: false,
  confirm_above_usd: false,
  prices: false,
  requests_per_minute: false,
  tokens_per_minute: false,
  // Only statistics look at it.
  kinds: false,
  compression_ratio: false,
};

/**
 * `s256:` and the SHA-256, in hex, of the canonical JSON of everything that determines a dataset: the settings, the task,
 * the perspectives, the replicates, which rows and columns are read, and the bytes of the input files. Shards with the same
 * hash are parts of the same run.
 */
export function planHash(config: Config, settings: Settings, inputSha256: string): string {
  const { reasoning_tags } = config.model_config;
  const { sample_size, format, fields, where, shuffle = false, seed = 0, offset = 0 } = config.data_config;
  // At the top, null is the same as nothing.
  const hashed = Object.entries(config).filter(([name, value]) => IS_HASHED[name as keyof Config] && value !== null);
  const whole = {
    replicates: 1,
    ...Object.fromEntries(hashed),
    sample_size,
    // What a run leaves at its default is not hashed, so that the hashes of older versions stay.
    format,
    fields,
    where,
    ...(shuffle && { shuffle, seed }),
    ...(offset > 0 && { offset }),
    ...(reasoning_tags === "strip" && { reasoning_tags }),
    settings,
    input_sha256: inputSha256,
  };
  return sha256(canonicalJson(whole));
}
