import type { Store } from "../file/store.ts";
import { wholeSumOf } from "../whole-sum.ts";

/*
 * Defines the totals of a run, for code that computes them from the rows: `db check` and merging. While a run is executed,
 * its totals change by deltas, in the same transactions as the rows. `c` is a call, `a` its answer, if it has one.
 * Prepared SQL, because other statements contain these expressions.
 */

/** Sums over calls. */
export const CALL_TOTALS = `count(*) total, sum(c.state = 'succeeded') succeeded, sum(c.state = 'failed') failed,
  sum(c.state = 'pending') pending, sum(coalesce(a.finish_reason = 'length', 0)) truncated,
  sum(c.state = 'succeeded' and c.wanted_settings_id is not null) reopened,
  sum(c.state = 'succeeded' and not exists
    (select 1 from attempts t where t.call_id = c.id and t.outcome = 'succeeded')) reused`;

/** Sums over attempts. */
export const ATTEMPT_TOTALS = `sum(t.outcome <> 'unanswered') attempts, ${wholeSumOf("t.prompt_tokens")} prompt,
  ${wholeSumOf("t.completion_tokens")} completion, ${wholeSumOf("t.cached_tokens")} cached,
  ${wholeSumOf("t.cache_write_tokens")} written, ${wholeSumOf("t.reasoning_tokens")} reasoning,
  ${wholeSumOf("t.cost_nano_usd")} cost,
  sum(t.cost_nano_usd is null and t.reserved_prompt_tokens is null) unpriced, max(t.tokens_estimated) estimated`;

/** Computes the totals of a run from its rows. Not for imported runs. */
export function recountTotals({ sqlite }: Store, runId: number): void {
  sqlite
    .prepare(
      `update runs set tasks = (select count(*) from tasks where run_id = runs.id),
         calls_total = n.total, calls_succeeded = coalesce(n.succeeded, 0), calls_failed = coalesce(n.failed, 0),
         calls_truncated = coalesce(n.truncated, 0), calls_reopened = coalesce(n.reopened, 0),
         calls_reused = coalesce(n.reused, 0), finished_at = iif(n.pending > 0, null, finished_at)
       from (select ${CALL_TOTALS} from tasks cross join calls c on c.task_id = tasks.id
         left join answers a on a.id = c.answer_id where tasks.run_id = ?) n
       where runs.id = ?`,
    )
    .run(runId, runId);
  sqlite
    .prepare(
      `update runs set attempts = coalesce(n.attempts, 0), prompt_tokens = coalesce(n.prompt, 0),
         completion_tokens = coalesce(n.completion, 0), cached_tokens = coalesce(n.cached, 0),
         cache_write_tokens = coalesce(n.written, 0), reasoning_tokens = coalesce(n.reasoning, 0),
         cost_nano_usd = coalesce(n.cost, 0), attempts_unpriced = coalesce(n.unpriced, 0),
         tokens_estimated = coalesce(n.estimated, 0)
       from (select ${ATTEMPT_TOTALS} from tasks cross join calls c on c.task_id = tasks.id
         cross join attempts t on t.call_id = c.id where tasks.run_id = ?) n
       where runs.id = ?`,
    )
    .run(runId, runId);
}
