import { and, eq, notExists, sql } from "drizzle-orm";
import type { ReasoningTags } from "../../config/schema.ts";
import type { PlannedCall } from "../../plan/calls.ts";
import type { PromptRow } from "../../plan/prompt.ts";
import { usedText } from "../../plan/reasoning.ts";
import { sha256 } from "../../plan/settings.ts";
import { hasKey } from "../runs/calls.ts";
import { checksumOf } from "../check/checksum.ts";
import { storedColumns } from "../columns.ts";
import { oncePerStore, placeholders, type Store } from "../file/store.ts";
import { answers, calls, tasks } from "../schema.ts";
import { keepText } from "../texts.ts";

/** A call of a dataset, which is done: answered, with its key, or failed. */
export interface ImportedCall extends PlannedCall {
  outcome: { text: string; key: string } | { failure: string };
}

export interface ImportedTask extends PromptRow {
  /** Its position in the dataset, from 0. */
  position: number;
  /** Its own id; null if the dataset has none. */
  id: string | number | null;
  /** In the order of the plan. */
  calls: readonly ImportedCall[];
}

const statements = oncePerStore(({ db }) => ({
  task: db
    .insert(tasks)
    .values({
      ...placeholders("runId", "position", "inputId", "referenceId", "sourceId"),
      columns: sql`${sql.placeholder("columns")}`,
    })
    .prepare(),
  answer: db
    .insert(answers)
    .values({ ...placeholders("key", "settingsId", "text", "checksum", "createdAt"), origin: "imported" })
    .prepare(),
  call: db
    .insert(calls)
    .values(placeholders("runId", "taskId", "perspectiveId", "step", "replicate", "state", "answerId", "failure"))
    .prepare(),
  others: db
    .select({ id: answers.id, text: answers.text })
    .from(answers)
    .where(
      and(
        hasKey(sql.placeholder("key")),
        notExists(
          db
            .select({ one: sql`1` })
            .from(calls)
            .where(and(eq(calls.answerId, answers.id), eq(calls.runId, sql.placeholder("runId")))),
        ),
      ),
    )
    .prepare(),
}));

/** Writes a task with its calls and their answers. Ids grow in the order of the calls. */
export function insertImportedTask(
  store: Store,
  run: {
    id: number;
    perspectiveIds: readonly number[];
    /** Those of each perspective. */
    settingsIds: readonly number[];
    createdAt: number;
    /** What the dataset's run did with the reasoning at the start of an answer. */
    tags: ReasoningTags | undefined;
  },
  { position, id, input, reference, columns, calls: list }: ImportedTask,
): void {
  const { task, answer, call, others } = statements(store);
  const inputId = keepText(store, sha256(input), input);
  const referenceId = reference === null ? null : keepText(store, sha256(reference), reference);
  const own = { sourceId: id, columns: storedColumns(columns) };
  const taskId = Number(task.run({ runId: run.id, position, inputId, referenceId, ...own }).lastInsertRowid);
  for (const { perspective, step, replicate, outcome } of list) {
    const cell = { runId: run.id, taskId, perspectiveId: run.perspectiveIds[perspective], step, replicate };
    if ("failure" in outcome) {
      call.run({ ...cell, state: "failed", answerId: null, failure: outcome.failure });
    } else {
      const { key, text } = outcome;
      // If the database has the same text for the same prompt, from the dataset's own run or from an earlier import, it
      // is the same answer. A copy would count as a second sample.
      const known = others.all({ key, runId: run.id }).find((other) => usedText(other.text, run.tags) === text);
      const { createdAt } = run;
      const settingsId = run.settingsIds[perspective];
      const answerId =
        known?.id ?? answer.run({ key, settingsId, text, checksum: checksumOf(text), createdAt }).lastInsertRowid;
      call.run({ ...cell, state: "succeeded", answerId, failure: null });
    }
  }
}
