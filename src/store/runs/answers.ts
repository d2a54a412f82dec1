import { and, asc, count, eq, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/sqlite-core";
import type { Store } from "../file/store.ts";
import { canonicalJson, type Settings, settingsByPerspective } from "../../plan/settings.ts";
import { getSettings, perspectiveIds } from "./plan.ts";
import type { RunRow } from "./runs.ts";
import { answers, calls, settings, tasks } from "../schema.ts";

/** Answers of a run that had other settings than those of their perspectives. */
export interface OtherSettings {
  parameters: Settings["parameters"];
  answers: number;
}

/** @internal */
export function otherSettings(
  store: Store,
  run: Pick<RunRow, "id" | "settingsId" | "hasMixedSettings" | "config">,
): OtherSettings[] {
  if (!run.hasMixedSettings) return [];
  const asked = settingsByPerspective(getSettings(store, run.settingsId), run.config.agent_perspectives);
  const own = new Map(
    perspectiveIds(store, run.id).map(({ id, position }) => [id, canonicalJson(asked[position] ?? null)]),
  );
  const found = store.db
    .select({ id: settings.id, perspectiveId: calls.perspectiveId, value: settings.value, answers: count() })
    .from(tasks)
    .innerJoin(calls, eq(calls.taskId, tasks.id))
    .innerJoin(answers, eq(answers.id, calls.answerId))
    .innerJoin(settings, eq(settings.id, answers.settingsId))
    .where(eq(tasks.runId, run.id))
    .groupBy(settings.id, calls.perspectiveId)
    .orderBy(asc(settings.id))
    .all()
    .filter(({ perspectiveId, value }) => canonicalJson(value) !== own.get(perspectiveId));
  return [...Map.groupBy(found, ({ id }) => id).values()].map((rows) => ({
    parameters: rows[0]!.value.parameters,
    answers: rows.reduce((sum, row) => sum + row.answers, 0),
  }));
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
