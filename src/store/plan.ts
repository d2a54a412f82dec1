import { eq } from "drizzle-orm";
import type { Perspective } from "../config/schema.ts";
import type { PlannedCall } from "../plan/calls.ts";
import { canonicalJson, type Settings, sha256 } from "../plan/settings.ts";
import { oncePerStore, placeholders, type Store } from "./open.ts";
import { calls, perspectives, settings, tasks } from "./schema.ts";
import { keepText } from "./texts.ts";

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
  /** Its calls in the order of the plan, each with the answer that it has already. */
  calls: readonly (PlannedCall & { answer: { id: number } | null })[];
}

/** Writes a task and its calls; ids grow in the order in which the calls are planned. */
export function insertTask(
  store: Store,
  run: { id: number; perspectiveIds: readonly number[] },
  { position, input, reference, calls: planned }: NewTask,
): void {
  const { task, call } = statements(store);
  const inputId = keepText(store, sha256(input), input);
  const referenceId = reference === null ? null : keepText(store, sha256(reference), reference);
  const taskId = Number(task.run({ runId: run.id, position, inputId, referenceId }).lastInsertRowid);
  for (const { perspective, step, replicate, answer } of planned) {
    const state = answer === null ? "pending" : "succeeded";
    const perspectiveId = run.perspectiveIds[perspective];
    call.run({ runId: run.id, taskId, perspectiveId, step, replicate, state, answerId: answer?.id ?? null });
  }
}

export function getSettings(store: Store, id: number): Settings {
  const row = store.db.select().from(settings).where(eq(settings.id, id)).get();
  if (!row) throw new Error(`the settings ${id} are not in ${store.path}`);
  return row.value;
}
