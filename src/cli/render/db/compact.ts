import type { Compaction } from "../../../app/database/compact-database.ts";
import { megabytes, printable } from "../text.ts";

export function renderCompaction({ database, before_bytes: before, after_bytes: after }: Compaction): string {
  return `${printable(database)}: ${megabytes(before)} before, ${megabytes(after)} after`;
}
