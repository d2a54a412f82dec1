import type Database from "better-sqlite3";
import { ANSWER_COLUMNS, type AnswerRow } from "./answer-columns.ts";
import { wholeSumOf } from "./whole-sum.ts";

/*
 * Views for people, who read them with any tool for SQLite. Prepared SQL, because a view is its text.
 *
 * After a change here, add a migration that says so; scripts/check-schema.ts wants it. DuckDB needs the types of columns, so
 * what is computed is cast. Only notes and responses are not: a cast would read blobs of UTF-16 as UTF-8.
 */

const text = (sql: string) => `cast(${sql} as text)`;
const integer = (sql: string) => `cast(${sql} as integer)`;
const real = (sql: string) => `cast(${sql} as real)`;

const id = text("coalesce(t.source_id, substr(i.hash, 6, 16))");
const kind = text("rtrim(substr(p.condition, 1, instr(p.condition || ':', ':') - 1))");

const isUnpriced = (attempt: string) =>
  `${attempt}.cost_nano_usd is null and ${attempt}.reserved_prompt_tokens is null`;

const dollars = (nano: string) => `${wholeSumOf(nano)} / 1e9`;

const inBoth = (column: string) => integer(`coalesce(sa.${column}, 0) + coalesce(na.${column}, 0)`);

/** How long the live request took that gave a call its answer. */
const latencyOf = (call: string) => `(select x.duration_ms from attempts x
    where x.call_id = ${call}.id and x.outcome = 'succeeded' and x.batch_id is null order by x.id desc limit 1)`;

/** White space in JavaScript, but for line feeds; see `withoutReasoning`. */
const SPACES = [9, 11, 12, 13, 32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232];
const BLANK = `char(${[...SPACES, 8233, 8239, 8287, 12288, 65279].join(", ")})`;

/**
 * The text of an answer as datasets have it: without reasoning where the config says so. The same as `withoutReasoning` in
 * plan/reasoning.ts, a part of the reasoning at a time.
 */
const usedText = (answer: string) => {
  const opened = `substr(ltrim(rest, ${BLANK} || char(10)), 1, 7) = '<think>'`;
  const closing = "instr(rest, '</think>')";
  const behind = `substr(rest, ${closing} + 8)`;
  const restOfLine = `ltrim(${behind}, ${BLANK})`;
  const isOpenedBefore = `instr(substr(rest, 1, ${closing} - 1), '<think>') = 0
        and substr(${restOfLine}, 1, 1) in ('', char(10))`;
  return `case when json_extract(r.config, '$.model_config.reasoning_tags') = 'strip'
      and instr(${answer}.text, 'think>') > 0 then
    (with recursive parts(rest, is_last) as (
      select ${answer}.text, 0
      union all
      select case when ${closing} = 0 then iif(${opened}, '', rest)
          when ${opened} or ${isOpenedBefore} then ltrim(${behind}, ${BLANK} || char(10)) else rest end,
        ${closing} = 0 or not (${opened} or ${isOpenedBefore})
      from parts where not is_last)
    select rest from parts where is_last)
    else ${answer}.text end`;
};

const ANSWERS: Record<keyof AnswerRow, string> = {
  run_id: "r.public_id",
  task: "t.position",
  condition: "p.condition",
  replicate: "s.replicate",
  context: "i.text",
  reference: "f.text",
  preparation: usedText("na"),
  response: usedText("sa"),
  failure: text(`case when s.state = 'pending' then 'pending' when s.state = 'succeeded' then null
    when n.state = 'failed' then 'reading: ' || n.failure else s.failure end`),
  finish_reason: "sa.finish_reason",
  finish_reason_raw: text("coalesce(sa.finish_reason_raw, sa.finish_reason)"),
  prompt_tokens: inBoth("prompt_tokens"),
  completion_tokens: inBoth("completion_tokens"),
  cached_tokens: inBoth("cached_tokens"),
  reasoning_tokens: inBoth("reasoning_tokens"),
  run_name: "r.name",
  model: "r.model",
  id,
  kind,
  refusal: text(`case when 'refusal' in (s.failure, n.failure) then
    (select x.refusal from attempts x
     where x.call_id in (s.id, n.id) and x.outcome = 'refusal' order by x.id desc limit 1) end`),
  cost_usd: real(`(select case when max(${isUnpriced("x")}) then null
    when count(*) = 0 and r.imported is not null and s.answer_id is not null then null
    else ${dollars("x.cost_nano_usd")} end from attempts x where x.call_id in (s.id, n.id))`),
  latency_ms: integer(`${latencyOf("s")} + coalesce(${latencyOf("n")}, 0)`),
  // SQLite before 3.41 knows no name of the outer query in an order.
  origin_run: text(`(select public_id from (
    select o.public_id, c.id <> s.id as is_other, c.id from calls c join runs o on o.id = c.run_id
    where c.answer_id = s.answer_id and (o.imported is not null
      or exists (select 1 from attempts x where x.call_id = c.id and x.outcome = 'succeeded'))
    order by 2, 3 limit 1))`),
};

const selected = (columns: readonly (readonly [name: string, sql: string])[]) =>
  columns.map(([name, sql]) => `${sql} as ${name}`).join(",\n  ");

const day = text("date(a.started_at / 1000, 'unixepoch')");

/** The attempts `a` of all runs. @param joined what else of the tasks `t` is read */
const attemptsWith = (joined = "") => `from runs r
  join tasks t on t.run_id = r.id${joined}
  join calls c on c.task_id = t.id
  join perspectives p on p.id = c.perspective_id
  join attempts a on a.call_id = c.id
where r.planned_at is not null`;

const VIEWS: Record<string, string> = {
  v_answers: `select ${selected(ANSWER_COLUMNS.map((name) => [name, ANSWERS[name]]))}
from runs r
  join tasks t on t.run_id = r.id
  join texts i on i.id = t.input_id
  left join texts f on f.id = t.reference_id
  join calls s on s.task_id = t.id and s.step = 'strategy'
  join perspectives p on p.id = s.perspective_id
  left join answers sa on sa.id = s.answer_id
  left join calls n on n.task_id = t.id and n.perspective_id = s.perspective_id and n.step = 'reading'
    and n.replicate = s.replicate
  left join answers na on na.id = n.answer_id
where r.planned_at is not null`,

  v_scores: `select ${selected([
    ["run_id", "r.public_id"],
    ["task", "t.position"],
    ["id", id],
    ["condition", "p.condition"],
    ["kind", kind],
    ["replicate", "c.replicate"],
    ["name", "s.name"],
    ["value", "s.value"],
  ])}
from runs r
  join tasks t on t.run_id = r.id
  join texts i on i.id = t.input_id
  join calls c on c.task_id = t.id
  join perspectives p on p.id = c.perspective_id
  join scores s on s.call_id = c.id and s.answer_id = c.answer_id
where r.planned_at is not null`,

  v_attempts: `select ${selected([
    ["run_id", "r.public_id"],
    ["run_name", "r.name"],
    ["provider", "r.provider"],
    ["model", "r.model"],
    ["task", "t.position"],
    ["id", id],
    ["condition", "p.condition"],
    ["kind", kind],
    ["step", "c.step"],
    ["replicate", "c.replicate"],
    ["day", day],
    ["started_at", text("strftime('%Y-%m-%dT%H:%M:%fZ', a.started_at / 1000.0, 'unixepoch')")],
    ["duration_ms", "a.duration_ms"],
    ["executor", text("iif(a.batch_id is null, 'live', 'batch')")],
    ["outcome", "a.outcome"],
    ["decision", "a.decision"],
    ["http_status", "a.http_status"],
    ["error_code", "a.error_code"],
    ["request_id", "a.request_id"],
    ["message", "a.message"],
    ["prompt_tokens", "a.prompt_tokens"],
    ["completion_tokens", "a.completion_tokens"],
    ["cached_tokens", "a.cached_tokens"],
    ["reasoning_tokens", "a.reasoning_tokens"],
    ["cost_usd", real("a.cost_nano_usd / 1e9")],
    ["possibly_billed", integer("a.reserved_prompt_tokens is not null")],
  ])}
${attemptsWith("\n  join texts i on i.id = t.input_id")}`,

  v_costs: `select ${selected([
    ["day", day],
    ["run_id", "r.public_id"],
    ["run_name", "r.name"],
    ["provider", "r.provider"],
    ["model", "r.model"],
    ["condition", "p.condition"],
    ["kind", kind],
    ["requests", integer("count(*)")],
    ["prompt_tokens", wholeSumOf("a.prompt_tokens")],
    ["completion_tokens", wholeSumOf("a.completion_tokens")],
    ["cached_tokens", wholeSumOf("a.cached_tokens")],
    ["reasoning_tokens", wholeSumOf("a.reasoning_tokens")],
    ["cost_usd", real(`iif(max(${isUnpriced("a")}), null, ${dollars("a.cost_nano_usd")})`)],
    ["unpriced", integer(`sum(${isUnpriced("a")})`)],
    ["possibly_billed", integer("sum(a.reserved_prompt_tokens is not null)")],
  ])}
${attemptsWith()}
group by 1, r.public_id, p.id`,
};

/** The statements that create the views. @internal */
export const CREATE_VIEWS = Object.entries(VIEWS)
  .map(([name, sql]) => `create view ${name} as\n${sql};`)
  .join("\n\n");

/**
 * Runs `body` while the database has no views, because a table cannot be rebuilt while a view reads it. Afterwards it has
 * datagen's views, and those that the user has added.
 * @internal
 */
export function withoutViews(sqlite: Database.Database, body: () => void): void {
  const views = sqlite
    .prepare<[], { name: string; sql: string }>("select name, sql from sqlite_schema where type = 'view'")
    .all();
  for (const { name } of views) sqlite.exec(`drop view "${name.replaceAll('"', '""')}"`);
  body();
  sqlite.exec(CREATE_VIEWS);
  // The text comes from a file that may be somebody else's: `prepare` takes one statement only.
  for (const { name, sql } of views) if (!Object.hasOwn(VIEWS, name.toLowerCase())) sqlite.prepare(sql).run();
}
