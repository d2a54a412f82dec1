import { checkStore, RULE_COUNT, type Violation } from "../../store/check/check.ts";
import type { Store } from "../../store/file/store.ts";

/** The result of checking a database. */
export interface DatabaseCheck {
  database: string;
  /** How many rules were checked. */
  rules: number;
  /** The broken rules; empty if the database is sound. */
  violations: Violation[];
}

/** Runs SQLite's own checks of the file, and datagen's rules for its rows. Changes nothing. */
export function checkDatabase(store: Store): DatabaseCheck {
  return { database: store.path, rules: RULE_COUNT, violations: checkStore(store) };
}
