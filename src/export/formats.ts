/** The formats of datasets; a renderer each in index.ts. */
export const FORMATS = ["json", "jsonl", "csv"] as const;
export type Format = (typeof FORMATS)[number];
