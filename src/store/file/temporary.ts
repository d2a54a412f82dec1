import { createHash, randomBytes } from "node:crypto";
import {
  accessSync,
  closeSync,
  constants,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode } from "../../errors.ts";

const NAME = /^\.datagen-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part$/;

/** Whether a process on another machine is alive cannot be known. After a day its files count as left over. */
const FOREIGN_MS = 24 * 60 * 60 * 1_000;

/** The temporary paths of this process, until they are removed. */
const own = new Set<string>();
let isWatching = false;

/** A new temporary path in a folder. The caller removes it with {@link removeTemporary}, or renames the complete file. */
export function temporaryPath(folder: string): string {
  if (!isWatching) process.once("exit", () => own.forEach(removeTemporary));
  isWatching = true;
  const path = join(folder, `.datagen-${hostMark()}-${process.pid}-${randomBytes(4).toString("hex")}.part`);
  own.add(path);
  return path;
}

/** Removes the file or folder at a {@link temporaryPath}, if there is one. */
export function removeTemporary(path: string): void {
  own.delete(path);
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Its folder may be read-only now. A later start tries again.
  }
}

/** Renames a file, unless the new name is taken. @returns whether it was renamed */
export function putInPlace(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    // Without hard links, claim the name with an empty file first.
    try {
      closeSync(openSync(path, "wx", 0o600));
    } catch (taken) {
      if (errorCode(taken) === "EEXIST") return false;
      throw taken;
    }
    renameSync(temporary, path);
    return true;
  }
  rmSync(temporary);
  return true;
}

/** Removes temporary files in a folder that were left by killed processes. */
export function removeLeftovers(folder: string): void {
  for (const name of namesIn(folder)) {
    const [, host, pid] = NAME.exec(name) ?? [];
    if (host === undefined) continue;
    const path = join(folder, name);
    try {
      const isLeft =
        host === hostMark() ? !isProcessAlive(Number(pid)) : Date.now() - statSync(path).mtimeMs > FOREIGN_MS;
      if (isLeft) rmSync(path, { recursive: true, force: true });
    } catch {
      // Another process may have removed it, or it belongs to another user.
    }
  }
}

/** The folder for temporary files, the same that SQLite uses. */
export function temporaryFolder(): string {
  if (process.platform === "win32") return tmpdir();
  const { SQLITE_TMPDIR, TMPDIR } = process.env;
  const candidates = [SQLITE_TMPDIR, TMPDIR, "/var/tmp", "/usr/tmp", "/tmp"];
  return candidates.find((folder) => folder !== undefined && isWritableFolder(folder)) ?? ".";
}

function isWritableFolder(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Whether a process of this machine exists. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists, and belongs to another user.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function hostMark(): string {
  return createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
