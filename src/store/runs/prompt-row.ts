import { eq, sql } from "drizzle-orm";
import type { PromptRow } from "../../plan/prompt.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { tasks } from "../schema.ts";
import { getText } from "../texts.ts";

const statements = oncePerStore(({ db }) => ({
  task: db
    .select({ inputId: tasks.inputId, referenceId: tasks.referenceId, columns: tasks.columns })
    .from(tasks)
    .where(eq(tasks.id, sql.placeholder("taskId")))
    .prepare(),
}));

/** What prompts use of a task. */
export function promptRow(store: Store, taskId: number): PromptRow {
  const task = statements(store).task.get({ taskId });
  if (!task) throw new Error(`the task ${taskId} is not in ${store.path}`);
  const { inputId, referenceId, columns } = task;
  return {
    input: getText(store, inputId),
    reference: referenceId === null ? null : getText(store, referenceId),
    columns: columns ?? {},
  };
}
