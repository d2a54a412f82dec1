import type { Merge } from "../../../app/database/merge-database.ts";
import { counted } from "../text.ts";

export function renderMerge({ runs, shards }: Merge): string {
  const lines = runs.map(({ id, result }) =>
    result === "differs"
      ? `run ${id}: here already, and has more answers there; delete it here and merge again to take those in`
      : `run ${id}: ${result}`,
  );
  for (const { run, count, missing, pending } of shards) {
    lines.push(
      missing.length === 0
        ? `run ${run} has all of its ${counted(count, "shard")}${pending > 0 ? `, with ${counted(pending, "call")} pending: resume it` : ""}`
        : `run ${run} lacks ${missing.length === 1 ? "shard" : "shards"} ${missing.join(", ")} of ${count}`,
    );
  }
  return lines.length === 0 ? "There are no runs in it." : lines.join("\n");
}
