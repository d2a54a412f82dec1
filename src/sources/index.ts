import { extname } from "node:path";
import type { FormatName } from "../config/formats.ts";
import { csv, tsv } from "./csv.ts";
import { json, jsonl } from "./json.ts";
import { parquet } from "./parquet.ts";
import type { Source } from "./source.ts";

/** The formats of input files. */
const sources: Record<FormatName, Source> = { json, jsonl, csv, tsv, parquet };

/** The format of a file by the ending of its name. Files with other endings may hold JSON. */
export function formatOf(path: string): FormatName {
  const ending = endingOf(path.replace(/\.gz$/i, ""));
  const found = Object.entries(sources).find(([, { endings }]) => endings.includes(ending));
  return (found?.[0] as FormatName | undefined) ?? "json";
}

export function sourceOf(format: FormatName): Source {
  return sources[format];
}

function endingOf(path: string): string {
  return extname(path).slice(1).toLowerCase();
}
