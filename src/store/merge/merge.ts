import { UsageError } from "../../errors.ts";
import { acquireLease, releaseLease, renewLease } from "../runs/leases.ts";
import { inTransaction } from "../file/transaction.ts";
import type { Store } from "../file/store.ts";
import { isExperimentName } from "../runs/experiments.ts";
import { storedScalar } from "../columns.ts";
import type { OtherDatabase, OtherRun } from "./other.ts";

/* Prepared SQL, because rows are copied whole, with all columns that the tables have. */

/** How many calls one transaction copies, so that other processes can write in between. */
const CHUNK = 2_000;

/** How many tasks of the other database to read at once. */
const PAGE = 50;

/** A run of this database, and how many answers it has to the tasks of a run of the other database. */
export interface Merged {
  publicId: string;
  callsSucceeded: number;
}

/** The run of this database with the id of another run, or the run that it was joined into. */
export function findMerged({ sqlite }: Store, other: OtherDatabase, { id, publicId }: OtherRun): Merged | undefined {
  const found = sqlite
    .prepare<[string, string], { id: number; publicId: string }>(
      `select id, public_id publicId from runs where public_id = ?
       union all select r.id, r.public_id from runs r, json_each(r.shard, '$.runs') part where part.value = ?`,
    )
    .get(publicId, publicId);
  if (!found) return undefined;
  const answered = sqlite
    .prepare<[number, number], number>(
      `select count(*) from tasks t cross join calls c on c.task_id = t.id and c.state = 'succeeded'
       where t.run_id = ? and t.position = ?`,
    )
    .pluck();
  let callsSucceeded = 0;
  for (const { position } of tasksOf(other, id)) callsSucceeded += answered.get(found.id, position) ?? 0;
  return { publicId: found.publicId, callsSucceeded };
}

interface OtherTask {
  id: number;
  position: number;
  inputId: number;
  referenceId: number | null;
  sourceId: string | number | null;
  columns: string | null;
}

/** The tasks of a run of the other database, read a page at a time. */
function* tasksOf(other: OtherDatabase, runId: number): Generator<OtherTask> {
  const tasks = other.query<[number, number], OtherTask>(
    `select id, position, input_id inputId, reference_id referenceId, source_id sourceId, columns from tasks
     where run_id = ? and position > ? order by position limit ${PAGE}`,
  );
  for (let page = tasks.all(runId, -1); page.length > 0; page = tasks.all(runId, page.at(-1)?.position ?? 0)) {
    yield* page;
  }
}

/**
 * Copies a run of the other database with all its rows. The run is hidden until it is complete.
 * @throws UsageError when another process is copying it, or the other database cannot be read
 */
export function copyRun(store: Store, other: OtherDatabase, run: OtherRun, datasetName: string): void {
  const { sqlite } = store;
  const copier = createCopier(store, other);
  const {
    lease: held,
    perspectives,
    plannedAt,
  } = inTransaction(store, () => {
    if (sqlite.prepare("select 1 from runs where public_id = ?").get(run.publicId)) {
      throw new UsageError(`run ${run.publicId} is being merged by another process`, "Merge again once that is done.");
    }
    const { runId, plannedAt: at } = copier.run(run.id, datasetName);
    const lease = acquireLease(store, runId, run.publicId);
    return { lease, perspectives: copier.perspectives(run.id, runId), plannedAt: at };
  });
  const tasks = tasksOf(other, run.id);
  for (let isMore = true; isMore;) {
    isMore = inTransaction(store, () => {
      for (let calls = 0; calls < CHUNK;) {
        const next = tasks.next();
        if (next.done) return false;
        calls += copier.task(next.value, held.runId, perspectives);
      }
      return true;
    });
    renewLease(store, held);
  }
  inTransaction(store, () => {
    sqlite.prepare("update runs set planned_at = ? where id = ?").run(plannedAt, held.runId);
    // A run that was deleted here before is back, with its cost.
    sqlite.prepare("delete from deleted_runs where public_id = ?").run(run.publicId);
    releaseLease(store, held);
  });
}

/** Rows of one table: read there, inserted here. */
interface RowCopier {
  all: (id: number) => Row[];
  /** @throws UsageError when the other database has no such row */
  one: (id: number) => Row;
  insert: (row: Row) => number;
}

/** Reads rows of a table there and inserts them here; every column but the id is given or copied. */
function rowCopier({ sqlite }: Store, other: OtherDatabase, table: string, by: string): RowCopier {
  // Computed columns are not included.
  const columns = sqlite
    .prepare<[string], string>("select name from pragma_table_info(?) where name <> 'id'")
    .pluck()
    .all(table);
  const read = other.query<[number], Row>(`select id, ${columns.join(", ")} from ${table} where ${by} = ? order by id`);
  const insert = sqlite.prepare<[Row]>(
    `insert into ${table} (${columns.join(", ")}) values (${columns.map((name) => `@${name}`).join(", ")})`,
  );
  return {
    all: read.all,
    one(id) {
      const [row] = read.all(id);
      if (!row) throw other.damaged(`${table} has no row ${id}`);
      return row;
    },
    insert: (row) => Number(insert.run(row).lastInsertRowid),
  };
}

/** Copies rows that runs share: settings, texts and answers. Returns the id in this database, also of existing rows. */
function createSharedCopier(store: Store, other: OtherDatabase) {
  const { sqlite } = store;
  sqlite.exec(`create temp table if not exists copied_answers (other_id integer primary key, id integer not null unique);
    delete from temp.copied_answers`);
  const rows = {
    settings: rowCopier(store, other, "settings", "id"),
    texts: rowCopier(store, other, "texts", "id"),
    answers: rowCopier(store, other, "answers", "id"),
  };
  const here = {
    settings: sqlite.prepare<[unknown], number>("select id from settings where hash = ?").pluck(),
    text: sqlite.prepare<[unknown], number>("select id from texts where hash = ?").pluck(),
    copied: sqlite.prepare<[number], number>("select id from temp.copied_answers where other_id = ?").pluck(),
    // The same answer is here already where another run of that database was merged before.
    answer: sqlite
      .prepare<[Row], number>(
        `select a.id from answers a
         where a.key_prefix = substr(@key, 6, 16) and a.key = @key and a.created_at = @created_at and a.text = @text
           and not exists (select 1 from temp.copied_answers c where c.id = a.id) order by a.id limit 1`,
      )
      .pluck(),
    remember: sqlite.prepare("insert into temp.copied_answers (other_id, id) values (?, ?)"),
  };
  const settings = new Map<number, number>();

  function settingsFor(otherId: number): number {
    const known = settings.get(otherId);
    if (known !== undefined) return known;
    const row = rows.settings.one(otherId);
    const id = here.settings.get(row["hash"]) ?? rows.settings.insert(row);
    settings.set(otherId, id);
    return id;
  }

  function textFor(otherId: number): number {
    const row = rows.texts.one(otherId);
    return here.text.get(row["hash"]) ?? rows.texts.insert(row);
  }

  function answerFor(otherId: number): number {
    const known = here.copied.get(otherId);
    if (known !== undefined) return known;
    const row = rows.answers.one(otherId);
    const id =
      here.answer.get(row) ?? rows.answers.insert({ ...row, settings_id: settingsFor(Number(row["settings_id"])) });
    here.remember.run(otherId, id);
    return id;
  }

  return { settingsFor, textFor, answerFor };
}

/**
 * Copies experiments, with what their deleted runs have cost, because that is spent of their caps. Returns the id in this
 * database. An experiment is here already if one with its name was created at the same moment; if another one has its
 * name, that moment is added to the name.
 */
function createExperimentCopier(store: Store, other: OtherDatabase): (otherId: number) => number {
  const there = rowCopier(store, other, "experiments", "id");
  const deleted = rowCopier(store, other, "deleted_runs", "experiment_id");
  const isKnown = store.sqlite.prepare<{ id: unknown }>(
    `select 1 from deleted_runs where public_id = @id
     union all select 1 from runs where public_id = @id
     union all select 1 from runs r, json_each(r.shard, '$.runs') part where part.value = @id`,
  );
  const here = store.sqlite.prepare<[unknown], { id: number; created_at: number }>(
    "select id, created_at from experiments where name = ?",
  );
  function idOf(otherId: number): number {
    const row = there.one(otherId);
    const name = isExperimentName(row["name"]) ? row["name"] : "merged-experiment";
    for (const possible of [name, `${name}-${Number(row["created_at"]).toString(36)}`]) {
      const found = here.get(possible);
      if (!found) return there.insert({ ...row, name: possible });
      if (found.created_at === row["created_at"]) return found.id;
    }
    throw other.damaged(`two experiments have the name ${JSON.stringify(name)}`);
  }

  return (otherId) => {
    const experimentId = idOf(otherId);
    for (const row of deleted.all(otherId)) {
      if (!isKnown.get({ id: row["public_id"] })) deleted.insert({ ...row, experiment_id: experimentId });
    }
    return experimentId;
  };
}

/** Copies the rows that belong to one run. */
function createCopier(store: Store, other: OtherDatabase) {
  const { settingsFor, textFor, answerFor } = createSharedCopier(store, other);
  const rows = {
    runs: rowCopier(store, other, "runs", "id"),
    perspectives: rowCopier(store, other, "perspectives", "run_id"),
    batches: rowCopier(store, other, "batches", "run_id"),
    calls: rowCopier(store, other, "calls", "task_id"),
    attempts: rowCopier(store, other, "attempts", "call_id"),
    scores: rowCopier(store, other, "scores", "call_id"),
  };
  const insertTask = store.sqlite.prepare(
    "insert into tasks (run_id, position, input_id, reference_id, source_id, columns) values (?, ?, ?, ?, ?, ?)",
  );
  const batches = new Map<number, number>();
  const experiments = createExperimentCopier(store, other);
  const mapped = <T>(value: unknown, map: (id: number) => T) => (value === null ? null : map(Number(value)));

  return {
    run(otherId: number, datasetName: string): { runId: number; plannedAt: unknown } {
      const row = rows.runs.one(otherId);
      const settingsId = settingsFor(Number(row["settings_id"]));
      const experimentId = mapped(row["experiment_id"], (experiment) => experiments(experiment));
      const own = { settings_id: settingsId, experiment_id: experimentId, dataset_name: datasetName };
      const copy = { ...row, ...own, planned_at: null };
      return { runId: rows.runs.insert(copy), plannedAt: row["planned_at"] };
    },
    /** @returns the ids here, by those of the other database */
    perspectives(otherRunId: number, runId: number): Map<number, number> {
      // Batches have names of their own in all databases.
      for (const { id: otherId, ...row } of rows.batches.all(otherRunId)) {
        batches.set(Number(otherId), rows.batches.insert({ ...row, run_id: runId }));
      }
      return new Map(
        rows.perspectives
          .all(otherRunId)
          .map(({ id, ...row }) => [Number(id), rows.perspectives.insert({ ...row, run_id: runId })]),
      );
    },
    /** @returns how many calls it has */
    task(task: OtherTask, runId: number, perspectives: ReadonlyMap<number, number>): number {
      const { id, position, inputId, referenceId, sourceId, columns } = task;
      const texts = [textFor(inputId), mapped(referenceId, textFor)];
      const own = [storedScalar(sourceId), columns];
      const taskId = Number(insertTask.run(runId, position, ...texts, ...own).lastInsertRowid);
      const calls = rows.calls.all(id);
      for (const { id: otherId, ...call } of calls) {
        const answerId = mapped(call["answer_id"], answerFor);
        const callId = rows.calls.insert({
          ...call,
          run_id: runId,
          task_id: taskId,
          perspective_id: perspectives.get(Number(call["perspective_id"])),
          answer_id: answerId,
          wanted_settings_id: mapped(call["wanted_settings_id"], settingsFor),
          batch_id: null,
        });
        for (const attempt of rows.attempts.all(Number(otherId))) {
          const batchId = mapped(attempt["batch_id"], (batch) => batches.get(batch));
          rows.attempts.insert({ ...attempt, call_id: callId, batch_id: batchId });
        }
        for (const score of rows.scores.all(Number(otherId))) {
          // A score of an earlier answer of the call no longer counts.
          if (score["answer_id"] !== call["answer_id"]) continue;
          rows.scores.insert({ ...score, run_id: runId, call_id: callId, answer_id: answerId });
        }
      }
      return calls.length;
    },
  };
}

/** A row, as values by column. */
type Row = Record<string, unknown>;
