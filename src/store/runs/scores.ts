import { inTransaction } from "../file/transaction.ts";
import { oncePerStore, type Store } from "../file/store.ts";

/* Prepared SQL, because scores go through temporary tables, and cells are found one at a time. */

/** The scores of a run with one name. */
export interface ScoreCount {
  name: string;
  /** How many cells have it. */
  cells: number;
}

/**
 * The scores of a run by their names, with how many cells have each.
 * @internal
 */
export function scoreCounts({ sqlite }: Store, runId: number): ScoreCount[] {
  return sqlite
    .prepare<[number], ScoreCount>(
      `select s.name, count(*) cells from scores s cross join calls c on c.id = s.call_id and c.answer_id = s.answer_id
       where s.run_id = ? group by s.name order by s.name`,
    )
    .all(runId);
}

/**
 * The scores of a run with one name, each with the position of its perspective. The store must not be written to until the
 * iteration ends.
 * @internal
 */
export function scoreValues(
  { sqlite }: Store,
  runId: number,
  name: string,
): Iterable<[position: number, value: number]> {
  return sqlite
    .prepare<[number, string], [number, number]>(
      `select p.position, s.value from scores s cross join calls c on c.id = s.call_id and c.answer_id = s.answer_id
         cross join perspectives p on p.id = c.perspective_id
       where s.run_id = ? and s.name = ?`,
    )
    .raw()
    .iterate(runId, name);
}

/**
 * The names of the scores of a run.
 * @internal
 */
export function scoreNames({ sqlite }: Store, runId: number): string[] {
  return sqlite
    .prepare<[number], string>("select distinct name from scores where run_id = ? order by name")
    .pluck()
    .all(runId);
}

/**
 * Whether a run has scores.
 * @internal
 */
export function hasScores({ sqlite }: Store, runId: number): boolean {
  return sqlite.prepare<[number], 1>("select 1 from scores where run_id = ? limit 1").get(runId) !== undefined;
}

/** The call that gives the response of a cell. */
export interface ScoredCall {
  callId: number;
  /** Null while there is no response. */
  answerId: number | null;
  /** The id of its input, as text. */
  inputId: string;
}

/** The cells of runs, and the scores that they are about to get. */
export interface ScoreDraft extends Disposable {
  /** The id of the perspective of a run with a condition. */
  perspective(runId: number, condition: string): number | undefined;
  /** The positions of the inputs of a run that have an id, at most two. */
  positionsOf(runId: number, inputId: string): number[];
  find(runId: number, position: number, perspectiveId: number, replicate: number): ScoredCall | undefined;
  /** @returns the row that had the cell before; null if there is none */
  claim(callId: number, row: number): number | null;
  add(call: { callId: number; answerId: number }, name: string, value: number): void;
  /** Puts the scores in the place of those of the same names that these runs have. @returns how many cells got each */
  commit(runIds: readonly number[], names: readonly string[]): ScoreCount[];
}

const statements = oncePerStore(({ sqlite }) => ({
  perspective: sqlite
    .prepare<[number, string], number>("select id from perspectives where run_id = ? and condition = ?")
    .pluck(),
  call: sqlite.prepare<[number, number, number, number], ScoredCall>(
    `select c.id callId, c.answer_id answerId, cast(coalesce(t.source_id, substr(i.hash, 6, 16)) as text) inputId
     from tasks t join texts i on i.id = t.input_id
       join calls c on c.task_id = t.id and c.perspective_id = ? and c.step = 'strategy' and c.replicate = ?
     where t.run_id = ? and t.position = ?`,
  ),
  remove: sqlite.prepare<[number, string]>("delete from scores where run_id = ? and name = ?"),
}));

/**
 * Begins to give cells scores. They are kept in temporary tables until {@link ScoreDraft.commit}, so that nothing is
 * written before a file was read to its end.
 * @internal
 */
export function draftScores(store: Store): ScoreDraft {
  const { sqlite } = store;
  const drop = `drop table if exists temp.draft_ids; drop table if exists temp.draft_cells;
    drop table if exists temp.draft_scores;`;
  sqlite.exec(`${drop}
    create temp table draft_ids (run_id integer, id text, position integer, primary key (run_id, id, position)) without rowid;
    create temp table draft_cells (call_id integer primary key, at integer not null);
    create temp table draft_scores (call_id integer, name text, answer_id integer, value real,
      primary key (call_id, name)) without rowid;`);
  const fillIds = sqlite.prepare<[number]>(
    `insert into temp.draft_ids select t.run_id, cast(coalesce(t.source_id, substr(i.hash, 6, 16)) as text), t.position
     from tasks t join texts i on i.id = t.input_id where t.run_id = ?`,
  );
  const positions = sqlite
    .prepare<[number, string], number>("select position from temp.draft_ids where run_id = ? and id = ? limit 2")
    .pluck();
  const claim = sqlite.prepare<[number, number]>("insert or ignore into temp.draft_cells values (?, ?)");
  const claimed = sqlite.prepare<[number], number>("select at from temp.draft_cells where call_id = ?").pluck();
  const add = sqlite.prepare<[number, string, number, number]>("insert into temp.draft_scores values (?, ?, ?, ?)");
  // A call whose answer has changed since the file was read has no score.
  const copy = sqlite.prepare(
    `insert into scores (run_id, call_id, answer_id, name, value)
     select c.run_id, c.id, c.answer_id, d.name, d.value
     from temp.draft_scores d cross join calls c on c.id = d.call_id and c.answer_id = d.answer_id`,
  );
  const counts = sqlite.prepare<[], ScoreCount>(
    "select name, count(*) cells from temp.draft_scores group by name order by name",
  );
  const withIds = new Set<number>();
  const { perspective, call, remove } = statements(store);
  return {
    perspective: (runId, condition) => perspective.get(runId, condition),
    positionsOf(runId, inputId) {
      if (!withIds.has(runId)) fillIds.run(runId);
      withIds.add(runId);
      return positions.all(runId, inputId);
    },
    find: (runId, position, perspectiveId, replicate) => call.get(perspectiveId, replicate, runId, position),
    claim(callId, row) {
      if (claim.run(callId, row).changes > 0) return null;
      return claimed.get(callId) ?? null;
    },
    add: ({ callId, answerId }, name, value) => void add.run(callId, name, answerId, value),
    commit(runIds, names) {
      inTransaction(store, () => {
        for (const runId of runIds) for (const name of names) remove.run(runId, name);
        copy.run();
      });
      return counts.all();
    },
    [Symbol.dispose]: () => void sqlite.exec(drop),
  };
}
