import type { Config } from "./schema.ts";

type ModelConfig = Config["model_config"];

/** The keys of `model_config` that are not parameters: the model, the server, the endpoint, and the use of answers. */
export const NO_PARAMETERS = [
  "model_name",
  "base_url",
  "server",
  "endpoint",
  "reasoning_tags",
  "compression_ratio",
] as const satisfies readonly (keyof ModelConfig)[];

/** The parameters of a request besides its model and messages: all other keys of `model_config`. Part of every key. */
export type Parameters = Omit<ModelConfig, (typeof NO_PARAMETERS)[number]>;
