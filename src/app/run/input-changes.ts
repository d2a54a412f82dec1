import { isDeepStrictEqual } from "node:util";
import { eachInput } from "../estimate/survey.ts";
import { nameOfInputs } from "../../sources/input-files.ts";
import type { Config } from "../../config/schema.ts";
import type { Part } from "../../plan/shard.ts";
import { sha256 as hashOf } from "../../plan/settings.ts";
import type { Store } from "../../store/file/store.ts";
import { hasInput, inputAt, lastRunOf } from "../../store/runs/runs.ts";

/**
 * Says how an input file has changed since the last run with the same path; null if it has not, or if there was no such
 * run.
 * @param sha256 of the file's bytes, in hex
 */
export async function inputChanges(
  store: Store,
  config: Config,
  shard: Part | null,
  sha256: string,
): Promise<string | null> {
  const { data_config: data } = config;
  const { input_data_path: path, shuffle = false } = data;
  const last = lastRunOf(store, typeof path === "string" ? path : JSON.stringify(path));
  if (!last || last.inputSha256 === sha256) return null;
  const count = { all: 0, changed: 0, added: 0 };
  await eachInput(config, shard, ({ index, text, columns }) => {
    count.all += 1;
    // A row that is added or removed moves the others of a random sample.
    if (shuffle) {
      if (!hasInput(store, last.id, hashOf(text))) count.added += 1;
      return;
    }
    const before = inputAt(store, last.id, index);
    if (before === undefined) count.added += 1;
    else if (before.hash !== hashOf(text) || hasOther(before.columns ?? {}, columns)) count.changed += 1;
  });
  const changed = shuffle ? "" : `${count.changed} have changed, `;
  return (
    `${nameOfInputs(data)} has changed since run ${last.publicId}: ` +
    `of ${count.all} inputs, ${changed}${count.added} were not in that run`
  );
}

/** Whether any column that prompts used then and use now has another value. */
function hasOther(then: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(now).some((name) => Object.hasOwn(then, name) && !isDeepStrictEqual(then[name], now[name]));
}
