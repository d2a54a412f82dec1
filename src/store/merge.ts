import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { acquireLease, isLive, type LeaseRow, releaseLease, renewLease } from "./leases.ts";
import { inTransaction, type Store } from "./open.ts";

/** Calls that one transaction copies, so that other processes can write in between. */
const CHUNK = 2_000;

/** A run of the other database. */
export interface OtherRun {
  id: number;
  publicId: string;
  datasetName: string;
  callsTotal: number;
  callsSucceeded: number;
}

/**
 * Gives a store sight of another database while `body` works.
 * @throws UsageError when there is none at that path, it is this one, or it is not of this version
 */
export function withOther<T>(store: Store, path: string, body: () => T): T {
  const absolute = resolve(path);
  if (!existsSync(absolute)) {
    throw new UsageError(`there is no database ${absolute}`, "Name the file that another machine's runs are in.");
  }
  if (realpathSync(absolute) === realpathSync(store.path)) {
    throw new UsageError(`${absolute} is the database that it would be merged into`, "Name another one.");
  }
  attach(store, absolute);
  try {
    checkVersion(store, absolute);
    return body();
  } finally {
    store.sqlite.exec("detach database other");
  }
}

function attach({ sqlite }: Store, path: string): void {
  try {
    sqlite.prepare("attach database ? as other").run(path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read as a database`, "Name a database of datagen.", error);
  }
}

function checkVersion({ sqlite }: Store, path: string): void {
  const read = (schema: string, name: string) => sqlite.pragma(`${schema}.${name}`, { simple: true });
  if (read("other", "application_id") !== read("main", "application_id")) {
    throw new UsageError(`${path} is not a database of datagen`, "Name another one.");
  }
  if (read("other", "user_version") !== read("main", "user_version")) {
    throw new UsageError(
      `${path} was written by another version of datagen`,
      "Bring it up to date with `datagen db check --db` and its path, then merge it.",
    );
  }
}

/** The runs of the other database, the oldest first. @throws UsageError when a living process executes one of them */
export function otherRuns({ sqlite }: Store): OtherRun[] {
  const live = sqlite
    .prepare<[], LeaseRow & { publicId: string }>(
      `select r.public_id publicId, l.host, l.pid, l.heartbeat_at heartbeatAt
       from other.leases l join other.runs r on r.id = l.run_id`,
    )
    .all()
    .find(isLive);
  if (live) {
    throw new UsageError(
      `run ${live.publicId} of the other database is being executed by process ${live.pid} on ${live.host}`,
      "Merge once it is done, or stop it first.",
    );
  }
  const waiting = sqlite.prepare<[], string>("select public_id from other.runs where batches_open > 0").pluck().get();
  if (waiting !== undefined) {
    throw new UsageError(
      `run ${waiting} of the other database waits for batches`,
      "Resume it there until they are in, or cancel them, then merge.",
    );
  }
  return sqlite
    .prepare<[], OtherRun>(
      `select id, public_id publicId, dataset_name datasetName, calls_total callsTotal, calls_succeeded callsSucceeded
       from other.runs where planned_at is not null order by created_at, id`,
    )
    .all();
}

/**
 * The run that has an id, or that a run with it was merged into, and how many answers it has of the tasks that the run
 * of the other database has.
 */
export function findMerged(
  { sqlite }: Store,
  { id, publicId }: OtherRun,
): { publicId: string; callsSucceeded: number } | undefined {
  const found = sqlite
    .prepare<[string, string], { id: number; publicId: string }>(
      `select id, public_id publicId from runs where public_id = ?
       union all select r.id, r.public_id from runs r, json_each(r.shard, '$.runs') part where part.value = ?`,
    )
    .get(publicId, publicId);
  if (!found) return undefined;
  const answered = sqlite
    .prepare<[number, number], number>(
      `select count(*) from other.tasks o
         cross join tasks t on t.run_id = ? and t.position = o.position
         cross join calls c on c.task_id = t.id and c.state = 'succeeded'
       where o.run_id = ?`,
    )
    .pluck()
    .get(found.id, id);
  return { publicId: found.publicId, callsSucceeded: answered ?? 0 };
}

/**
 * Copies a run of the other database with all that it has; until it is whole nothing shows it.
 * @throws UsageError when another process is copying it
 */
export function copyRun(store: Store, run: OtherRun, datasetName: string): void {
  const { sqlite } = store;
  const copier = createCopier(store);
  const { lease, perspectives } = inTransaction(store, () => {
    if (sqlite.prepare("select 1 from runs where public_id = ?").get(run.publicId)) {
      throw new UsageError(`run ${run.publicId} is being merged by another process`, "Merge again once that is done.");
    }
    const runId = copier.run(run.id, datasetName);
    return { lease: acquireLease(store, runId, run.publicId), perspectives: copier.perspectives(run.id, runId) };
  });
  const tasks = sqlite.prepare<[number, number], { id: number; position: number }>(
    "select id, position from other.tasks where run_id = ? and position > ? order by position limit 50",
  );
  let after = -1;
  for (let isMore = true; isMore;) {
    isMore = inTransaction(store, () => {
      for (let calls = 0; calls < CHUNK;) {
        const page = tasks.all(run.id, after);
        for (const { id, position } of page) {
          calls += copier.task(id, lease.runId, perspectives);
          after = position;
        }
        if (page.length === 0) return false;
      }
      return true;
    });
    renewLease(store, lease);
  }
  inTransaction(store, () => {
    sqlite
      .prepare("update runs set planned_at = (select planned_at from other.runs where id = ?) where id = ?")
      .run(run.id, lease.runId);
    releaseLease(store, lease);
  });
}

/** What copies rows from the other database, and finds those again that are here already. */
function createCopier({ sqlite }: Store) {
  sqlite.exec(`create temp table if not exists copied_answers (other_id integer primary key, id integer not null unique);
    delete from temp.copied_answers`);
  const columnsOf = (table: string, ...without: string[]) =>
    sqlite
      .prepare<[], string>(`select name from pragma_table_info('${table}')`)
      .pluck()
      .all()
      .filter((name) => !without.includes(name))
      .join(", ");
  const runColumns = columnsOf("runs", "id", "settings_id", "planned_at", "dataset_name");
  const answerColumns = columnsOf("answers", "id", "settings_id");
  const attemptColumns = columnsOf("attempts", "id", "call_id", "batch_id");
  const batchColumns = columnsOf("batches", "id", "run_id");
  const settings = new Map<number, number>();
  const statements = {
    run: sqlite.prepare(
      `insert into runs (${runColumns}, settings_id, dataset_name) select ${runColumns}, ?, ? from other.runs where id = ?`,
    ),
    settingsOfRun: sqlite.prepare<[number], number>("select settings_id from other.runs where id = ?").pluck(),
    keepSettings: sqlite.prepare(
      "insert or ignore into settings (hash, value) select hash, value from other.settings where id = ?",
    ),
    settings: sqlite
      .prepare<[number], number>("select s.id from settings s join other.settings o on o.hash = s.hash where o.id = ?")
      .pluck(),
    perspectives: sqlite.prepare<[number], { id: number; position: number }>(
      "select id, position from other.perspectives where run_id = ? order by position",
    ),
    perspective: sqlite.prepare(
      `insert into perspectives (run_id, position, condition, reading, strategy)
       select ?, position, condition, reading, strategy from other.perspectives where id = ?`,
    ),
    task: sqlite.prepare<[number], { position: number; inputId: number; referenceId: number | null }>(
      "select position, input_id inputId, reference_id referenceId from other.tasks where id = ?",
    ),
    keepText: sqlite.prepare(
      "insert or ignore into texts (hash, text) select hash, text from other.texts where id = ?",
    ),
    text: sqlite
      .prepare<[number], number>("select t.id from texts t join other.texts o on o.hash = t.hash where o.id = ?")
      .pluck(),
    insertTask: sqlite.prepare("insert into tasks (run_id, position, input_id, reference_id) values (?, ?, ?, ?)"),
    calls: sqlite.prepare<[number], OtherCall>(
      `select id, perspective_id perspectiveId, step, replicate, state, answer_id answerId, failure,
         wanted_settings_id wantedSettingsId
       from other.calls where task_id = ? order by id`,
    ),
    call: sqlite.prepare(
      `insert into calls (run_id, task_id, perspective_id, step, replicate, state, answer_id, failure, wanted_settings_id)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    // Batches have names of their own in all databases.
    attempts: sqlite.prepare(
      `insert into attempts (call_id, batch_id, ${attemptColumns}) select ?,
         (select b.id from batches b join other.batches o on o.name = b.name where o.id = a.batch_id), ${attemptColumns}
       from other.attempts a where a.call_id = ? order by a.id`,
    ),
    batches: sqlite.prepare(
      `insert into batches (run_id, ${batchColumns}) select ?, ${batchColumns} from other.batches where run_id = ?`,
    ),
    copied: sqlite.prepare<[number], number>("select id from temp.copied_answers where other_id = ?").pluck(),
    // The same answer is here already where another run of that database was merged before.
    known: sqlite
      .prepare<[number], number>(
        `select a.id from other.answers o join answers a
           on a.key_prefix = substr(o.key, 6, 16) and a.key = o.key and a.created_at = o.created_at and a.text = o.text
         where o.id = ? and not exists (select 1 from temp.copied_answers c where c.id = a.id) order by a.id limit 1`,
      )
      .pluck(),
    answerSettings: sqlite.prepare<[number], number>("select settings_id from other.answers where id = ?").pluck(),
    answer: sqlite.prepare(
      `insert into answers (${answerColumns}, settings_id) select ${answerColumns}, ? from other.answers where id = ?`,
    ),
    remember: sqlite.prepare("insert into temp.copied_answers (other_id, id) values (?, ?)"),
  };

  function settingsFor(otherId: number): number {
    const known = settings.get(otherId);
    if (known !== undefined) return known;
    statements.keepSettings.run(otherId);
    const id = statements.settings.get(otherId);
    if (id === undefined) throw new Error(`the other database has no settings ${otherId}`);
    settings.set(otherId, id);
    return id;
  }

  function textFor(otherId: number): number {
    statements.keepText.run(otherId);
    const id = statements.text.get(otherId);
    if (id === undefined) throw new Error(`the other database has no text ${otherId}`);
    return id;
  }

  function answerFor(otherId: number): number {
    const known = statements.copied.get(otherId);
    if (known !== undefined) return known;
    const settingsId = settingsFor(statements.answerSettings.get(otherId) ?? 0);
    const id = statements.known.get(otherId) ?? Number(statements.answer.run(settingsId, otherId).lastInsertRowid);
    statements.remember.run(otherId, id);
    return id;
  }

  return {
    run(otherId: number, datasetName: string): number {
      const settingsId = settingsFor(statements.settingsOfRun.get(otherId) ?? 0);
      return Number(statements.run.run(settingsId, datasetName, otherId).lastInsertRowid);
    },
    /** @returns the ids here, by those of the other database */
    perspectives(otherRunId: number, runId: number): Map<number, number> {
      statements.batches.run(runId, otherRunId);
      const rows = statements.perspectives.all(otherRunId);
      return new Map(rows.map(({ id }) => [id, Number(statements.perspective.run(runId, id).lastInsertRowid)]));
    },
    /** @returns how many calls it has */
    task(otherId: number, runId: number, perspectives: ReadonlyMap<number, number>): number {
      const task = statements.task.get(otherId);
      if (!task) throw new Error(`the other database has no task ${otherId}`);
      const { position, inputId, referenceId } = task;
      const reference = referenceId === null ? null : textFor(referenceId);
      const taskId = statements.insertTask.run(runId, position, textFor(inputId), reference).lastInsertRowid;
      const calls = statements.calls.all(otherId);
      for (const { id, perspectiveId, step, replicate, state, answerId, failure, wantedSettingsId } of calls) {
        const answer = answerId === null ? null : answerFor(answerId);
        const wanted = wantedSettingsId === null ? null : settingsFor(wantedSettingsId);
        const cell = [runId, taskId, perspectives.get(perspectiveId), step, replicate];
        const callId = statements.call.run(...cell, state, answer, failure, wanted).lastInsertRowid;
        statements.attempts.run(callId, id);
      }
      return calls.length;
    },
  };
}

interface OtherCall {
  id: number;
  perspectiveId: number;
  step: string;
  replicate: number;
  state: string;
  answerId: number | null;
  failure: string | null;
  wantedSettingsId: number | null;
}
