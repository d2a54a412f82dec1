import type { ReasoningTags } from "../../config/schema.ts";
import { withoutReasoning } from "../../plan/reasoning.ts";
import { storedText, textFrom } from "../columns.ts";
import type { Store } from "../file/store.ts";
import { type ConditionRow, conditionRows, type FigureRow, figureRows, isSame, type Response } from "./figures.ts";

/* Prepared SQL, because the runs are joined in temporary tables, which are not in the schema and have columns for each run. */

/** A run to join, and what it does with the reasoning at the start of an answer. */
export interface JoinedRun {
  id: number;
  reasoningTags: ReasoningTags | undefined;
}

/** A cell in which not all runs have the same response. */
export interface DifferingCell {
  id: number;
  /** The id of each run's answer; `answerText` reads them. */
  answers: number[];
}

/** The place of a cell. */
export interface CellPlace {
  condition: string;
  replicate: number;
  /** The row of each run's input file, from 0. */
  tasks: number[];
  /** Ids of texts; `getText` reads them. The reference is that of the first run that has one. */
  inputId: number;
  referenceId: number | null;
}

/** A task whose input other runs lack, or have fewer times. */
export interface LoneTask {
  position: number;
  inputId: number;
}

/** The joined runs, each named by its place in their order. Valid only during the call of {@link joinRuns}. */
export interface JoinedRuns {
  /** How many tasks all runs have. */
  tasks: number;
  /** Whether they were matched by the ids of their inputs. */
  isById: boolean;
  /** How many of them have different texts. */
  changedTasks(): number;
  /** The first tasks of a run that not all runs have, in the order of the file. */
  loneTasks(run: number, limit: number): LoneTask[];
  /** The conditions of all runs, in the order of the first run. */
  conditions(): ConditionRow[];
  /** The same conditions in the same order. */
  figures(run: number): FigureRow[];
  /** In the order of the first run's file, then of its conditions, then of the replicates. */
  differing(): IterableIterator<DifferingCell>;
  place(cellId: number): CellPlace;
}

const DROP = ["diff_occurrences", "diff_tasks", "diff_conditions", "diff_cells"]
  .map((name) => `drop table if exists temp.${name};`)
  .join("");

// Temporary tables are in a file and take no memory. The columns of a run end with its place: t0 is a task of the first run,
// p0 a perspective, c0 the call of a strategy, n0 the call of its notes.
const createTables = (runs: readonly number[]) => `
  create temp table diff_occurrences
    (run integer not null, key not null, nth integer not null, id integer not null, position integer not null,
     primary key (run, key, nth)) without rowid;
  create temp table diff_tasks (position integer primary key, ${list(runs, (at) => `t${at} integer not null`)});
  create temp table diff_conditions
    (position integer primary key, condition text not null, ${list(runs, (at) => `p${at} integer not null`)});
  create temp table diff_cells
    (id integer primary key, condition integer not null, replicate integer not null, task integer not null,
     is_compared integer not null, ${list(runs, (at) => `c${at} integer not null`)}, ${list(runs, (at) => `n${at} integer`)})`;

/** Whether every input of a run has its own id. */
const HAVE_IDS = `
  select exists (select 1 from tasks where run_id = @run)
    and not exists (select 1 from tasks where run_id = @run and source_id is null)`;

const findOccurrences = (key: string) => `
  insert into temp.diff_occurrences (run, key, nth, id, position)
  select ?, ${key}, row_number() over (partition by ${key} order by position) as nth, id, position
  from tasks where run_id = ? order by 2, 3`;

const joinTasks = (runs: readonly number[]) => `
  insert into temp.diff_tasks (position, ${list(runs, (at) => `t${at}`)})
  select r0.position, ${list(runs, (at) => `r${at}.id`)} from temp.diff_occurrences r0
    ${others(runs, (at) => `cross join temp.diff_occurrences r${at} on r${at}.run = ${at} and r${at}.key = r0.key and r${at}.nth = r0.nth`)}
  where r0.run = 0`;

const LONE_TASKS = `
  select tasks.position, tasks.input_id as inputId
  from temp.diff_occurrences own cross join tasks on tasks.id = own.id
  where own.run = ? and not exists (
    select 1 from temp.diff_occurrences r0 cross join temp.diff_tasks d on d.position = r0.position
    where r0.run = 0 and r0.key = own.key and r0.nth = own.nth)
  order by tasks.position limit ?`;

const changedTasks = (runs: readonly number[]) => `
  select count(*) from temp.diff_tasks d ${runs.map((at) => `cross join tasks t${at} on t${at}.id = d.t${at}`).join(" ")}
  where ${others(runs, (at) => `t${at}.input_id <> t0.input_id`, " or ")}`;

const joinConditions = (runs: readonly number[]) => `
  insert into temp.diff_conditions (position, condition, ${list(runs, (at) => `p${at}`)})
  select p0.position, p0.condition, ${list(runs, (at) => `p${at}.id`)} from perspectives p0
    ${others(runs, (at) => `join perspectives p${at} on p${at}.condition = p0.condition`)}
  where ${runs.map((at) => `p${at}.run_id = ?`).join(" and ")}`;

const notesOf = (call: string) => `
  (select id from calls where task_id = ${call}.task_id and perspective_id = ${call}.perspective_id
     and step = 'reading' and replicate = ${call}.replicate)`;

const joinCells = (runs: readonly number[]) => `
  insert into temp.diff_cells
    (condition, replicate, task, is_compared, ${list(runs, (at) => `c${at}`)}, ${list(runs, (at) => `n${at}`)})
  select p.position, c0.replicate, t.position, ${runs.map((at) => `c${at}.answer_id is not null`).join(" and ")},
    ${list(runs, (at) => `c${at}.id`)}, ${list(runs, (at) => notesOf(`c${at}`))}
  from temp.diff_tasks t cross join temp.diff_conditions p
    ${runs.map((at) => `cross join calls c${at} on c${at}.task_id = t.t${at} and c${at}.perspective_id = p.p${at} and c${at}.step = 'strategy'${at === 0 ? "" : ` and c${at}.replicate = c0.replicate`}`).join(" ")}
  order by t.position, p.position, c0.replicate`;

const differing = (responses: readonly Response[]) => {
  const runs = [...responses.keys()];
  return `
    select c.id, ${list(runs, (at) => `a${at}.id`)} from temp.diff_cells c
      ${runs.map((at) => `cross join calls c${at} on c${at}.id = c.c${at} cross join answers a${at} on a${at}.id = c${at}.answer_id`).join(" ")}
    where not (${others(runs, (at) => isSame(responses, at), " and ")}) order by c.id`;
};

const place = (runs: readonly number[]) => `
  select p.condition, c.replicate, t0.input_id, coalesce(${list(runs, (at) => `t${at}.reference_id`)}),
    ${list(runs, (at) => `t${at}.position`)}
  from temp.diff_cells c cross join temp.diff_conditions p on p.position = c.condition
    cross join temp.diff_tasks d on d.position = c.task
    ${runs.map((at) => `cross join tasks t${at} on t${at}.id = d.t${at}`).join(" ")}
  where c.id = ?`;

/** SQL for every run, as a list. */
function list(runs: readonly number[], sqlOf: (at: number) => string): string {
  return runs.map(sqlOf).join(", ");
}

/** SQL for every run but the first. */
function others(runs: readonly number[], sqlOf: (at: number) => string, between = " "): string {
  return runs.slice(1).map(sqlOf).join(between);
}

/**
 * Joins two or more runs on their inputs, on conditions and replicates. A run may be joined with itself. Inputs are matched
 * by their ids if all inputs of all runs have their own, else by their texts; then those that repeat are matched in the
 * order of the file. `body` sees all runs at one moment.
 */
export function joinRuns<T>({ sqlite }: Store, joined: readonly JoinedRun[], body: (joined: JoinedRuns) => T): T {
  sqlite.function("code_points", { deterministic: true }, codePoints);
  sqlite.function(USED_TEXT, { deterministic: true }, strippedText);
  const runs = [...joined.keys()];
  const ids = joined.map(({ id }) => id);
  const responses = joined.map(({ reasoningTags }) => usedIn(reasoningTags));
  return sqlite.transaction(() => {
    sqlite.exec(DROP + createTables(runs));
    const hasIds = sqlite.prepare<[{ run: number }], number>(HAVE_IDS).pluck();
    const isById = ids.every((run) => hasIds.get({ run }) === 1);
    const find = sqlite.prepare(findOccurrences(isById ? "cast(source_id as text)" : "input_id"));
    for (const [at, id] of ids.entries()) find.run(at, id);
    const tasks = sqlite.prepare(joinTasks(runs)).run().changes;
    sqlite.prepare(joinConditions(runs)).run(...ids);
    sqlite.prepare(joinCells(runs)).run();
    const placed = sqlite.prepare<[number], [string, number, number, number | null, ...number[]]>(place(runs)).raw();
    const result = body({
      tasks,
      isById,
      changedTasks: () => sqlite.prepare<[], number>(changedTasks(runs)).pluck().get() ?? 0,
      loneTasks: (run, limit) => sqlite.prepare<[number, number], LoneTask>(LONE_TASKS).all(run, limit),
      conditions: () => conditionRows(sqlite, responses),
      figures: (run) => figureRows(sqlite, responses, run),
      *differing() {
        const rows = sqlite.prepare<[], [number, ...number[]]>(differing(responses)).raw().iterate();
        for (const [id, ...answers] of rows) yield { id, answers };
      },
      place: (cellId) => {
        const row = placed.get(cellId);
        if (!row) throw new Error(`there is no cell ${cellId}`);
        const [condition, replicate, inputId, referenceId, ...positions] = row;
        return { condition, replicate, tasks: positions, inputId, referenceId };
      },
    });
    sqlite.exec(DROP);
    return result;
  })();
}

const USED_TEXT = "used_text";

/** The text of an answer, as the datasets of its run have it. */
function usedIn(tags: ReasoningTags | undefined): Response {
  return (column) => (tags === "strip" ? `${USED_TEXT}(${column})` : column);
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
