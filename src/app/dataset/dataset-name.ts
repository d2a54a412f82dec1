import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config/schema.ts";
import type { Part } from "../../plan/shard.ts";
import type { Store } from "../../store/file/store.ts";
import { isDatasetNameTaken } from "../../store/runs/runs.ts";
import { DATASET_FOLDER, datasetName } from "../paths.ts";

/**
 * The name of a new run's dataset. If another run or a file has that name already, the run's id is added.
 * @param part the part of the inputs that the run has; null if it has all
 */
export function freeDatasetName(
  store: Store,
  config: Config,
  createdAt: number,
  publicId: string,
  part: Part | null = null,
): string {
  const whole = datasetName(config.task_type, config.model_config.model_name, createdAt);
  const stem = part === null ? whole : `${whole}_shard_${part.indices.join("_")}_of_${part.count}`;
  const isTaken = isDatasetNameTaken(store, stem) || existsSync(join(DATASET_FOLDER, `${stem}.json`));
  return isTaken ? `${stem}_${publicId}` : stem;
}
