import type { Source } from "./source.ts";

/**
 * Apache Parquet. Its reader is loaded when it is used.
 *
 * The reader is ours, because a file may be anybody's. hyparquet 1.33 decodes a whole page or column at once, writes as many
 * values as a run of a damaged file claims, up to 2^31, and decodes bytes that are not UTF-8 without a word. This reader
 * takes a page a few values at a time, and checks every length and count before it uses it.
 */
export const parquet: Source = {
  endings: ["parquet"],
  isText: false,
  open: async (path, options) => (await import("./parquet/open.ts")).openParquet(path, options),
};
