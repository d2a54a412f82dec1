import { closeSync, existsSync, openSync } from "node:fs";

/**
 * Creates an empty file that only the user can read and write. Everybody could read a file that SQLite creates. The WAL
 * and other files that SQLite creates beside a database get the permissions of the database.
 */
export function createPrivately(path: string): void {
  if (existsSync(path)) return;
  try {
    closeSync(openSync(path, "a", 0o600));
  } catch {
    // Ignored: SQLite will report why the file cannot be created.
  }
}
