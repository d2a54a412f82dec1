import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Settings } from "../plan/settings.ts";
import { exactText, storedJson } from "./columns.ts";

/* Rows that runs share. */

/** The texts of inputs and references. Each is stored once, by its hash, and shared by runs. */
export const texts = sqliteTable("texts", {
  id: integer().primaryKey(),
  /** `s256:` and the SHA-256 of the text. */
  hash: text().notNull().unique(),
  text: exactText().notNull(),
});

/** Everything in requests but their messages. Each combination is stored once. */
export const settings = sqliteTable("settings", {
  id: integer().primaryKey(),
  /** `s256:` and the SHA-256 of the canonical JSON in `value`. */
  hash: text().notNull().unique(),
  value: storedJson<Settings>("value").notNull(),
});
