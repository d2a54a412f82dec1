import { crc32 } from "node:zlib";
import { errorCode, errorMessage } from "../../errors.ts";
import { sha256 } from "../../plan/settings.ts";
import type { Store } from "../file/store.ts";
import { ATTEMPT_TOTALS, CALL_TOTALS } from "../runs/totals.ts";
import { counted } from "../whole-sum.ts";

/* Prepared SQL, because a rule is the text of a query, and reads whole tables of a database that may be damaged. */

/** A broken rule. */
export interface Violation {
  /** The rule, as a sentence. */
  rule: string;
  /** How many rows break it. */
  rows: number;
  /** Some of them. */
  examples: string[];
}

const MOST_EXAMPLES = 5;

/** The totals of attempts: the columns of runs, and the names of the sums in `ATTEMPT_TOTALS`. */
const USED: [column: string, total: string][] = [
  ["prompt_tokens", "prompt"],
  ["completion_tokens", "completion"],
  ["cached_tokens", "cached"],
  ["cache_write_tokens", "written"],
  ["reasoning_tokens", "reasoning"],
  ["cost_nano_usd", "cost"],
];

/** Whether a total of a run differs from the sum over its rows plus what the dataset of an imported run reported. */
function isOtherTotal([column, total]: (typeof USED)[number]): string {
  return `${counted(`r.${column}`)} <> ${counted(`coalesce(n.${total}, 0) + coalesce(r.imported ->> '$.tokens.${total}', 0)`)}`;
}

/** The rules, each with a query for the rows that break it. */
const RULES: [rule: string, query: string][] = [
  [
    "a call has an answer if and only if it succeeded",
    "select 'call ' || id from calls where (state = 'succeeded') <> (answer_id is not null)",
  ],
  [
    "a call has a failure reason if and only if it failed",
    "select 'call ' || id from calls where (state = 'failed') <> (failure is not null)",
  ],
  [
    "a call belongs to the run of its task and of its perspective",
    `select 'call ' || c.id from calls c join tasks t on t.id = c.task_id join perspectives p on p.id = c.perspective_id
      where t.run_id <> c.run_id or p.run_id <> c.run_id`,
  ],
  [
    "a score belongs to the run of its call",
    "select 'call ' || c.id from scores s join calls c on c.id = s.call_id where s.run_id <> c.run_id",
  ],
  [
    "every task of a run has a strategy for every perspective and sample, and a reading where the perspective has one",
    `select 'task ' || t.id || ', perspective ' || p.id from tasks t
      join runs r on r.id = t.run_id and r.planned_at is not null
      join perspectives p on p.run_id = t.run_id
      where coalesce(r.config ->> '$.replicates', 1) <>
            (select count(*) from calls c where c.task_id = t.id and c.perspective_id = p.id and c.step = 'strategy')
         or iif(p.reading is null, 0, coalesce(r.config ->> '$.replicates', 1)) <>
            (select count(*) from calls c where c.task_id = t.id and c.perspective_id = p.id and c.step = 'reading')`,
  ],
  [
    "a strategy has an answer only if its reading is done, or once came back empty",
    `select 'call ' || s.id from calls s join calls r on r.task_id = s.task_id and r.perspective_id = s.perspective_id
       and r.replicate = s.replicate and r.step = 'reading'
      where s.step = 'strategy' and s.state = 'succeeded'
        and r.state = 'failed' and r.failure <> 'empty'
        and not exists (select 1 from attempts a where a.call_id = r.id and a.outcome = 'empty')
        and not exists (select 1 from runs where runs.id = s.run_id and runs.imported is not null)`,
  ],
  [
    "an answer is used once in a run",
    `select 'answer ' || answer_id from calls where answer_id is not null group by run_id, answer_id having count(*) > 1`,
  ],
  [
    "columns of JSON contain valid JSON",
    `select 'run ' || public_id from runs where not json_valid(config) or not json_valid(coalesce(imported, '{}'))
     union all select 'settings ' || id from settings where not json_valid(value)
     union all select 'task ' || id from tasks where columns is not null and not json_valid(columns)`,
  ],
  [
    "perspectives and tasks have the positions 0, 1, 2, …",
    `select 'run ' || r.public_id from runs r
      join (select run_id, count(*) n, min(position) first, max(position) last from perspectives group by run_id) p
        on p.run_id = r.id
      where p.first <> 0 or p.last <> p.n - 1
     union all select 'run ' || r.public_id from runs r
      join (select run_id, count(*) n, min(position) first, max(position) last from tasks group by run_id) t
        on t.run_id = r.id
      where r.planned_at is not null and (t.n <> r.tasks
        or r.shard is null and (t.first <> 0 or t.last <> t.n - 1))`,
  ],
  ["an answer has a text", "select 'answer ' || id from answers where octet_length(text) = 0"],
  ["a text matches its hash", "select 'text ' || id from texts where hash <> hash_of(cast(text as blob))"],
  [
    "an answer matches its checksum",
    "select 'answer ' || id from answers where checksum is not null and checksum <> checksum_of(cast(text as blob))",
  ],
  [
    "cached and written tokens are part of the prompt, reasoning tokens of the completion",
    `select 'answer ' || id from answers
      where cached_tokens + cache_write_tokens > prompt_tokens or cache_write_1h_tokens > cache_write_tokens
        or reasoning_tokens > completion_tokens
     union all select 'attempt ' || id from attempts
      where cached_tokens + cache_write_tokens > prompt_tokens or cache_write_1h_tokens > cache_write_tokens
        or reasoning_tokens > completion_tokens`,
  ],
  [
    "a run's counts of calls match its calls",
    `select 'run ' || r.public_id from runs r
      left join (select c.run_id, ${CALL_TOTALS}
        from calls c left join answers a on a.id = c.answer_id group by c.run_id) n on n.run_id = r.id
      where r.planned_at is not null and (r.calls_total <> coalesce(n.total, 0)
        or r.calls_succeeded <> coalesce(n.succeeded, 0) or r.calls_failed <> coalesce(n.failed, 0)
        or r.calls_truncated <> coalesce(n.truncated, 0) or r.calls_reopened <> coalesce(n.reopened, 0)
        or r.imported is null and r.calls_reused <> coalesce(n.reused, 0))`,
  ],
  [
    "a run's tokens and cost are the sums over its attempts, plus the usage that an imported dataset reported",
    `select 'run ' || r.public_id from runs r
      left join (select c.run_id, ${ATTEMPT_TOTALS} from attempts t join calls c on c.id = t.call_id group by c.run_id) n
        on n.run_id = r.id
      where r.planned_at is not null and (r.attempts <> coalesce(n.attempts, 0) or ${USED.map(isOtherTotal).join(" or ")}
        or r.attempts_unpriced <> coalesce(n.unpriced, 0))`,
  ],
  [
    "a request that may have been charged has no cost and no usage yet",
    `select 'attempt ' || id from attempts where reserved_prompt_tokens is not null
      and (cost_nano_usd is not null or prompt_tokens > 0 or completion_tokens > 0)`,
  ],
  [
    "only an unanswered request has a token in a queue",
    "select 'attempt ' || id from attempts where job_token is not null and outcome <> 'unanswered'",
  ],
  [
    "a call in a batch has an unanswered attempt there, and the batch is open",
    `select 'call ' || c.id from calls c where c.batch_id is not null and not exists
      (select 1 from attempts a join batches b on b.id = a.batch_id
       where a.call_id = c.id and +a.batch_id = c.batch_id and a.outcome = 'unanswered' and b.state <> 'done')`,
  ],
  [
    "a run's count of open batches matches its batches",
    `select 'run ' || r.public_id from runs r where r.batches_open <>
      (select count(*) from batches b where b.run_id = r.id and b.state <> 'done')`,
  ],
  [
    "an experiment has runs",
    "select 'experiment ' || id from experiments e where not exists (select 1 from runs where experiment_id = e.id)",
  ],
  [
    "a run is finished if and only if none of its calls is pending",
    `select 'run ' || public_id from runs where planned_at is not null
      and (finished_at is not null) <> (calls_total = calls_succeeded + calls_failed)`,
  ],
];

/** The rules for the file itself, which are checked before its rows. */
const OF_THE_FILE: [rule: string, query: string][] = [
  ["the file is intact", "select integrity_check from pragma_integrity_check where integrity_check <> 'ok'"],
  [
    "a row refers only to rows that exist",
    `select "table" || ' ' || rowid || ' to ' || parent from pragma_foreign_key_check`,
  ],
];

/** How many rules {@link checkStore} checks. */
export const RULE_COUNT = OF_THE_FILE.length + RULES.length;

/** Runs SQLite's own checks of the file, and datagen's rules. @returns the broken rules */
export function checkStore({ sqlite }: Store): Violation[] {
  sqlite.function("hash_of", { deterministic: true }, (bytes) => sha256(bytes as Buffer));
  sqlite.function("checksum_of", { deterministic: true }, (bytes) => crc32(bytes as Buffer));
  // All queries see the same moment, while a run may continue. Nothing is written: a damaged file may not allow a commit.
  sqlite.exec("begin");
  try {
    return [...OF_THE_FILE, ...RULES].flatMap(([rule, query]) => {
      const found = look(sqlite, query);
      return found.rows === 0 ? [] : [{ rule, ...found }];
    });
  } finally {
    if (sqlite.inTransaction) sqlite.exec("rollback");
  }
}

/** The rows that a query finds, or an example that says that the file is too damaged for it. */
function look(sqlite: Store["sqlite"], query: string): Omit<Violation, "rule"> {
  const examples: string[] = [];
  let rows = 0;
  const add = (example: string) => {
    if (examples.length < MOST_EXAMPLES) examples.push(example);
    rows += 1;
  };
  try {
    for (const row of sqlite.prepare<[], string>(query).pluck().iterate()) add(row);
  } catch (error) {
    const code = errorCode(error) ?? "";
    // These errors are not about the file: another process, or no space for temporary data.
    if (!code.startsWith("SQLITE_") || /^SQLITE_(BUSY|LOCKED|FULL|NOMEM|INTERRUPT)/.test(code)) throw error;
    add(`cannot be checked: ${errorMessage(error)}`);
  }
  return { rows, examples };
}
