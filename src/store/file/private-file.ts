import { closeSync, existsSync, openSync } from "node:fs";

/**
 * Makes an empty file that only the user reads and writes, as SQLite's files are everybody's to read otherwise. The
 * WAL and all else that SQLite puts beside a database have the rights of the database.
 */
export function createPrivately(path: string): void {
  if (existsSync(path)) return;
  try {
    closeSync(openSync(path, "a", 0o600));
  } catch {
    // SQLite says why it cannot be made.
  }
}
