import type { Source } from "./source.ts";

/** Apache Parquet. Its reader is loaded when it is used. */
export const parquet: Source = {
  endings: ["parquet"],
  isText: false,
  open: async (path, options) => (await import("./parquet/open.ts")).openParquet(path, options),
};
