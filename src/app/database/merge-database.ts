import { missingShards } from "../../plan/shard.ts";
import { copyRun, findMerged } from "../../store/merge/merge.ts";
import { OtherDatabase } from "../../store/merge/other.ts";
import type { Store } from "../../store/file/store.ts";
import { callCounts } from "../../store/runs/call-counts.ts";
import { checkPublicId, getRun, isDatasetNameTaken, renameDataset } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { joinShards, type ShardRun, shardRuns } from "../../store/merge/shards.ts";
import { freeDatasetName } from "../dataset/dataset-name.ts";

/** The result of merging a database. */
export interface Merge {
  runs: {
    id: string;
    /** `differs`: this database has the run already, with fewer answers than the other, and it was not changed. */
    result: "taken in" | "here already" | "differs";
  }[];
  /** The runs in this database that consist of shards. */
  shards: { run: string; indices: number[]; count: number; missing: number[]; pending: number }[];
}

/**
 * Copies the runs of another database into this one, and joins shards of the same plan into one run. Runs that are in both
 * stay as they are here, so that merging twice changes nothing. The other database is not written to.
 * @param other its path
 * @throws UsageError when it is not a database of this version, is damaged, or one of its runs is being executed
 */
export function mergeDatabase(store: Store, other: string): Merge {
  sweep(store);
  const runs = copyRuns(store, other);
  const whole = joinAllShards(store);
  const shards = whole.map((run) => {
    const { publicId, indices, count } = run;
    const { pending } = callCounts(getRun(store, run.id));
    return { run: publicId, indices, count, missing: missingShards(run), pending };
  });
  return { runs, shards };
}

function copyRuns(store: Store, path: string): Merge["runs"] {
  using other = new OtherDatabase(store, path);
  return other.runs().map((run) => {
    const { publicId: id, callsSucceeded } = run;
    checkPublicId(id, path);
    const here = findMerged(store, other, run);
    if (here) return { id, result: here.callsSucceeded < callsSucceeded ? "differs" : "here already" };
    copyRun(store, other, run, freeName(store, run.datasetName, id));
    return { id, result: "taken in" };
  });
}

/** Joins every shard with an earlier one of the same plan that lacks it. */
function joinAllShards(store: Store): ShardRun[] {
  const folded: ShardRun[] = [];
  for (const part of shardRuns(store)) {
    const at = folded.findIndex(
      ({ planHash, count, indices }) =>
        planHash === part.planHash && count === part.count && !indices.some((index) => part.indices.includes(index)),
    );
    const into = folded[at];
    if (!into) {
      folded.push(part);
      continue;
    }
    const run = joinShards(store, into, part);
    folded[at] = run;
    if (missingShards(run).length === 0) {
      const { config, createdAt } = getRun(store, run.id);
      renameDataset(store, run.id, freeDatasetName(store, config, createdAt, run.publicId));
    }
  }
  return folded;
}

function freeName(store: Store, name: string, publicId: string): string {
  return isDatasetNameTaken(store, name) ? `${name}_${publicId}` : name;
}
