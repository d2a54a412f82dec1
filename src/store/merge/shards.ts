import type { Shard } from "../../plan/shard.ts";
import { acquireLease, type Lease, releaseLease } from "../runs/leases.ts";
import { inTransaction } from "../file/transaction.ts";
import type { Store } from "../file/store.ts";
import { hideRun } from "../runs/runs.ts";
import { sweep } from "../runs/sweep.ts";
import { recountTotals } from "../runs/totals.ts";

/* Prepared SQL, because a run is updated from another row, and calls are selected by the index of their tasks. */

/** A run of a shard, or a run that was joined from shards. */
export interface ShardRun extends Shard {
  id: number;
  publicId: string;
  planHash: string;
}

/** All runs of shards, including joined ones, the oldest first. */
export function shardRuns({ sqlite }: Store): ShardRun[] {
  return sqlite
    .prepare<[], { id: number; publicId: string; planHash: string; shard: string }>(
      `select id, public_id publicId, plan_hash planHash, shard from runs
       where shard is not null and planned_at is not null order by created_at, id`,
    )
    .all()
    .map(({ shard, ...run }) => ({ ...run, ...(JSON.parse(shard) as Shard) }));
}

/** The columns of two shards joined into one run, besides its totals: sums, except for flags, prices and the end. */
const JOINED = `
  batches_open = runs.batches_open + b.batches_open,
  has_mixed_settings = max(runs.has_mixed_settings, b.has_mixed_settings),
  max_cost_nano_usd = coalesce(runs.max_cost_nano_usd + b.max_cost_nano_usd, runs.max_cost_nano_usd, b.max_cost_nano_usd),
  prices = coalesce(runs.prices, b.prices),
  finished_at = iif(runs.finished_at is null or b.finished_at is null, null, max(runs.finished_at, b.finished_at))`;

/** Joins two shards of a plan into one run: the first takes over the tasks of the second. @returns the joined run */
export function joinShards(store: Store, into: ShardRun, from: ShardRun): ShardRun {
  const { sqlite } = store;
  const [a, b] = [into.expected, from.expected];
  const expected = {
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    costNanoUsd: a.costNanoUsd === null || b.costNanoUsd === null ? null : a.costNanoUsd + b.costNanoUsd,
  };
  const shard: Shard = {
    indices: [...into.indices, ...from.indices].toSorted((one, other) => one - other),
    count: into.count,
    runs: [...into.runs, ...from.runs],
    expected,
  };
  inTransaction(store, () => {
    const leases: Lease[] = [into, from].map(({ id, publicId }) => acquireLease(store, id, publicId));
    sqlite
      .prepare(
        `update calls set run_id = ?, perspective_id =
           (select n.id from perspectives o join perspectives n on n.position = o.position and n.run_id = ?
            where o.id = calls.perspective_id)
         where task_id in (select id from tasks where run_id = ?)`,
      )
      .run(into.id, into.id, from.id);
    sqlite.prepare("update scores set run_id = ? where run_id = ?").run(into.id, from.id);
    releaseSharedAnswers(store, into.id, from.id);
    sqlite.prepare("update tasks set run_id = ? where run_id = ?").run(into.id, from.id);
    sqlite
      .prepare(
        `update runs set shard = ?, estimated_prompt_tokens = ?, estimated_completion_tokens = ?,
          estimated_cost_nano_usd = ?, ${JOINED} from runs b where runs.id = ? and b.id = ?`,
      )
      .run(JSON.stringify(shard), ...Object.values(expected).map(rounded), into.id, from.id);
    recountTotals(store, into.id);
    for (const lease of leases) releaseLease(store, lease);
    sqlite.prepare("update batches set run_id = ? where run_id = ?").run(into.id, from.id);
    hideRun(store, from.id);
    joinExperiments(store, into.id, from.id);
  });
  // Removes the rest of the second run: its row and its perspectives.
  sweep(store);
  return { ...into, ...shard };
}

/** With its last run, an experiment of shards is joined, too: its cap is added to that of the other one. */
function joinExperiments({ sqlite }: Store, into: number, from: number): void {
  const experimentOf = sqlite.prepare<[number], number | null>("select experiment_id from runs where id = ?").pluck();
  const [a, b] = [experimentOf.get(into) ?? null, experimentOf.get(from) ?? null];
  if (a === null || b === null || a === b) return;
  if (sqlite.prepare("select 1 from runs where experiment_id = ? and planned_at is not null").get(b)) return;
  sqlite
    .prepare(
      `update experiments set max_cost_nano_usd =
         coalesce(experiments.max_cost_nano_usd + o.max_cost_nano_usd, experiments.max_cost_nano_usd, o.max_cost_nano_usd)
       from experiments o where experiments.id = ? and o.id = ?`,
    )
    .run(a, b);
  sqlite.prepare("update deleted_runs set experiment_id = ? where experiment_id = ?").run(a, b);
}

/**
 * If two shards reused the same earlier answer, makes the call of the second pending again, because an answer counts as
 * one sample only once in a run.
 */
function releaseSharedAnswers({ sqlite }: Store, into: number, from: number): void {
  const isOfFrom = "task_id in (select id from tasks where run_id = ?)";
  const isTwice = `exists (select 1 from calls o join tasks t on t.id = o.task_id
    where o.answer_id = calls.answer_id and t.run_id = ?)`;
  const { changes } = sqlite
    .prepare(`update calls set state = 'pending', answer_id = null where ${isOfFrom} and ${isTwice}`)
    .run(from, into);
  if (changes === 0) return;
  // A strategy whose notes are asked for again must be sent again, too.
  sqlite
    .prepare(
      `update calls set state = 'pending', answer_id = null, failure = null where step = 'strategy' and ${isOfFrom}
         and exists (select 1 from calls r where r.task_id = calls.task_id and r.perspective_id = calls.perspective_id
           and r.replicate = calls.replicate and r.step = 'reading' and r.state = 'pending')`,
    )
    .run(from);
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
