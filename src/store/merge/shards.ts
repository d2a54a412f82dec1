import type { Shard } from "../../plan/shard.ts";
import { acquireLease, type Lease, releaseLease } from "../runs/leases.ts";
import { inTransaction } from "../file/transaction.ts";
import type { Store } from "../file/store.ts";
import { hideRun } from "../runs/runs.ts";
import { sweep } from "../runs/sweep.ts";
import { recountTotals } from "../runs/totals.ts";

/* Prepared SQL, as a run is changed by what another row has, and calls by the index of their tasks. */

/** A run that has a part of its inputs only, or was merged of such. */
export interface ShardRun extends Shard {
  id: number;
  publicId: string;
  planHash: string;
}

/** The runs that have a part of their inputs only, or were merged of such, the oldest first. */
export function shardRuns({ sqlite }: Store): ShardRun[] {
  return sqlite
    .prepare<[], { id: number; publicId: string; planHash: string; shard: string }>(
      `select id, public_id publicId, plan_hash planHash, shard from runs
       where shard is not null and planned_at is not null order by created_at, id`,
    )
    .all()
    .map(({ shard, ...run }) => ({ ...run, ...(JSON.parse(shard) as Shard) }));
}

/** What a run has after another was folded into it, beside its totals. */
const FOLDED = `
  batches_open = runs.batches_open + b.batches_open,
  has_mixed_settings = max(runs.has_mixed_settings, b.has_mixed_settings),
  max_cost_nano_usd = coalesce(runs.max_cost_nano_usd + b.max_cost_nano_usd, runs.max_cost_nano_usd, b.max_cost_nano_usd),
  prices = coalesce(runs.prices, b.prices),
  finished_at = iif(runs.finished_at is null or b.finished_at is null, null, max(runs.finished_at, b.finished_at))`;

/** Makes two parts of a plan one run: the second's tasks become the first's. @returns the run that is left */
export function foldShards(store: Store, into: ShardRun, from: ShardRun): ShardRun {
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
    releaseSharedAnswers(store, into.id, from.id);
    sqlite.prepare("update tasks set run_id = ? where run_id = ?").run(into.id, from.id);
    sqlite
      .prepare(
        `update runs set shard = ?, estimated_prompt_tokens = ?, estimated_completion_tokens = ?,
          estimated_cost_nano_usd = ?, ${FOLDED} from runs b where runs.id = ? and b.id = ?`,
      )
      .run(JSON.stringify(shard), ...Object.values(expected).map(rounded), into.id, from.id);
    recountTotals(store, into.id);
    for (const lease of leases) releaseLease(store, lease);
    sqlite.prepare("update batches set run_id = ? where run_id = ?").run(into.id, from.id);
    hideRun(store, from.id);
  });
  // What is left of the second: its own row, and its perspectives.
  sweep(store);
  return { ...into, ...shard };
}

/**
 * An answer is one sample: where both parts took the same earlier one, that of the second has its calls asked again.
 */
function releaseSharedAnswers({ sqlite }: Store, into: number, from: number): void {
  const isOfFrom = "task_id in (select id from tasks where run_id = ?)";
  const isTwice = `exists (select 1 from calls o join tasks t on t.id = o.task_id
    where o.answer_id = calls.answer_id and t.run_id = ?)`;
  const { changes } = sqlite
    .prepare(`update calls set state = 'pending', answer_id = null where ${isOfFrom} and ${isTwice}`)
    .run(from, into);
  if (changes === 0) return;
  // What was made of notes that are asked for again is made again.
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
