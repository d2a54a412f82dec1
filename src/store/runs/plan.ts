import { eq } from "drizzle-orm";
import type { Perspective } from "../../config/schema.ts";
import { canonicalJson, type Settings, sha256 } from "../../plan/settings.ts";
import type { Store } from "../file/store.ts";
import { perspectives, settings } from "../schema.ts";

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

export function getSettings(store: Store, id: number): Settings {
  const row = store.db.select().from(settings).where(eq(settings.id, id)).get();
  if (!row) throw new Error(`the settings ${id} are not in ${store.path}`);
  return row.value;
}
