import type { Shard } from "../plan/shard.ts";
import { acquireLease, type Lease, releaseLease } from "./leases.ts";
import { inTransaction, type Store } from "./open.ts";

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

/** What a run has after another was folded into it: sums, but for the beginning, the end, and what any of them says. */
const FOLDED = `
  tasks = a.tasks + b.tasks, calls_total = a.calls_total + b.calls_total,
  calls_succeeded = a.calls_succeeded + b.calls_succeeded, calls_failed = a.calls_failed + b.calls_failed,
  calls_reused = a.calls_reused + b.calls_reused, calls_truncated = a.calls_truncated + b.calls_truncated,
  calls_reopened = a.calls_reopened + b.calls_reopened, batches_open = a.batches_open + b.batches_open, attempts = a.attempts + b.attempts,
  cost_nano_usd = a.cost_nano_usd + b.cost_nano_usd, attempts_unpriced = a.attempts_unpriced + b.attempts_unpriced,
  prompt_tokens = a.prompt_tokens + b.prompt_tokens, completion_tokens = a.completion_tokens + b.completion_tokens,
  cached_tokens = a.cached_tokens + b.cached_tokens, cache_write_tokens = a.cache_write_tokens + b.cache_write_tokens,
  reasoning_tokens = a.reasoning_tokens + b.reasoning_tokens, tokens_estimated = max(a.tokens_estimated, b.tokens_estimated),
  has_mixed_settings = max(a.has_mixed_settings, b.has_mixed_settings), max_cost_nano_usd = coalesce(a.max_cost_nano_usd + b.max_cost_nano_usd, a.max_cost_nano_usd, b.max_cost_nano_usd),
  prices = coalesce(a.prices, b.prices),
  finished_at = iif(a.finished_at is null or b.finished_at is null, null, max(a.finished_at, b.finished_at))`;

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
    const twice = releaseSharedAnswers(store, into.id, from.id);
    sqlite.prepare("update tasks set run_id = ? where run_id = ?").run(into.id, from.id);
    sqlite
      .prepare(
        `update runs set shard = ?, estimated_prompt_tokens = ?, estimated_completion_tokens = ?,
          estimated_cost_nano_usd = ?, ${FOLDED.replaceAll(/\ba\./g, "runs.")} from runs b where runs.id = ? and b.id = ?`,
      )
      .run(JSON.stringify(shard), ...Object.values(expected).map(rounded), into.id, from.id);
    if (twice) recount(store, into.id);
    for (const lease of leases) releaseLease(store, lease);
    sqlite.prepare("update batches set run_id = ? where run_id = ?").run(into.id, from.id);
    sqlite.prepare("delete from perspectives where run_id = ?").run(from.id);
    sqlite.prepare("delete from runs where id = ?").run(from.id);
  });
  return { ...into, ...shard };
}

/**
 * An answer is one sample: where both parts took the same earlier one, that of the second has its calls asked again.
 * @returns whether there was any
 */
function releaseSharedAnswers({ sqlite }: Store, into: number, from: number): boolean {
  const isOfFrom = "task_id in (select id from tasks where run_id = ?)";
  const isTwice = `exists (select 1 from calls o join tasks t on t.id = o.task_id
    where o.answer_id = calls.answer_id and t.run_id = ?)`;
  const { changes } = sqlite
    .prepare(`update calls set state = 'pending', answer_id = null where ${isOfFrom} and ${isTwice}`)
    .run(from, into);
  if (changes === 0) return false;
  // What was made of notes that are asked for again is made again.
  sqlite
    .prepare(
      `update calls set state = 'pending', answer_id = null, failure = null where step = 'strategy' and ${isOfFrom}
         and exists (select 1 from calls r where r.task_id = calls.task_id and r.perspective_id = calls.perspective_id
           and r.replicate = calls.replicate and r.step = 'reading' and r.state = 'pending')`,
    )
    .run(from);
  return true;
}

/** Sets a run's counts of calls to those of its rows. */
function recount({ sqlite }: Store, runId: number): void {
  sqlite
    .prepare(
      `update runs set calls_succeeded = n.succeeded, calls_failed = n.failed, calls_reused = n.reused,
         calls_truncated = n.truncated, finished_at = iif(n.pending > 0, null, finished_at)
       from (select coalesce(sum(c.state = 'succeeded'), 0) succeeded, coalesce(sum(c.state = 'failed'), 0) failed,
           coalesce(sum(c.state = 'pending'), 0) pending, coalesce(sum(a.finish_reason = 'length'), 0) truncated,
           coalesce(sum(c.state = 'succeeded' and not exists
             (select 1 from attempts t where t.call_id = c.id and t.outcome = 'succeeded')), 0) reused
         from tasks t join calls c on c.task_id = t.id left join answers a on a.id = c.answer_id
         where t.run_id = ?) n
       where runs.id = ?`,
    )
    .run(runId, runId);
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
