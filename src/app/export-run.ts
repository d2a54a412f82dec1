import { randomBytes } from "node:crypto";
import { createWriteStream, statSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errorCode, errorMessage, StoppedError, UsageError } from "../errors.ts";
import type { Format } from "../export/formats.ts";
import { renderers } from "../export/index.ts";
import { datasetRows } from "../store/dataset-rows.ts";
import type { Store } from "../store/open.ts";
import { findRun, getRun } from "../store/runs.ts";
import { DATASET_FOLDER } from "./paths.ts";

export interface RenderOptions {
  /** Default: json, the documented dataset. */
  format?: Format | undefined;
  /** Whether a run with pending calls may be rendered; their responses are null. */
  allowPartial?: boolean | undefined;
}

export interface ExportRunOptions extends RenderOptions {
  /** A file, or a folder that exists. Default: the folder `data/agents`. */
  output?: string | undefined;
}

/**
 * Renders the dataset of a run from its rows into a file, which is there whole or not at all.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the path of the file
 * @throws UsageError when there is no such run, calls are pending, or the file cannot be written
 */
export async function exportRun(store: Store, run: string, options: ExportRunOptions = {}): Promise<string> {
  const { output = DATASET_FOLDER, format = "json" } = options;
  const text = renderRun(store, run, options);
  const isFolder = options.output === undefined || isDirectory(output) || /[/\\]$/.test(output);
  const { datasetName } = getRun(store, findRun(store, run));
  const path = isFolder ? join(output, `${datasetName}.${renderers[format].extension}`) : output;
  await writeWhole(path, text);
  return path;
}

/**
 * The dataset of a run as a stream of text. The store must not be written to until the stream ends.
 * @throws UsageError when there is no such run, or calls are pending
 */
export function renderRun(store: Store, run: string, options: RenderOptions = {}): Readable {
  const { format = "json", allowPartial = false } = options;
  const row = getRun(store, findRun(store, run));
  const pending = row.callsTotal - row.callsSucceeded - row.callsFailed;
  if (pending > 0 && !allowPartial) {
    throw new UsageError(
      `${pending} of ${row.callsTotal} calls of run ${row.publicId} are pending`,
      `Finish it with \`datagen resume ${row.publicId}\`, or export what is there with --allow-partial.`,
    );
  }
  return Readable.from(renderers[format].render(row, datasetRows(store, row.id)), { objectMode: true });
}

async function writeWhole(path: string, text: Readable): Promise<void> {
  const part = `${resolve(path)}.${randomBytes(4).toString("hex")}.part`;
  try {
    await mkdir(dirname(part), { recursive: true });
    await pipeline(text, createWriteStream(part));
    await rename(part, path);
  } catch (error) {
    text.destroy();
    await rm(part, { force: true });
    const code = errorCode(error);
    if (code === "ENOSPC")
      throw new StoppedError(`the disk of ${path} is full`, "Make room, then export the run.", error);
    if (code && /^E(ACCES|PERM|ROFS|ISDIR|NOTDIR|EXIST|NAMETOOLONG)$/.test(code)) {
      throw new UsageError(
        `the dataset ${path} cannot be written: ${errorMessage(error)}`,
        "Name another --output.",
        error,
      );
    }
    throw error;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
