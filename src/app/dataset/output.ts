import {
  closeSync,
  constants,
  createWriteStream,
  fstatSync,
  openSync,
  renameSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import { access, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import type { Config } from "../../config/schema.ts";
import { errorCode, StoppedError, UsageError } from "../../errors.ts";
import { filesAt } from "../../files/globs.ts";
import type { Piece } from "../../export/renderer.ts";
import type { Store } from "../../store/file/store.ts";
import { expandHome, realPath } from "../../store/file/paths.ts";
import { runNamed } from "../../store/runs/runs.ts";
import { putInPlace, removeLeftovers, removeTemporary, temporaryPath } from "../../store/file/temporary.ts";
import { isDataset, isDatasetOf } from "./found-dataset.ts";
import { DATASET_FOLDER } from "../paths.ts";

/** The files that a dataset must not replace. */
export interface Kept {
  /** The path of the database. The files beside it that belong to it are protected, too. */
  database: string;
  inputs: readonly string[];
  config?: string | undefined;
}

/** The files that a dataset of a stored run must not replace, as far as the database knows them. */
export function keptOfRun(store: Store, run: string): Kept {
  const { config, imported } = runNamed(store, run);
  return keptOf(store, config, imported?.file);
}

/** @param config the run's config @param others the paths of other files that the run was read from */
export function keptOf(store: Store, { data_config: data }: Config, ...others: (string | undefined)[]): Kept {
  const inputs = [data.input_data_path].flat().flatMap((path) => filesAt(expandHome(path)));
  return { database: store.path, inputs: [...inputs, ...others].filter((path) => path !== undefined) };
}

/** The place of a dataset. */
export interface Place {
  /** As the user named it. */
  path: string;
  /** The path without its extension, if datagen chose the name and may add the run's id. Null if the user chose it. */
  stem: string | null;
  ending: string;
}

/** The place of a dataset with this name. */
export function placeOf(output: string | undefined, stem: string, extension: string): Place {
  const named = output === undefined ? undefined : expandHome(output);
  if (named === "")
    throw new UsageError('the dataset "" cannot be written: it has no name', "Name a file or a folder.");
  const ending = `.${extension}`;
  if (named !== undefined && !isDirectory(named) && !/[/\\]$/.test(named)) return { path: named, stem: null, ending };
  const path = join(named ?? DATASET_FOLDER, stem);
  return { path: path + ending, stem: path, ending };
}

/**
 * Checks, before anything is sent, that a dataset can probably be written, and that it replaces nothing but another
 * dataset.
 * @param output as `exportRun` takes it
 * @throws UsageError when it cannot
 */
export function checkOutput(output: string | undefined, kept: Kept): Promise<void> {
  return checkPlace(placeOf(output, "dataset", "json"), kept);
}

/** As {@link checkOutput}. */
export async function checkPlace({ path, stem }: Place, kept: Kept): Promise<void> {
  try {
    const found = statOf(path);
    if (found?.isBlockDevice()) throw new UsageError(`${path} is a disk, which is not overwritten`, ANOTHER);
    if (isDevice(found)) return;
    const target = realPath(path);
    let folder = dirname(target);
    while (statOf(folder) === undefined) folder = dirname(folder);
    // With the slash, only a folder passes.
    await access(`${folder}/`, constants.W_OK);
    if (stem !== null) return;
    const what = whatIsKept(target, found, kept);
    if (what !== null) throw new UsageError(`the dataset cannot be written to ${path}, which is ${what}`, ANOTHER);
    if (found?.isFile() && found.size > 0 && !isDataset(target)) {
      throw new UsageError(
        `${path} exists already, and is not a dataset`,
        "Name another file with --output, or remove this one first.",
      );
    }
  } catch (error) {
    // A name that datagen chose says nothing to the user.
    throw stem === null ? asOutputError(error, path) : asOutputError(error, dirname(path), "the folder");
  }
}

const ANOTHER = "Name another file or folder with --output.";

/**
 * Writes a dataset into a file, which appears only when it is complete.
 * @param runId the run of the dataset
 * @param signal ends the writing, and removes the unfinished file
 * @returns its path
 */
export async function writeDataset(place: Place, runId: string, text: Readable, signal?: AbortSignal): Promise<string> {
  const { path } = place;
  if (isDevice(statOf(path))) {
    await pipeline(text, createWriteStream(path), { signal }).catch((error: unknown) => {
      // The reader closed the pipe, as `head` does.
      if (errorCode(error) !== "EPIPE") throw asOutputError(error, path);
    });
    return path;
  }
  let part: string | undefined;
  try {
    const target = realPath(path);
    await mkdir(dirname(target), { recursive: true });
    removeLeftovers(dirname(target));
    part = temporaryPath(dirname(target));
    const isReplaced = place.stem === null || isDatasetOf(target, runId);
    await writeNew(part, text, isReplaced ? statOf(target) : undefined, signal);
    if (place.stem !== null) return putUnderFreeName(part, place, place.stem, runId);
    renameSync(part, target);
    return path;
  } catch (error) {
    text.destroy();
    throw asOutputError(error, path);
  } finally {
    if (part !== undefined) removeTemporary(part);
  }
}

/** Gives a dataset its name in a folder. If a file that is not this run's has the name, the run's id is added to it. */
function putUnderFreeName(part: string, { ending }: Place, stem: string, runId: string): string {
  const withId = stem.endsWith(`_${runId}`) ? stem : `${stem}_${runId}`;
  for (let number = 0; ; number += 1) {
    const path = (number === 0 ? stem : number === 1 ? withId : `${withId}_${number}`) + ending;
    if (putInPlace(part, path)) return path;
    if (!isDatasetOf(path, runId)) continue;
    renameSync(part, realPath(path));
    return path;
  }
}

/** How many characters or bytes to write before signals and timers get a turn. */
const A_TURN = 1_000_000;

/**
 * Writes synchronously, which is faster: with writes in another thread, the two threads would wait for each other. Only
 * this user can read the file until it is complete.
 * @param replaced the file whose mode and owner the new one gets
 */
async function writeNew(
  path: string,
  text: Readable,
  replaced: Stats | undefined,
  signal?: AbortSignal,
): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  let written = 0;
  for await (const piece of text) {
    writeFileSync(file.fd, piece as Piece);
    written += (piece as Piece).length;
    if (written < A_TURN) continue;
    written = 0;
    // Let signals and timers run.
    await setImmediate();
    signal?.throwIfAborted();
  }
  // Not every file system has modes and owners, and only root can change an owner.
  if (replaced) await file.chown(replaced.uid, replaced.gid).catch(() => {});
  const mode = replaced ? replaced.mode & 0o777 : modeOfNew(dirname(path));
  await file.chmod(mode).catch(() => {});
}

/** The mode of a new file in a folder, which depends on the umask. */
function modeOfNew(folder: string): number {
  const path = temporaryPath(folder);
  const file = openSync(path, "wx");
  try {
    return fstatSync(file).mode & 0o777;
  } finally {
    closeSync(file);
    removeTemporary(path);
  }
}

/** An error of a file system as one that says what to do. @param what is at the path */
export function asOutputError(error: unknown, path: string, what = "the dataset"): unknown {
  const code = errorCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StoppedError(`the disk of ${path} is full`, "Make room, then export the run.", error);
  }
  if (code === "EIO" || code === "EFBIG") {
    return new StoppedError(
      `the disk of ${path} cannot be written (${code})`,
      "Export the run to another disk.",
      error,
    );
  }
  if (
    code &&
    /^E(ACCES|PERM|ROFS|ISDIR|NOTDIR|NOENT|EXIST|NAMETOOLONG|LOOP|INVAL|TXTBSY|BUSY|XDEV|NXIO|NODEV)$/.test(code)
  ) {
    return new UsageError(`${what} ${path} cannot be written (${code})`, ANOTHER, error);
  }
  return error;
}

/** Why a file must not be replaced; null if it may be. */
function whatIsKept(target: string, found: Stats | undefined, { database, inputs, config }: Kept): string | null {
  const isAny = (...paths: string[]) => paths.some((path) => isSame(target, found, path));
  if (isAny(database)) return "the database";
  // Some of these files exist only at times.
  const beside = /^-(wal|shm|journal|lock|reserve-\d+)$|^\.v\d+(\.\d+)?\.backup$/;
  const isBeside = target.startsWith(database) && beside.test(target.slice(database.length));
  if (isBeside || isAny(...["-wal", "-shm", "-journal", "-lock"].map((ending) => database + ending))) {
    return "a file of the database";
  }
  if (isAny(...inputs.map(expandHome))) return "an input of the run";
  return config !== undefined && isAny(config) ? "the config of the run" : null;
}

/** Whether two paths lead to the same file, or would if it existed. */
function isSame(target: string, found: Stats | undefined, path: string): boolean {
  try {
    if (realPath(path) === target) return true;
    const other = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && other !== undefined && other.dev === found.dev && other.ino === found.ino;
  } catch {
    // A path that cannot be reached is not the file to write.
    return false;
  }
}

function isDirectory(path: string): boolean {
  return statOf(path)?.isDirectory() ?? false;
}

/** Whether a path is a pipe, a terminal or the like, which must not be replaced by a file. */
function isDevice(found: Stats | undefined): boolean {
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw asOutputError(error, path);
  }
}
