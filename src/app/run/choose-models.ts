import { applyOverrides } from "../../config/parse.ts";
import type { Config } from "../../config/schema.ts";
import { UsageError } from "../../errors.ts";

/**
 * The configs of the models that flags name.
 * @param configs those of a file, one for each of its models
 * @param models the models of the flags; if there are none, all models of the file
 * @throws UsageError when a file of several models does not have one of them
 */
export function chooseModels(configs: readonly Config[], models: readonly string[]): readonly Config[] {
  const [only] = configs;
  if (models.length === 0 || only === undefined) return configs;
  if (configs.length > 1) return models.flatMap((model) => entriesOf(configs, model));
  if (models.length > 1 && only.prices !== undefined) {
    throw new UsageError(
      `prices in the config would hold for all of ${models.join(", ")}`,
      "Set them with `datagen prices set`, or make model_config an array whose entries have their prices.",
    );
  }
  return models.map((model) => applyOverrides(only, { model }));
}

function entriesOf(configs: readonly Config[], model: string): Config[] {
  const entries = configs.filter(({ model_config: { model_name: name } }) => name === model);
  if (entries.length > 0) return entries;
  const names = [...new Set(configs.map(({ model_config: { model_name: name } }) => name))];
  throw new UsageError(
    `the config has no model ${JSON.stringify(model)}; it has ${names.join(", ")}`,
    "--model chooses from the models of a config that has several. Add an entry to model_config for another one.",
  );
}
