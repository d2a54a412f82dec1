import { lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errorCode, InterruptedError, UsageError } from "../../errors.ts";
import { copyWhole } from "../../store/file/backup.ts";
import { expandHome, realPath } from "../../store/file/paths.ts";
import type { Store } from "../../store/file/store.ts";
import { removeLeftovers } from "../../store/file/temporary.ts";
import { listRuns } from "../../store/runs/runs.ts";

/** A copy of a database. */
export interface Backup {
  database: string;
  backup: string;
  runs: number;
  bytes: number;
}

const ANOTHER = "Name a new file.";

/**
 * Copies a database, as it is at this moment, to a new file. Runs may go on meanwhile. The file appears only when it is
 * complete, and only this user can read it. An existing file is never replaced.
 * @param path a leading `~` is the user's home
 * @param options.signal ends the copying; nothing is left of it
 * @throws UsageError when the file exists or cannot be created
 * @throws StoppedError when the disk is full or fails
 */
export async function backUpDatabase(
  store: Store,
  path: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Backup> {
  const given = expandHome(path);
  // SQLite would take such a file for a part of the database beside it.
  if (given === "" || /-(wal|shm|journal|lock)$/.test(given)) {
    throw new UsageError(`${JSON.stringify(path)} is no name for a backup`, "Name a new file, such as backup.db.");
  }
  try {
    const found = lstatSync(given, { throwIfNoEntry: false });
    if (found !== undefined) throw isThere(given, statSync(given, { throwIfNoEntry: false })?.isDirectory() ?? false);
    const target = realPath(given);
    removeLeftovers(dirname(target));
    const runs = listRuns(store).length;
    if (!(await copyWhole(store, target, signal))) throw isThere(given, false);
    return { database: store.path, backup: given, runs, bytes: statSync(target).size };
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError(`the backup ${given} was stopped; nothing of it is left`);
    throw asBackupError(error, given);
  }
}

function isThere(path: string, isFolder: boolean): UsageError {
  return new UsageError(
    `${path} is ${isFolder ? "a folder" : "there already, and a backup replaces nothing"}`,
    isFolder ? "Name a new file in it." : ANOTHER,
  );
}

function asBackupError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === undefined || error instanceof UsageError) return error;
  if (/^E(NOENT|NOTDIR)$/.test(code)) {
    return new UsageError(`the folder of ${path} does not exist`, "Create it first, or name another file.", error);
  }
  if (/^E(ACCES|PERM|ROFS|NAMETOOLONG|LOOP|INVAL)$/.test(code)) {
    return new UsageError(`the backup ${path} cannot be written (${code})`, ANOTHER, error);
  }
  return error;
}
