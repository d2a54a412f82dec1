import type { Merge } from "../../../app/database/merge-database.ts";
import { counted } from "../text.ts";

export function renderMerge({ runs, shards }: Merge): string {
  const lines = runs.map(({ id, result }) =>
    result === "differs"
      ? `run ${id}: in both databases, with more answers in the other; to get those, delete it here and merge again`
      : `run ${id}: ${result}`,
  );
  for (const { run, count, missing, pending } of shards) {
    lines.push(
      missing.length === 0
        ? `run ${run} has all of its ${counted(count, "shard")}${pending > 0 ? `, with ${counted(pending, "call")} pending: resume it` : ""}`
        : `run ${run} lacks ${missing.length === 1 ? "shard" : "shards"} ${missing.join(", ")} of ${count}`,
    );
  }
  return lines.length === 0 ? "The other database has no runs." : lines.join("\n");
}
