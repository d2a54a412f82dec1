import { integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { Prices } from "../models/cost.ts";
import { storedJson } from "./columns.ts";

/** Runs that one command planned, each for another model. A row stays as long as any of its runs. */
export const experiments = sqliteTable("experiments", {
  id: integer().primaryKey(),
  /** For users to type: unique, and never the beginning of a run's id. */
  name: text().notNull().unique(),
  createdAt: integer("created_at").notNull(),
  /** The cap of all its runs together; null if it has none. */
  maxCostNanoUsd: integer("max_cost_nano_usd"),
});

/** What deleted runs have cost, for totals. */
export const deletedRuns = sqliteTable("deleted_runs", {
  id: integer().primaryKey(),
  publicId: text("public_id").notNull().unique(),
  deletedAt: integer("deleted_at").notNull(),
  /** As in `runs`. */
  costNanoUsd: integer("cost_nano_usd").notNull(),
  attemptsUnpriced: integer("attempts_unpriced").notNull(),
  /** The experiment that it was part of, while that has other runs. It counts for the cap. */
  experimentId: integer("experiment_id"),
  /** The most that its attempts without a known charge may have cost; null if unknown. */
  possiblyNanoUsd: integer("possibly_nano_usd"),
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
