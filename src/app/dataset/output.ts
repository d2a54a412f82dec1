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
import type { Piece } from "../../export/renderer.ts";
import type { Store } from "../../store/file/store.ts";
import { expandHome, realPath } from "../../store/file/paths.ts";
import { findRun, getRun } from "../../store/runs/runs.ts";
import { putInPlace, removeLeftovers, removeTemporary, temporaryPath } from "../../store/file/temporary.ts";
import { isDataset, isDatasetOf } from "./found-dataset.ts";
import { DATASET_FOLDER } from "../paths.ts";

/** What a dataset must not replace. */
export interface Kept {
  /** The path of the database, beside which there are more files. */
  database: string;
  inputs: readonly string[];
  config?: string | undefined;
}

/** What a dataset of a run must not replace, as far as its row says what it was read from. */
export function keptOfRun(store: Store, run: string): Kept {
  const { config, imported } = getRun(store, findRun(store, run));
  return keptOf(store, config, imported?.file);
}

/** @param config of the run; what follows is what else it was read from */
export function keptOf(store: Store, { data_config: data }: Config, ...others: (string | undefined)[]): Kept {
  return { database: store.path, inputs: [data.input_data_path, ...others].filter((path) => path !== undefined) };
}

/** Where a dataset goes. */
export interface Place {
  /** As the user named it. */
  path: string;
  /** What is tried where the name is ours and another file has it: the run's id is in it. Null where the user named it. */
  stem: string | null;
  ending: string;
}

/** Where a dataset of that name goes. */
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
 * Makes sure, before anything is sent, that a dataset can be written as far as can be seen, and that it replaces nothing
 * but a dataset.
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
    if (found?.isBlockDevice()) throw new UsageError(`${path} is a disk, and is not replaced`, ANOTHER);
    if (isDevice(found)) return;
    const target = realPath(path);
    let folder = dirname(target);
    while (statOf(folder) === undefined) folder = dirname(folder);
    // The slash asks for a folder.
    await access(`${folder}/`, constants.W_OK);
    if (stem !== null) return;
    const what = whatIsKept(target, found, kept);
    if (what !== null) throw new UsageError(`the dataset cannot be written to ${path}, which is ${what}`, ANOTHER);
    if (found?.isFile() && found.size > 0 && !isDataset(target)) {
      throw new UsageError(
        `${path} is there already, and is not a dataset`,
        "Name another file with --output, or remove this one first.",
      );
    }
  } catch (error) {
    throw asOutputError(error, path);
  }
}

const ANOTHER = "Name another file or folder with --output.";

/**
 * Writes a dataset into a file, which is there whole or not at all.
 * @param runId whose dataset it is
 * @param signal ends the writing; what is written so far is removed
 * @returns its path
 */
export async function writeDataset(place: Place, runId: string, text: Readable, signal?: AbortSignal): Promise<string> {
  const { path } = place;
  if (isDevice(statOf(path))) {
    await pipeline(text, createWriteStream(path), { signal }).catch((error: unknown) => {
      // A reader that has seen enough closes the pipe.
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

/** Names a dataset in a folder: as it is called, or with more in its name where another file than its own is called so. */
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

/** Characters or bytes, as one piece may be as long as an answer. */
const A_TURN = 1_000_000;

/**
 * Each piece at once, as threads of which one writes what the other renders wait for each other. Only this user can read
 * the file until it is whole.
 * @param replaced the file whose mode and owner it gets
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
    // Signals and timers have their turn too.
    await setImmediate();
    signal?.throwIfAborted();
  }
  // Not every file system has modes and owners, and only root gives files away.
  if (replaced) await file.chown(replaced.uid, replaced.gid).catch(() => {});
  const mode = replaced ? replaced.mode & 0o777 : modeOfNew(dirname(path));
  await file.chmod(mode).catch(() => {});
}

/** The mode that a new file gets in a folder, which is what the umask leaves of it. */
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

function asOutputError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StoppedError(`the disk of ${path} is full`, "Make room, then export the run.", error);
  }
  if (code === "EIO" || code === "EFBIG") {
    return new StoppedError(`the disk of ${path} cannot be written (${code})`, "Export the run to another one.", error);
  }
  if (
    code &&
    /^E(ACCES|PERM|ROFS|ISDIR|NOTDIR|NOENT|EXIST|NAMETOOLONG|LOOP|INVAL|TXTBSY|BUSY|XDEV|NXIO|NODEV)$/.test(code)
  ) {
    return new UsageError(`the dataset ${path} cannot be written (${code})`, ANOTHER, error);
  }
  return error;
}

/** What a file is that must not be replaced; null where it may be. */
function whatIsKept(target: string, found: Stats | undefined, { database, inputs, config }: Kept): string | null {
  const isAny = (...paths: string[]) => paths.some((path) => isSame(target, found, path));
  if (isAny(database)) return "the database";
  // Some of them are there for a while only.
  const beside = /^-(wal|shm|journal|lock|reserve-\d+)$|^\.v\d+(\.\d+)?\.backup$/;
  const isBeside = target.startsWith(database) && beside.test(target.slice(database.length));
  if (isBeside || isAny(...["-wal", "-shm", "-journal", "-lock"].map((ending) => database + ending))) {
    return "a file of the database";
  }
  if (isAny(...inputs.map(expandHome))) return "an input of the run";
  return config !== undefined && isAny(config) ? "the config of the run" : null;
}

/** Whether two paths lead to one file, or would if both were there. */
function isSame(target: string, found: Stats | undefined, path: string): boolean {
  try {
    if (realPath(path) === target) return true;
    const other = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && other !== undefined && other.dev === found.dev && other.ino === found.ino;
  } catch {
    // What cannot be reached is not what is written.
    return false;
  }
}

function isDirectory(path: string): boolean {
  return statOf(path)?.isDirectory() ?? false;
}

/** Whether a path is something like a pipe or a terminal, which another file must not take the place of. */
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
