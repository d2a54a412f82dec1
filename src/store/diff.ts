import type { ReasoningTags } from "../config/schema.ts";
import { withoutReasoning } from "../plan/reasoning.ts";
import { storedText, textFrom } from "./columns.ts";
import type { Store } from "./file/store.ts";
import { wholeSumOf } from "./whole-sum.ts";

/* Prepared SQL, because the two runs are joined in temporary tables, which are not in the schema. */

/** Which of two runs. */
export type Side = "a" | "b";

/** A condition of both runs. A cell is an input and a replicate that both runs have, whether answered or not. */
export interface PairRow {
  condition: string;
  cells: number;
  /** Cells where both have a response. */
  compared: number;
  /** The number of these with the same text. */
  identical: number;
}

/** The figures of one run for the cells of a condition. */
export interface SideRow {
  /** Unicode code points of the compared responses; null if there are none. */
  meanCharacters: number | null;
  /** Of the compared responses; null if there are none, or if the tokens of any are unknown. */
  meanCompletionTokens: number | null;
  /** Responses that the token limit cut off. */
  truncated: number;
  failed: number;
  pending: number;
  /** Of all answers, notes included; null if the tokens of any are unknown. */
  promptTokens: number | null;
  completionTokens: number | null;
  /** 1 if any of the tokens were counted by datagen, else 0. */
  tokensEstimated: number;
  /** Of all attempts, including those for notes; null if the cost of any is unknown. */
  costNanoUsd: number | null;
  /** Of the attempts that succeeded, including those for notes; null if there are none. */
  medianLatencyMs: number | null;
}

/** A cell with different responses in the two runs. */
export interface DifferingCell {
  id: number;
  /** The ids of the answers; `answerText` reads them. */
  answerA: number;
  answerB: number;
}

/** The place of a cell. */
export interface CellPlace {
  condition: string;
  replicate: number;
  /** The rows of the input files, from 0. */
  taskA: number;
  taskB: number;
  /** Ids of texts; `getText` reads them. The reference is the first run's, or the second's if the first has none. */
  inputId: number;
  referenceId: number | null;
}

/** A task without a partner: the other run lacks its input, or has it fewer times. */
export interface LoneTask {
  position: number;
  inputId: number;
}

/** Two joined runs. Valid only during the call of {@link joinRuns}. */
export interface JoinedRuns {
  /** Tasks that have a partner. */
  tasks: number;
  /** Whether they were matched by the ids of their inputs. */
  isById: boolean;
  /** How many of them have another text than their partner. */
  changedTasks(): number;
  /** The first tasks of a run without a partner, in the order of the file. */
  loneTasks(side: Side, limit: number): LoneTask[];
  /** In the order of the first run's conditions. */
  pairs(): PairRow[];
  /** The same conditions in the same order. */
  side(side: Side): SideRow[];
  /** In the order of the first run's file, then of its conditions, then of the replicates. */
  differing(): IterableIterator<DifferingCell>;
  place(cellId: number): CellPlace;
}

const DROP = ["diff_tasks", "diff_conditions", "diff_cells"]
  .map((name) => `drop table if exists temp.${name};`)
  .join("");

// Temporary tables are in a file and take no memory. `a` and `b` are the calls of the strategies.
const CREATE = `
  create temp table diff_tasks (position integer primary key, a integer not null unique, b integer not null unique);
  create temp table diff_conditions
    (position integer primary key, condition text not null, a integer not null, b integer not null);
  create temp table diff_cells
    (id integer primary key, condition integer not null, replicate integer not null, task_a integer not null,
     task_b integer not null, a integer not null, b integer not null, notes_a integer, notes_b integer)`;

const OCCURRENCES = `select id, input_id, position, row_number() over (partition by input_id order by position) as nth
  from tasks where run_id = ?`;

const JOIN_TASKS_BY_TEXT = `
  insert into temp.diff_tasks (position, a, b)
  with a as materialized (${OCCURRENCES}), b as materialized (${OCCURRENCES})
  select a.position, a.id, b.id from a join b on b.input_id = a.input_id and b.nth = a.nth`;

const IDS = "select id, position, cast(source_id as text) as own from tasks where run_id = ?";

// Ids are unique within a run. Should a damaged database have one twice, the first one counts.
const JOIN_TASKS_BY_ID = `
  insert or ignore into temp.diff_tasks (position, a, b)
  with a as materialized (${IDS}), b as materialized (${IDS})
  select a.position, a.id, b.id from a join b on b.own = a.own order by a.position, b.position`;

/** Whether every input of a run has its own id. */
const HAVE_IDS = `
  select exists (select 1 from tasks where run_id = @run)
    and not exists (select 1 from tasks where run_id = @run and source_id is null)`;

const CHANGED_TASKS = `
  select count(*) from temp.diff_tasks d join tasks a on a.id = d.a join tasks b on b.id = d.b
  where a.input_id <> b.input_id`;

const JOIN_CONDITIONS = `
  insert into temp.diff_conditions (position, condition, a, b)
  select a.position, a.condition, a.id, b.id from perspectives a join perspectives b on b.condition = a.condition
  where a.run_id = ? and b.run_id = ?`;

const notesOf = (call: string) => `
  (select id from calls where task_id = ${call}.task_id and perspective_id = ${call}.perspective_id
     and step = 'reading' and replicate = ${call}.replicate)`;

const JOIN_CELLS = `
  insert into temp.diff_cells (condition, replicate, task_a, task_b, a, b, notes_a, notes_b)
  select p.position, ca.replicate, t.a, t.b, ca.id, cb.id, ${notesOf("ca")}, ${notesOf("cb")}
  from temp.diff_tasks t cross join temp.diff_conditions p
    cross join calls ca on ca.task_id = t.a and ca.perspective_id = p.a and ca.step = 'strategy'
    cross join calls cb on cb.task_id = t.b and cb.perspective_id = p.b and cb.step = 'strategy'
      and cb.replicate = ca.replicate
  order by t.position, p.position, ca.replicate`;

/** SQL for the text of an answer, as the datasets of each run have it. */
type Responses = Record<Side, (column: string) => string>;

const USED_TEXT = "used_text";
const usedIn = (tags: ReasoningTags | undefined) => (column: string) =>
  tags === "strip" ? `${USED_TEXT}(${column})` : column;

/** SQL for whether two answers, `aa` and `ab`, have the same text as responses of the two runs. */
const isSame = ({ a, b }: Responses) =>
  `(${a("x") === b("x") ? "aa.id = ab.id or " : ""}${a("aa.text")} = ${b("ab.text")})`;

// Grouping sorts rows, so these rows have no texts.
const pairsOf = (responses: Responses) => `
  with pairs as materialized (
    select c.condition, ${isSame(responses)} as same
    from temp.diff_cells c cross join calls ca on ca.id = c.a cross join calls cb on cb.id = c.b
      left join answers aa on aa.id = ca.answer_id left join answers ab on ab.id = cb.answer_id)
  select p.condition, count(pairs.condition) as cells, count(same) as compared, coalesce(sum(same), 0) as identical
  from temp.diff_conditions p left join pairs on pairs.condition = p.position
  group by p.position order by p.position`;

// SQLite's length() stops at a NUL, and counts the bytes of a blob.
const charactersIn = (text: string) => `
  iif(typeof(${text}) = 'blob' or instr(${text}, char(0)) > 0, code_points(${text}), length(${text}))`;

/** A row for every condition of both runs, with columns of a query that lacks conditions without cells. */
const ofEach = (columns: string, query: string) => `
  select ${columns} from temp.diff_conditions p left join (${query}) g on g.condition = p.position order by p.position`;

const chainOf = (side: Side) => `
  with chain as (
    select condition, ${side} as call from temp.diff_cells
    union all select condition, notes_${side} from temp.diff_cells where notes_${side} is not null)`;

// The tokens of an imported answer are unknown.
const lengthsOf = (side: Side, other: Side, responses: Responses) =>
  ofEach(
    `meanCharacters, meanCompletionTokens, coalesce(truncated, 0) as truncated, coalesce(failed, 0) as failed,
       coalesce(pending, 0) as pending`,
    `with responses as materialized (
       select c.condition, calls.state, answers.finish_reason = 'length' as cut,
         iif(others.answer_id is not null, ${charactersIn(responses[side]("answers.text"))}, null) as characters,
         iif(others.answer_id is not null and answers.origin <> 'imported', answers.completion_tokens, null) as tokens
       from temp.diff_cells c cross join calls on calls.id = c.${side} cross join calls others on others.id = c.${other}
         left join answers on answers.id = calls.answer_id)
     select condition, avg(characters) as meanCharacters,
       iif(count(tokens) = count(characters), avg(tokens), null) as meanCompletionTokens,
       sum(cut) as truncated, sum(state = 'failed') as failed, sum(state = 'pending') as pending
     from responses group by condition`,
  );

const tokensOf = (side: Side) =>
  ofEach(
    `iif(hasUnknown, null, coalesce(prompt, 0)) as promptTokens,
       iif(hasUnknown, null, coalesce(completion, 0)) as completionTokens, coalesce(estimated, 0) as tokensEstimated`,
    `${chainOf(side)}
     select condition, max(answers.origin = 'imported') as hasUnknown, ${wholeSumOf("answers.prompt_tokens")} as prompt,
       ${wholeSumOf("answers.completion_tokens")} as completion, max(answers.tokens_estimated) as estimated
     from chain cross join calls on calls.id = chain.call cross join answers on answers.id = calls.answer_id
     group by condition`,
  );

// A call with an answer but without an attempt was reused, at no cost, or imported, at an unknown cost. It was imported if
// its run has reused nothing.
const costsOf = (side: Side) =>
  ofEach(
    "iif(hasUnknown, null, coalesce(cost, 0)) as costNanoUsd",
    `${chainOf(side)}
     select condition, ${wholeSumOf("attempts.cost_nano_usd")} as cost,
       max(iif(attempts.id is null, calls.answer_id is not null and runs.imported is not null,
         attempts.cost_nano_usd is null and attempts.reserved_prompt_tokens is null)) as hasUnknown
     from chain cross join calls on calls.id = chain.call cross join runs on runs.id = calls.run_id
       left join attempts on attempts.call_id = calls.id
     group by condition`,
  );

const latenciesOf = (side: Side) =>
  ofEach(
    "medianLatencyMs",
    `${chainOf(side)},
     durations as (
       select condition, attempts.duration_ms as ms, count(*) over (partition by condition) as n,
         row_number() over (partition by condition order by attempts.duration_ms) as nth
       from chain cross join attempts on attempts.call_id = chain.call
       where attempts.outcome = 'succeeded')
     select condition, avg(ms) as medianLatencyMs from durations
     where nth between n / 2.0 and n / 2.0 + 1 group by condition`,
  );

const differingOf = (responses: Responses) => `
  select c.id, aa.id as answerA, ab.id as answerB
  from temp.diff_cells c cross join calls ca on ca.id = c.a cross join calls cb on cb.id = c.b
    cross join answers aa on aa.id = ca.answer_id cross join answers ab on ab.id = cb.answer_id
  where not ${isSame(responses)} order by c.id`;

const PLACE = `
  select p.condition, c.replicate, ta.position as taskA, tb.position as taskB, ta.input_id as inputId,
    coalesce(ta.reference_id, tb.reference_id) as referenceId
  from temp.diff_cells c join temp.diff_conditions p on p.position = c.condition
    join tasks ta on ta.id = c.task_a join tasks tb on tb.id = c.task_b
  where c.id = ?`;

/**
 * Joins two runs on their inputs, on conditions and replicates. They may be the same run. Inputs are matched by their ids if
 * all inputs of both runs have their own, else by their texts; then those that repeat are matched in the order of the file.
 * `body` sees both runs at one moment.
 * @param tags what each run does with the reasoning at the start of an answer
 */
export function joinRuns<T>(
  { sqlite }: Store,
  [runA, runB]: [number, number],
  tags: Record<Side, ReasoningTags | undefined>,
  body: (joined: JoinedRuns) => T,
): T {
  sqlite.function("code_points", { deterministic: true }, codePoints);
  sqlite.function(USED_TEXT, { deterministic: true }, strippedText);
  const responses = { a: usedIn(tags.a), b: usedIn(tags.b) };
  return sqlite.transaction(() => {
    sqlite.exec(DROP + CREATE);
    const hasIds = sqlite.prepare<[{ run: number }], number>(HAVE_IDS).pluck();
    const isById = hasIds.get({ run: runA }) === 1 && hasIds.get({ run: runB }) === 1;
    const tasks = sqlite.prepare(isById ? JOIN_TASKS_BY_ID : JOIN_TASKS_BY_TEXT).run(runA, runB).changes;
    sqlite.prepare(JOIN_CONDITIONS).run(runA, runB);
    sqlite.prepare(JOIN_CELLS).run();
    const place = sqlite.prepare<[number], CellPlace>(PLACE);
    const result = body({
      tasks,
      isById,
      changedTasks: () => sqlite.prepare<[], number>(CHANGED_TASKS).pluck().get() ?? 0,
      loneTasks: (side, limit) =>
        sqlite
          .prepare<[number, number], LoneTask>(
            `select position, input_id as inputId from tasks
               where run_id = ? and not exists (select 1 from temp.diff_tasks where ${side} = tasks.id)
               order by position limit ?`,
          )
          .all(side === "a" ? runA : runB, limit),
      pairs: () => sqlite.prepare<[], PairRow>(pairsOf(responses)).all(),
      side: (side) => sideRows(sqlite, side, responses),
      differing: () => sqlite.prepare<[], DifferingCell>(differingOf(responses)).iterate(),
      place: (cellId) => {
        const row = place.get(cellId);
        if (!row) throw new Error(`there is no cell ${cellId}`);
        return row;
      },
    });
    sqlite.exec(DROP);
    return result;
  })();
}

// Run one statement at a time, because each keeps its sorted rows until it ends.
function sideRows(sqlite: Store["sqlite"], side: Side, responses: Responses): SideRow[] {
  const parts = [
    lengthsOf(side, side === "a" ? "b" : "a", responses),
    tokensOf(side),
    costsOf(side),
    latenciesOf(side),
  ];
  const [first = [], ...others] = parts.map((sql) => sqlite.prepare<[], SideRow>(sql).all());
  return first.map((row, at) => Object.assign(row, ...others.map((rows) => rows[at])) as SideRow);
}

/** A stored text without its reasoning, as a stored value; null stays null. */
function strippedText(stored: unknown): unknown {
  return stored === null ? null : storedText(withoutReasoning(textFrom(stored as string | Buffer)));
}

/** The number of code points of a stored text, which may be a blob of UTF-16LE. */
function codePoints(stored: unknown): number {
  let count = 0;
  for (const _ of Buffer.isBuffer(stored) ? stored.toString("utf16le") : String(stored)) count += 1;
  return count;
}
