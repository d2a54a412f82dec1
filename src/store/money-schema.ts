import { integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { Prices } from "../models/cost.ts";
import { storedJson } from "./columns.ts";

/** What deleted runs have cost, for totals. */
export const deletedRuns = sqliteTable("deleted_runs", {
  id: integer().primaryKey(),
  publicId: text("public_id").notNull().unique(),
  deletedAt: integer("deleted_at").notNull(),
  /** As in `runs`. */
  costNanoUsd: integer("cost_nano_usd").notNull(),
  attemptsUnpriced: integer("attempts_unpriced").notNull(),
});

/** Prices that the user has set. */
export const userPrices = sqliteTable(
  "user_prices",
  {
    id: integer().primaryKey(),
    model: text().notNull(),
    /** The server of the prices; empty for every server without its own prices. */
    baseUrl: text("base_url").notNull(),
    value: storedJson<Prices>("value").notNull(),
  },
  (table) => [uniqueIndex("user_prices_model").on(table.model, table.baseUrl)],
);
