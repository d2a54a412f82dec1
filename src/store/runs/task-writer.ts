import type { PlannedCall } from "../../plan/calls.ts";
import { sha256 } from "../../plan/settings.ts";
import type { PromptRow } from "../../plan/prompt.ts";
import { storedColumns, storedScalar } from "../columns.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { keepText } from "../texts.ts";

/* Prepared SQL, because these inserts take nearly all the time of planning: one statement inserts all calls of an input. */

const COLUMNS = "run_id, task_id, perspective_id, step, replicate, state";

const statements = oncePerStore(({ sqlite }) => ({
  task: sqlite.prepare(
    "insert into tasks (run_id, position, input_id, reference_id, source_id, columns) values (?, ?, ?, ?, ?, ?)",
  ),
  call: sqlite.prepare(`insert into calls (${COLUMNS}, answer_id) values (?, ?, ?, ?, ?, ?, ?)`),
}));

export interface NewTask extends PromptRow {
  /** From 0, in the order of the sample. */
  position: number;
  /** Its own id in its file; null if it has none. */
  id: string | number | null;
  /** The earlier answers that its calls reuse, in the order of the plan; null for a pending call. */
  answers: readonly ({ id: number } | null)[];
}

/** How many rows one statement inserts. */
const MOST_ROWS = 500;

/**
 * Writes tasks of a run with their calls; ids grow in the order in which the calls are planned.
 * @param planned the calls of every input
 */
export function createTaskWriter(
  store: Store,
  runId: number,
  perspectiveIds: readonly number[],
  planned: readonly PlannedCall[],
): (task: NewTask) => void {
  const rows = planned.map(
    ({ perspective, step, replicate }) => `${perspectiveIds[perspective]}, '${step}', ${replicate}`,
  );
  // Nearly all calls are pending. One statement, with the calls written into it, inserts all calls of an input.
  const insertPending = chunks(rows, MOST_ROWS).map((chunk) =>
    store.sqlite.prepare<[{ taskId: number }]>(
      `insert into calls (${COLUMNS}) values ${chunk.map((row) => `(${runId}, @taskId, ${row}, 'pending')`).join()}`,
    ),
  );
  return ({ position, id, input, reference, columns, answers }) => {
    const { task, call } = statements(store);
    const inputId = keepText(store, sha256(input), input);
    const referenceId = reference === null ? null : keepText(store, sha256(reference), reference);
    const own = [storedScalar(id), storedColumns(columns)];
    const taskId = Number(task.run(runId, position, inputId, referenceId, ...own).lastInsertRowid);
    if (answers.every((answer) => answer === null)) {
      for (const insert of insertPending) insert.run({ taskId });
      return;
    }
    for (const [at, { perspective, step, replicate }] of planned.entries()) {
      const answerId = answers[at]?.id ?? null;
      const state = answerId === null ? "pending" : "succeeded";
      call.run(runId, taskId, perspectiveIds[perspective], step, replicate, state, answerId);
    }
  };
}

function chunks<T>(list: readonly T[], most: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / most) }, (_, at) => list.slice(at * most, (at + 1) * most));
}
