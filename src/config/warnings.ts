import { withOwn } from "./parameters.ts";
import type { Config } from "./schema.ts";
import { UNUSED_KEYS } from "./unused-keys.ts";

/** Warnings about a valid config, before anything is paid. */
export function configWarnings(config: Config): string[] {
  const places = [
    ["", config],
    ["model_config.", config.model_config],
    ["data_config.", config.data_config],
    ...config.agent_perspectives.map((perspective, index) => [`agent_perspectives[${index}].`, perspective] as const),
  ] as const;
  const unused = places.flatMap(([place, keys]) =>
    UNUSED_KEYS.filter((key) => keys[key] !== undefined).map((key) => `${place}${key}`),
  );
  const { replicates = 1, agent_perspectives: perspectives, data_config: data } = config;
  const seeded = perspectives.filter(({ model_config: own }) => {
    const { seed, extra_body: extra } = withOwn(config.model_config, own);
    return seed !== undefined || extra?.["seed"] !== undefined;
  });
  const prompts =
    seeded.length === perspectives.length
      ? "each prompt"
      : `each prompt of ${seeded.length} of the ${perspectives.length} perspectives`;
  return [
    ...unused.slice(0, 1).map((first) => {
      const others = unused.length > 1 ? ` and ${unused.length - 1} more like it` : "";
      return `${first}${others} is stored with the run, but has no effect`;
    }),
    ...(data.seed !== undefined && data.shuffle !== true
      ? ["data_config.seed has no effect without shuffle: the first rows are used"]
      : []),
    ...(replicates > 1 && seeded.length > 0
      ? [
          `the config has replicates: ${replicates} and a fixed seed, so ${prompts} is sent ${replicates} times with the same seed; many servers give the same answer each time, and charge for each`,
        ]
      : []),
  ];
}
