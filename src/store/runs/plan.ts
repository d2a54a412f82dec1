import { eq, sql } from "drizzle-orm";
import type { Perspective } from "../../config/schema.ts";
import { canonicalJson, type Settings, settingsByPerspective, sha256 } from "../../plan/settings.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { perspectives, settings } from "../schema.ts";
import type { RunRow } from "./runs.ts";

/** Settings with their id. */
export interface StoredSettings {
  id: number;
  settings: Settings;
}

/** The settings of a run's perspectives, by the perspectives' ids. */
export type SettingsByPerspective = ReadonlyMap<number, StoredSettings>;

export function keepSettings(store: Store, value: Settings): number {
  const hash = sha256(canonicalJson(value));
  store.db.insert(settings).values({ hash, value }).onConflictDoNothing().run();
  const row = store.db.select({ id: settings.id }).from(settings).where(eq(settings.hash, hash)).get();
  if (!row) throw new Error("the settings were not stored");
  return row.id;
}

/** @returns the ids of the perspectives, in their order */
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

/** @returns the ids of some settings, in their order. Equal settings must be the same object */
export function keepEachSettings(store: Store, values: readonly Settings[]): number[] {
  const ids = new Map<Settings, number>();
  return values.map((value) => {
    const id = ids.get(value) ?? keepSettings(store, value);
    ids.set(value, id);
    return id;
  });
}

/**
 * The settings of a run's perspectives.
 * @internal
 */
export function settingsOfRun(
  store: Store,
  { id: runId, settingsId, config }: Pick<RunRow, "id" | "settingsId" | "config">,
): SettingsByPerspective {
  const values = settingsByPerspective(getSettings(store, settingsId), config.agent_perspectives);
  // Those of a run that was merged may be missing, if none of its answers has them.
  const ids = keepEachSettings(store, values);
  return new Map(
    perspectiveIds(store, runId).flatMap(({ id, position }) => {
      const [settingsOfIt, storedAs] = [values[position], ids[position]];
      return settingsOfIt && storedAs !== undefined ? [[id, { id: storedAs, settings: settingsOfIt }]] : [];
    }),
  );
}

/** The perspectives of a run and their positions in its config. */
export function perspectiveIds(store: Store, runId: number): { id: number; position: number }[] {
  const { id, position } = perspectives;
  return store.db.select({ id, position }).from(perspectives).where(eq(perspectives.runId, runId)).all();
}

const statements = oncePerStore(({ db }) => ({
  settings: db
    .select({ value: settings.value })
    .from(settings)
    .where(eq(settings.id, sql.placeholder("id")))
    .prepare(),
}));

export function getSettings(store: Store, id: number): Settings {
  const row = statements(store).settings.get({ id });
  if (!row) throw new Error(`the settings ${id} are not in ${store.path}`);
  return row.value;
}
