import type { Renderer } from "./renderer.ts";

/** Apache Parquet. A row has the members of JSON Lines with their types, and the columns that prompts used. */
export const parquet: Renderer = {
  extension: "parquet",
  isJson: false,
  isFlat: true,
  load: async () => (await import("./parquet-file.ts")).renderParquet,
  isDataset({ head, tail }, runId) {
    const first = head.startsWith("PAR1") ? RUNS_IN_FOOTER.exec(tail)?.[1] : undefined;
    return first !== undefined && (runId === undefined || runId === first);
  },
};

/**
 * The last key of the metadata, the first id of its value, and the program that wrote the file: another program may keep the
 * metadata of a file that it changes. Between them are the lengths of texts.
 */
const RUNS_IN_FOOTER = /datagen\.run_ids[^[]{1,8}\["([^"]+)"[^\]]*\][^d]{1,4}datagen/;
