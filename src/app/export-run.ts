import { randomBytes } from "node:crypto";
import { constants, createWriteStream, writeFileSync, type Stats, statSync } from "node:fs";
import { access, open, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import { errorCode, InterruptedError, StoppedError, UsageError } from "../errors.ts";
import { type Format, FORMATS } from "../export/formats.ts";
import { renderers } from "../export/index.ts";
import { datasetRows } from "../store/dataset-rows.ts";
import { otherSettings } from "../store/details.ts";
import { atOneMoment, type Store } from "../store/open.ts";
import { findRun, getRun } from "../store/runs.ts";
import { DATASET_FOLDER, fileName } from "./paths.ts";
import { summaryOf } from "./summary.ts";

export interface RenderOptions {
  /** Default: what the ending of the output says, else json, the documented dataset. */
  format?: Format | undefined;
  /** Whether a run with pending calls may be rendered; their responses are null. */
  allowPartial?: boolean | undefined;
}

export interface ExportRunOptions extends RenderOptions {
  /** A file, or a folder that exists. Default: the folder `data/agents`. */
  output?: string | undefined;
  /** Ends the export; what is written so far is removed. */
  signal?: AbortSignal | undefined;
}

/**
 * Renders the dataset of a run from its rows into a file, which is there whole or not at all.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the path of the file
 * @throws UsageError when there is no such run, calls are pending, or the file cannot be written
 */
export async function exportRun(store: Store, run: string, options: ExportRunOptions = {}): Promise<string> {
  const { output, signal } = options;
  const format = options.format ?? formatOf(output);
  const { datasetName, publicId } = getRun(store, findRun(store, run));
  // The name in a database that was merged or found is somebody else's.
  const path = placeOf(output, `${fileName(datasetName)}.${renderers[format].extension}`);
  const text = renderRun(store, run, { ...options, format });
  try {
    await writeWhole(path, text, signal);
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError(`the export of run ${publicId} was stopped`);
    throw error;
  }
  return path;
}

/**
 * The dataset of a run as a stream of text. The store must not be written to until the stream ends.
 * @throws UsageError when there is no such run, or calls are pending
 */
export function renderRun(store: Store, wanted: string, options: RenderOptions = {}): Readable {
  const { format = "json", allowPartial = false } = options;
  const runId = findRun(store, wanted);
  const { publicId, callsTotal, callsSucceeded, callsFailed } = getRun(store, runId);
  const pending = callsTotal - callsSucceeded - callsFailed;
  if (pending > 0 && !allowPartial) {
    throw new UsageError(
      `${pending} of ${callsTotal} calls of run ${publicId} are pending`,
      `Finish it with \`datagen resume ${publicId}\`, or export what is there with --allow-partial.`,
    );
  }
  return Readable.from(
    atOneMoment(store, () => {
      const row = getRun(store, runId);
      const { cost_usd: costUsd, shard: part = null } = summaryOf(row);
      const run = { ...row, otherSettings: otherSettings(store, row), costUsd, part };
      return inPieces(renderers[format].render(run, datasetRows(store, runId, row.config.model_config.reasoning_tags)));
    }),
    { objectMode: true, highWaterMark: 1 },
  );
}

/** Characters of a piece that is written at once: each write takes as long as rendering some kilobytes. */
const PIECE = 16_384;

function* inPieces(texts: Iterable<string>): Generator<string> {
  let piece = "";
  for (const text of texts) {
    piece += text;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = "";
  }
  yield piece;
}

/**
 * Makes sure, as far as can be seen without writing, that a dataset can be written.
 * @param output as `exportRun` takes it
 * @throws UsageError when it cannot
 */
export async function checkOutput(output: string | undefined): Promise<void> {
  const path = placeOf(output, "dataset.json");
  if (isDevice(path)) return;
  let folder = dirname(resolve(path));
  while (kindOf(folder) === undefined) folder = dirname(folder);
  try {
    // The slash asks for a folder.
    await access(`${folder}/`, constants.W_OK);
  } catch (error) {
    throw asOutputError(error, path);
  }
}

/** The format that the ending of a file's name says. */
function formatOf(output: string | undefined): Format {
  return FORMATS.find((format) => output?.toLowerCase().endsWith(`.${format}`)) ?? "json";
}

/** Where a dataset of that name goes. */
function placeOf(output: string | undefined, name: string): string {
  if (output === "")
    throw new UsageError('the dataset "" cannot be written: it has no name', "Name a file or a folder.");
  const isFolder = output === undefined || isDirectory(output) || /[/\\]$/.test(output);
  return isFolder ? join(output ?? DATASET_FOLDER, name) : output;
}

async function writeWhole(path: string, text: Readable, signal?: AbortSignal): Promise<void> {
  if (isDevice(path)) {
    await pipeline(text, createWriteStream(path), { signal }).catch((error: unknown) => {
      throw asOutputError(error, path);
    });
    return;
  }
  const part = `${resolve(path)}.${randomBytes(4).toString("hex")}.part`;
  try {
    await mkdir(dirname(part), { recursive: true });
    await writeNew(part, text, signal);
    await rename(part, path);
  } catch (error) {
    text.destroy();
    // Where the part could not be made there is nothing to remove, and the first error is the one to tell.
    await rm(part, { force: true }).catch(() => {});
    throw asOutputError(error, path);
  }
}

/** Characters, as one piece may be as long as an answer. */
const A_TURN = 1_000_000;

/** Each piece at once, as threads of which one writes what the other renders wait for each other. */
async function writeNew(path: string, text: Readable, signal?: AbortSignal): Promise<void> {
  await using file = await open(path, "wx");
  let written = 0;
  for await (const piece of text) {
    writeFileSync(file.fd, piece as string);
    written += (piece as string).length;
    if (written < A_TURN) continue;
    written = 0;
    // Signals and timers have their turn too.
    await setImmediate();
    signal?.throwIfAborted();
  }
}

function asOutputError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StoppedError(`the disk of ${path} is full`, "Make room, then export the run.", error);
  }
  if (code && /^E(ACCES|PERM|ROFS|ISDIR|NOTDIR|NOENT|EXIST|NAMETOOLONG|LOOP|INVAL)$/.test(code)) {
    return new UsageError(
      `the dataset ${path} cannot be written (${code})`,
      "Name another file or folder with --output.",
      error,
    );
  }
  return error;
}

function isDirectory(path: string): boolean {
  return kindOf(path)?.isDirectory() ?? false;
}

/** Whether a path is something like a pipe or a terminal, which another file must not take the place of. */
function isDevice(path: string): boolean {
  const kind = kindOf(path);
  return kind !== undefined && !kind.isFile() && !kind.isDirectory();
}

function kindOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw asOutputError(error, path);
  }
}
