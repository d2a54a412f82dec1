import { rowUseOf } from "../../config/prompt-parts.ts";
import type { Config } from "../../config/schema.ts";
import { missingShards } from "../../plan/shard.ts";
import { inputRows } from "../../store/runs/dataset-rows.ts";
import { atOneMoment } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { runNamed } from "../../store/runs/runs.ts";
import type { OnEvent } from "../events.ts";

/** A row of an input file. */
export interface InputFileRow {
  id?: string | number;
  input: string;
  reference?: string;
  /** The other columns that prompts use. */
  [column: string]: unknown;
}

/** The columns that templates use whose names the printed rows have for other columns. */
function hiddenColumns(config: Config): string[] {
  const { fields = {} } = config.data_config;
  return rowUseOf(config).columns.filter((name) => {
    const chosen = name === "input" || name === "reference" || name === "id" ? fields[name] : undefined;
    return chosen !== undefined && chosen !== null && chosen !== name;
  });
}

/**
 * The inputs of a run in their order, as rows of an input file: a run of `runConfig` on a file of these rows makes the same
 * calls. Do not write to the store before the iteration ends.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @param options.onEvent gets a warning if the run has only a part of the inputs
 * @throws UsageError when there is no such run
 */
export function runInputs(
  store: Store,
  run: string,
  options: { onEvent?: OnEvent | undefined } = {},
): Iterable<InputFileRow> {
  const { onEvent = () => {} } = options;
  const { id, shard, config } = runNamed(store, run);
  const hidden = hiddenColumns(config);
  if (hidden.length > 0) {
    const message = `prompts use the columns ${hidden.join(", ")} of the file, but here these names have the values that data_config.fields chooses`;
    onEvent({ type: "warning", message });
  }
  if (shard !== null && missingShards(shard).length > 0) {
    const message =
      "the run has only a part of the inputs, and only these are printed; for the same calls, run a file of them without --shard";
    onEvent({ type: "warning", message });
  }
  return atOneMoment(store, function* () {
    for (const { sourceId, input, reference, columns } of inputRows(store, id)) {
      yield {
        ...columns,
        ...(sourceId !== null && { id: sourceId }),
        input,
        ...(reference !== null && { reference }),
      };
    }
  });
}
