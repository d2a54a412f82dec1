import { eachInput } from "../estimate/survey.ts";
import type { Config } from "../../config/schema.ts";
import type { Part } from "../../plan/shard.ts";
import { sha256 as hashOf } from "../../plan/settings.ts";
import type { Store } from "../../store/file/store.ts";
import { inputHash, lastRunOf } from "../../store/runs/runs.ts";

/**
 * Says how an input file has changed since the last run with the same path; null if it has not, or if there was no such
 * run.
 * @param sha256 of the file's bytes, in hex
 */
export async function inputChanges(
  store: Store,
  data: Config["data_config"],
  shard: Part | null,
  sha256: string,
): Promise<string | null> {
  const path = data.input_data_path;
  const last = lastRunOf(store, path);
  if (!last || last.inputSha256 === sha256) return null;
  const count = { all: 0, changed: 0, added: 0 };
  await eachInput(data, shard, ({ index, text }) => {
    const before = inputHash(store, last.id, index);
    count.all += 1;
    if (before === undefined) count.added += 1;
    else if (before !== hashOf(text)) count.changed += 1;
  });
  return (
    `${path} has changed since run ${last.publicId}: of ${count.all} inputs, ${count.changed} have changed, ` +
    `${count.added} were not in that run`
  );
}
