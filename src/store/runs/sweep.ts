import { inTransaction, withoutReferenceChecks } from "../file/transaction.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { removeEmptyExperiments } from "./experiments.ts";
import { abandonedRuns } from "./runs.ts";

/* Prepared SQL, because most of it runs once for each task, answer and text of a run, where Drizzle would be slow. */

/** How many rows one transaction of a deletion removes. */
const DELETE_CHUNK = 2_000;

/** Removes deleted runs and interrupted plans. Texts and answers are removed with the last run that uses them. */
export function sweep(store: Store): void {
  const abandoned = abandonedRuns(store);
  if (abandoned.length === 0) return;
  withoutReferenceChecks(store, () => {
    for (const id of abandoned) removeRun(store, id);
  });
}

const removals = oncePerStore(({ sqlite }) => ({
  tasks: sqlite.prepare<[number, number], { id: number; input_id: number; reference_id: number | null }>(
    "select id, input_id, reference_id from tasks where run_id = ? limit ?",
  ),
  answers: sqlite
    .prepare<[number], number>("select answer_id from calls where task_id = ? and answer_id is not null")
    .pluck(),
  scores: sqlite.prepare("delete from scores where call_id in (select id from calls where task_id = ?)"),
  attempts: sqlite.prepare("delete from attempts where call_id in (select id from calls where task_id = ?)"),
  calls: sqlite.prepare("delete from calls where task_id = ?"),
  task: sqlite.prepare("delete from tasks where id = ?"),
  answer: sqlite.prepare(
    "delete from answers where id = ? and not exists (select 1 from calls where answer_id = answers.id)",
  ),
  text: sqlite.prepare(
    `delete from texts where id = ?
       and not exists (select 1 from tasks where input_id = texts.id)
       and not exists (select 1 from tasks where reference_id = texts.id)`,
  ),
  batches: sqlite.prepare("delete from batches where run_id = ?"),
  perspectives: sqlite.prepare("delete from perspectives where run_id = ?"),
  lease: sqlite.prepare("delete from leases where run_id = ?"),
  run: sqlite.prepare("delete from runs where id = ?"),
}));

function removeRun(store: Store, runId: number): void {
  const remove = removals(store);
  for (let more = true; more;) {
    more = inTransaction(store, () => {
      let rows = 0;
      for (const task of remove.tasks.all(runId, DELETE_CHUNK)) {
        const answerIds = remove.answers.all(task.id);
        remove.scores.run(task.id);
        remove.attempts.run(task.id);
        rows += 1 + remove.calls.run(task.id).changes;
        remove.task.run(task.id);
        for (const id of answerIds) remove.answer.run(id);
        for (const id of [task.input_id, task.reference_id]) if (id !== null) remove.text.run(id);
        if (rows >= DELETE_CHUNK) return true;
      }
      return rows > 0;
    });
  }
  inTransaction(store, () => {
    remove.batches.run(runId);
    remove.perspectives.run(runId);
    remove.lease.run(runId);
    remove.run.run(runId);
    removeEmptyExperiments(store);
  });
}
