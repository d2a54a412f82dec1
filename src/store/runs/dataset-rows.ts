import { asc, eq, sql } from "drizzle-orm";
import type { ReasoningTags } from "../../config/schema.ts";
import { usedText } from "../../plan/reasoning.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { answers, calls, perspectives, tasks } from "../schema.ts";
import { getText } from "../texts.ts";

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
  /** The provider's own word for it; null where that is the same. */
  finishReasonRaw: string | null;
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

/** The columns of {@link statements.cells}, in their order. */
type CellColumns = [
  perspectiveId: number,
  step: CellRow["step"],
  replicate: number,
  state: CellRow["state"],
  failure: string | null,
  text: string | Buffer | null,
  finishReason: string | null,
  finishReasonRaw: string | null,
  promptTokens: number | null,
  completionTokens: number | null,
  cachedTokens: number | null,
  reasoningTokens: number | null,
];

const statements = oncePerStore(({ db, sqlite }) => ({
  // Not ordered: by the index they come as they are wanted, or nearly so, and SQLite would sort them once more.
  cells: sqlite
    .prepare<[number], CellColumns>(
      db
        .select({
          perspectiveId: calls.perspectiveId,
          step: calls.step,
          replicate: calls.replicate,
          state: calls.state,
          failure: calls.failure,
          text: answers.text,
          finishReason: answers.finishReason,
          finishReasonRaw: answers.finishReasonRaw,
          promptTokens: answers.promptTokens,
          completionTokens: answers.completionTokens,
          cachedTokens: answers.cachedTokens,
          reasoningTokens: answers.reasoningTokens,
        })
        .from(calls)
        .leftJoin(answers, eq(answers.id, calls.answerId))
        .where(eq(calls.taskId, sql.placeholder("taskId")))
        .toSQL().sql,
    )
    .raw(),
}));

/**
 * The rows of a run's dataset, one task at a time. The store must not be written to until the iteration ends.
 * @param tags what is done with the reasoning at the start of an answer
 */
export function* datasetRows(store: Store, runId: number, tags?: ReasoningTags): Generator<TaskRow> {
  const { cells } = statements(store);
  const positions = new Map(
    store.db
      .select({ id: perspectives.id, position: perspectives.position })
      .from(perspectives)
      .where(eq(perspectives.runId, runId))
      .all()
      .map(({ id, position }) => [id, position]),
  );
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
      cells: cells
        .all(taskId)
        .map((columns) => toCell(columns, positions, tags))
        .toSorted(inOrder),
    };
  }
}

function toCell(
  columns: CellColumns,
  positions: ReadonlyMap<number, number>,
  tags: ReasoningTags | undefined,
): CellRow {
  const [perspectiveId, step, replicate, state, failure, text, finishReason, finishReasonRaw, ...tokens] = columns;
  const [promptTokens, completionTokens, cachedTokens, reasoningTokens] = tokens;
  return {
    perspective: positions.get(perspectiveId) ?? -1,
    step,
    replicate,
    state,
    failure,
    text: text === null ? null : usedText(answers.text.mapFromDriverValue(text) as string, tags),
    finishReason,
    finishReasonRaw,
    promptTokens,
    completionTokens,
    cachedTokens,
    reasoningTokens,
  };
}

function inOrder(one: CellRow, other: CellRow): number {
  const step = one.step === other.step ? 0 : one.step === "reading" ? -1 : 1;
  return one.perspective - other.perspective || one.replicate - other.replicate || step;
}
