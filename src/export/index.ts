import { csv } from "./csv.ts";
import type { Format } from "./formats.ts";
import { json } from "./json.ts";
import { jsonl } from "./jsonl.ts";
import { parquet } from "./parquet.ts";
import type { Renderer } from "./renderer.ts";

export const renderers: Record<Format, Renderer> = { json, jsonl, csv, parquet };
