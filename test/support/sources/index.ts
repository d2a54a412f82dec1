import type { FormatName } from "../../../src/config/formats.ts";
import { csv, tsv } from "./csv.ts";
import { json, jsonl } from "./json.ts";
import { parquet } from "./parquet.ts";
import type { SourceWriter } from "./source-writer.ts";

/** How files of each format are written. */
export const sourceWriters: Record<FormatName, SourceWriter> = { json, jsonl, csv, tsv, parquet };
