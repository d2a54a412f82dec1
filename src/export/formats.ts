/** The formats of datasets; index.ts has a renderer for each. */
export const FORMATS = ["json", "jsonl", "csv", "parquet"] as const;
export type Format = (typeof FORMATS)[number];
