import { checkStore, RULE_COUNT, type Violation } from "../../store/check/check.ts";
import type { Store } from "../../store/file/store.ts";

/** What a check of a database found. */
export interface DatabaseCheck {
  database: string;
  /** How many rules were checked. */
  rules: number;
  /** The rules that are broken; none where all is well. */
  violations: Violation[];
}

/** SQLite's own checks of the file, and what datagen holds to of its rows. Changes nothing. */
export function checkDatabase(store: Store): DatabaseCheck {
  return { database: store.path, rules: RULE_COUNT, violations: checkStore(store) };
}
