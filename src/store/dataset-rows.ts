import { oncePerStore, type Store } from "./open.ts";
import { answers, calls, perspectives, tasks } from "./schema.ts";
import { getText } from "./texts.ts";
import { asc, eq, sql } from "drizzle-orm";

/** One call of a task, in the order of the dataset. */
export interface CellRow {
  /** The position of its perspective in the config. */
  perspective: number;
  step: "reading" | "strategy";
  replicate: number;
  state: "pending" | "succeeded" | "failed";
  failure: string | null;
  text: string | null;
  finishReason: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
}

/** A task with all of its calls: perspective by perspective, a reading before its strategy. */
export interface TaskRow {
  /** The row of the input file, from 0. */
  position: number;
  input: string;
  reference: string | null;
  cells: CellRow[];
}

const statements = oncePerStore(({ db }) => ({
  cells: db
    .select({
      perspective: perspectives.position,
      step: calls.step,
      replicate: calls.replicate,
      state: calls.state,
      failure: calls.failure,
      text: answers.text,
      finishReason: answers.finishReason,
      promptTokens: answers.promptTokens,
      completionTokens: answers.completionTokens,
      cachedTokens: answers.cachedTokens,
      reasoningTokens: answers.reasoningTokens,
    })
    .from(calls)
    .innerJoin(perspectives, eq(perspectives.id, calls.perspectiveId))
    .leftJoin(answers, eq(answers.id, calls.answerId))
    .where(eq(calls.taskId, sql.placeholder("taskId")))
    .orderBy(asc(perspectives.position), asc(calls.replicate), asc(calls.step))
    .prepare(),
}));

/**
 * The rows of a run's dataset, one task at a time. The store must not be written to until the iteration ends.
 */
export function* datasetRows(store: Store, runId: number): Generator<TaskRow> {
  const { cells } = statements(store);
  const query = store.db
    .select({ id: tasks.id, position: tasks.position, inputId: tasks.inputId, referenceId: tasks.referenceId })
    .from(tasks)
    .where(eq(tasks.runId, runId))
    .orderBy(asc(tasks.position))
    .toSQL();
  const rows = store.sqlite
    .prepare(query.sql)
    .raw()
    .iterate(...query.params);
  for (const row of rows as IterableIterator<[number, number, number, number | null]>) {
    const [taskId, position, inputId, referenceId] = row;
    yield {
      position,
      input: getText(store, inputId),
      reference: referenceId === null ? null : getText(store, referenceId),
      cells: cells.all({ taskId }),
    };
  }
}
