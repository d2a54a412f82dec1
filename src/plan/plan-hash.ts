import type { Config } from "../config/schema.ts";
import { canonicalJson, type Settings, sha256 } from "./settings.ts";

/**
 * `s256:` and the SHA-256, in hex, of the canonical JSON of all that a dataset follows from: the settings, the task, the
 * perspectives, the samples and the input file's bytes. Runs of several machines with one such hash are parts of one.
 */
export function planHash(config: Config, settings: Settings, inputSha256: string): string {
  const { task_type, task_description, agent_perspectives, add_references, replicates = 1 } = config;
  const { sample_size } = config.data_config;
  const { reasoning_tags } = config.model_config;
  const whole = {
    task_type,
    task_description,
    agent_perspectives,
    add_references,
    replicates,
    sample_size,
    ...(reasoning_tags === "strip" && { reasoning_tags }),
  };
  return sha256(canonicalJson({ ...whole, settings, input_sha256: inputSha256 }));
}
