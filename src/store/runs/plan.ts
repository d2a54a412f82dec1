import { eq } from "drizzle-orm";
import type { Perspective } from "../../config/schema.ts";
import type { PlannedCall } from "../../plan/calls.ts";
import { canonicalJson, type Settings, sha256 } from "../../plan/settings.ts";
import { oncePerStore, placeholders, type Store } from "../file/store.ts";
import { calls, perspectives, settings, tasks } from "../schema.ts";
import { keepText } from "../texts.ts";

const statements = oncePerStore(({ db }) => ({
  task: db
    .insert(tasks)
    .values(placeholders("runId", "position", "inputId", "referenceId"))
    .prepare(),
  call: db
    .insert(calls)
    .values(placeholders("runId", "taskId", "perspectiveId", "step", "replicate", "state", "answerId"))
    .prepare(),
}));

export function keepSettings(store: Store, value: Settings): number {
  const hash = sha256(canonicalJson(value));
  store.db.insert(settings).values({ hash, value }).onConflictDoNothing().run();
  const row = store.db.select({ id: settings.id }).from(settings).where(eq(settings.hash, hash)).get();
  if (!row) throw new Error("the settings were not stored");
  return row.id;
}

/** @returns the perspectives' ids, in their order */
export function insertPerspectives(store: Store, runId: number, list: readonly Perspective[]): number[] {
  return list.map(
    ({ condition, reading, strategy }, position) =>
      store.db
        .insert(perspectives)
        .values({ runId, position, condition, reading, strategy })
        .returning({ id: perspectives.id })
        .get().id,
  );
}

export interface NewTask {
  /** The row of the input file, from 0. */
  position: number;
  input: string;
  reference: string | null;
  /** What its calls have already, in the order of the plan; null for those that are pending. */
  answers: readonly ({ id: number } | null)[];
}

/** Rows that one statement inserts. */
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
  const columns = "run_id, task_id, perspective_id, step, replicate, state";
  // Nearly all calls are pending: those of an input are inserted by one statement, which says what they are.
  const insertPending = chunks(rows, MOST_ROWS).map((chunk) =>
    store.sqlite.prepare<[{ taskId: number }]>(
      `insert into calls (${columns}) values ${chunk.map((row) => `(${runId}, @taskId, ${row}, 'pending')`).join()}`,
    ),
  );
  return ({ position, input, reference, answers }) => {
    const { task, call } = statements(store);
    const inputId = keepText(store, sha256(input), input);
    const referenceId = reference === null ? null : keepText(store, sha256(reference), reference);
    const taskId = Number(task.run({ runId, position, inputId, referenceId }).lastInsertRowid);
    if (answers.every((answer) => answer === null)) {
      for (const insert of insertPending) insert.run({ taskId });
      return;
    }
    for (const [at, { perspective, step, replicate }] of planned.entries()) {
      const answerId = answers[at]?.id ?? null;
      const state = answerId === null ? "pending" : "succeeded";
      call.run({ runId, taskId, perspectiveId: perspectiveIds[perspective], step, replicate, state, answerId });
    }
  };
}

function chunks<T>(list: readonly T[], most: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / most) }, (_, at) => list.slice(at * most, (at + 1) * most));
}

export function getSettings(store: Store, id: number): Settings {
  const row = store.db.select().from(settings).where(eq(settings.id, id)).get();
  if (!row) throw new Error(`the settings ${id} are not in ${store.path}`);
  return row.value;
}
