import { and, asc, count, eq, ne, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/sqlite-core";
import type { Store } from "../file/store.ts";
import type { Settings } from "../../plan/settings.ts";
import type { RunRow } from "./runs.ts";
import { answers, calls, settings, tasks } from "../schema.ts";

/** Answers of a run that had other settings than the run's. */
export interface OtherSettings {
  parameters: Settings["parameters"];
  answers: number;
}

/** @internal */
export function otherSettings(
  store: Store,
  run: Pick<RunRow, "id" | "settingsId" | "hasMixedSettings">,
): OtherSettings[] {
  if (!run.hasMixedSettings) return [];
  return store.db
    .select({ settings: settings.value, answers: count() })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(answers, eq(answers.id, calls.answerId))
    .innerJoin(settings, eq(settings.id, answers.settingsId))
    .where(and(eq(tasks.runId, run.id), ne(answers.settingsId, run.settingsId)))
    .groupBy(settings.id)
    .orderBy(asc(settings.id))
    .all()
    .map((row) => ({ parameters: row.settings.parameters, answers: row.answers }));
}

/** How many answers of a run other runs have, too. */
export function sharedAnswers(store: Store, runId: number): number {
  const others = alias(calls, "others");
  const isShared = sql`exists (select 1 from calls others
    where ${others.answerId} = ${calls.answerId} and ${others.runId} <> ${runId})`;
  const row = store.db
    .select({ answers: count() })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .where(and(eq(tasks.runId, runId), isShared))
    .get();
  return row?.answers ?? 0;
}
