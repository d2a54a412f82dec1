import { chmodSync, constants, copyFileSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import Database from "better-sqlite3";
import { UsageError } from "../../errors.ts";
import { isDiskFull } from "./space.ts";
import { removeLeftovers, removeTemporary, temporaryFolder, temporaryPath } from "./temporary.ts";

const MOST_TRIES = 3;

/**
 * Copies a database as it is at one moment, and opens the copy. Needed to read a database in a folder where SQLite cannot
 * create the files that it needs. The copy is removed with the process.
 * @throws UsageError when there is no room for it, or when the database is being written all the time
 */
export function openPrivateCopy(path: string): Database.Database {
  const temporary = temporaryFolder();
  removeLeftovers(temporary);
  const folder = temporaryPath(temporary);
  mkdirSync(folder, { mode: 0o700 });
  let sqlite: Database.Database | undefined;
  try {
    const copy = join(folder, basename(path));
    copyWhole(path, copy);
    sqlite = new Database(copy);
    // Moves the content of the WAL into the file. After that, no other file is needed.
    sqlite.pragma("journal_mode = DELETE");
    return sqlite;
  } catch (error) {
    sqlite?.close();
    if (!isDiskFull(error)) throw error;
    throw new UsageError(
      `${path} cannot be written, so it must be read from a copy, but there is no room for the copy in ${temporary}`,
      "Make room there, or name another folder in TMPDIR.",
      error,
    );
  } finally {
    // An unlinked file disappears with its process, however that ends. On Windows, the copy is removed at the exit.
    if (process.platform !== "win32") removeTemporary(folder);
  }
}

function copyWhole(path: string, copy: string): void {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const before = stateOf(path);
    for (const ending of ["", "-wal"]) {
      rmSync(copy + ending, { force: true });
      if (!existsSync(path + ending)) continue;
      copyFileSync(path + ending, copy + ending, constants.COPYFILE_FICLONE);
      // The copies have the modes of the originals, which may be read-only.
      chmodSync(copy + ending, 0o600);
    }
    if (stateOf(path) === before) return;
  }
  throw new UsageError(`${path} changes while it is read`, "Try again once nothing writes to it.");
}

/** A text that changes when anything is written to a database. */
function stateOf(path: string): string {
  return [path, `${path}-wal`]
    .map((name) => {
      const file = statSync(name, { bigint: true, throwIfNoEntry: false });
      return file && `${file.ino} ${file.size} ${file.mtimeNs}`;
    })
    .join(";");
}
