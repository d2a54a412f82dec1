/** The formats of input files. */
export const FORMATS = ["json", "jsonl", "csv", "tsv", "parquet"] as const;
export type FormatName = (typeof FORMATS)[number];
