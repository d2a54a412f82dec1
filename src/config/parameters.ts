import type { Config } from "./schema.ts";

type ModelConfig = Config["model_config"];

/** The keys of `model_config` that are no parameters: whom is asked and how, and what is done with an answer. */
export const NO_PARAMETERS = [
  "model_name",
  "base_url",
  "endpoint",
  "reasoning_tags",
  "compression_ratio",
] as const satisfies readonly (keyof ModelConfig)[];

/** What a request asks for beside its model and its messages: all other keys of `model_config`. Part of every key. */
export type Parameters = Omit<ModelConfig, (typeof NO_PARAMETERS)[number]>;
