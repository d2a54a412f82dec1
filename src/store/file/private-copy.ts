import { chmodSync, constants, copyFileSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import Database from "better-sqlite3";
import { UsageError } from "../../errors.ts";
import { isDiskFull } from "./space.ts";
import { removeLeftovers, removeTemporary, temporaryFolder, temporaryPath } from "./temporary.ts";

const MOST_TRIES = 3;

/**
 * A copy of a database that this process alone has, as it was at one moment: to read one in a folder where SQLite cannot
 * make the files that it needs beside it. The copy is gone with the process.
 * @throws UsageError when there is no room for it, or the database is being written all the time
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
    // Takes in what is in the WAL, and needs no file beside it from then on.
    sqlite.pragma("journal_mode = DELETE");
    return sqlite;
  } catch (error) {
    sqlite?.close();
    if (!isDiskFull(error)) throw error;
    throw new UsageError(
      `${path} cannot be written, so that it is read from a copy, and there is no room for that in ${temporary}`,
      "Make room there, or name another folder in TMPDIR.",
      error,
    );
  } finally {
    // A file without a name goes with its process, however that ends. Windows has none; there the copy goes at the exit.
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
      // With the modes of the files came that they cannot be written.
      chmodSync(copy + ending, 0o600);
    }
    if (stateOf(path) === before) return;
  }
  throw new UsageError(`${path} changes while it is read`, "Try again once nothing writes to it.");
}

/** What changes when anything is written to a database. */
function stateOf(path: string): string {
  return [path, `${path}-wal`]
    .map((name) => {
      const file = statSync(name, { bigint: true, throwIfNoEntry: false });
      return file && `${file.ino} ${file.size} ${file.mtimeNs}`;
    })
    .join(";");
}
