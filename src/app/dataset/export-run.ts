import { Readable } from "node:stream";
import type { Config } from "../../config/schema.ts";
import { InterruptedError, UsageError } from "../../errors.ts";
import { type Format, FORMATS } from "../../export/formats.ts";
import { renderers } from "../../export/index.ts";
import type { Piece } from "../../export/renderer.ts";
import { noFindings, selectedRun, selectedTasks, type Selection } from "../../export/selection.ts";
import { exportWarnings } from "../../export/warnings.ts";
import { datasetRows } from "../../store/runs/dataset-rows.ts";
import { otherSettings } from "../../store/runs/answers.ts";
import { atOneMoment } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { findRun, getRun } from "../../store/runs/runs.ts";
import type { OnEvent } from "../events.ts";
import { checkPlace, keptOfRun, placeOf, writeDataset } from "./output.ts";
import { fileName } from "../paths.ts";
import { summaryOf } from "../runs/summary.ts";

export interface RenderOptions extends Selection {
  /** Default: what the ending of the output says, else json, the documented dataset. */
  format?: Format | undefined;
  /** Whether a run with pending calls may be rendered; their responses are null. */
  allowPartial?: boolean | undefined;
  /** Writes all but ASCII as `\\u` escapes, in JSON and JSON Lines. */
  ascii?: boolean | undefined;
  /** Writes CSV that a spreadsheet shows as it is: with a byte order mark, and no cell that would be a formula. */
  csvSafe?: boolean | undefined;
  /** Is told, at the end, of what was left out, and of cells that other programs stumble over. */
  onEvent?: OnEvent | undefined;
}

export interface ExportRunOptions extends RenderOptions {
  /**
   * A file, or a folder that exists. Default: the folder `data/agents`. A link is followed. A file that is there is
   * replaced where it is a dataset; in a folder, where it is this run's.
   */
  output?: string | undefined;
  /** Ends the export; what is written so far is removed. */
  signal?: AbortSignal | undefined;
}

/**
 * Renders the dataset of a run from its rows into a file, which is there whole or not at all. The database, the run's
 * inputs, and files that are no datasets are never replaced.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the path of the file
 * @throws UsageError when there is no such run, calls are pending, or the file cannot be written
 */
export async function exportRun(store: Store, run: string, options: ExportRunOptions = {}): Promise<string> {
  const { output, signal } = options;
  const format = options.format ?? formatOf(output);
  const { datasetName, publicId } = getRun(store, findRun(store, run));
  // The name in a database that was merged or found is somebody else's.
  const place = placeOf(output, fileName(datasetName), renderers[format].extension);
  await checkPlace(place, keptOfRun(store, run));
  try {
    return await writeDataset(place, publicId, renderRun(store, run, { ...options, format }), signal);
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError(`the export of run ${publicId} was stopped`);
    throw error;
  }
}

/**
 * The dataset of a run as a stream of text, or of bytes where its format is not text. The store must not be written to until the stream ends.
 * @throws UsageError when there is no such run, or calls are pending
 */
export function renderRun(store: Store, wanted: string, options: RenderOptions = {}): Readable {
  const { format = "json", allowPartial = false, ascii = false, csvSafe = false, onEvent = () => {} } = options;
  checkStyle(format, options);
  const runId = findRun(store, wanted);
  const { publicId, callsTotal, callsSucceeded, callsFailed, config } = getRun(store, runId);
  checkReplicate(publicId, config, options.replicate);
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
      const found = noFindings();
      const run = selectedRun({ ...row, otherSettings: otherSettings(store, row), costUsd, part }, options, found);
      const tasks = selectedTasks(
        run,
        datasetRows(store, runId, row.config.model_config.reasoning_tags),
        options,
        found,
      );
      return inPieces(renderers[format].render(run, tasks, { csvSafe }), ascii, () => {
        const messages = exportWarnings(found, format, { ...options, csvSafe });
        for (const message of messages) onEvent({ type: "warning", message });
      });
    }),
    { objectMode: true, highWaterMark: 1 },
  );
}

/** Characters of a piece that is written at once: each write takes as long as rendering some kilobytes. */
const PIECE = 16_384;

function* inPieces(pieces: Iterable<Piece>, ascii: boolean, atEnd: () => void): Generator<Piece> {
  let text = "";
  for (const piece of pieces) {
    if (typeof piece === "string") text += ascii ? escaped(piece) : piece;
    if (typeof piece === "string" && text.length < PIECE) continue;
    if (text !== "") yield text;
    text = "";
    if (typeof piece !== "string") yield piece;
  }
  if (text !== "") yield text;
  atEnd();
}

/** JSON in ASCII alone: what is not stands in strings, where JSON has escapes for it. */
function escaped(json: string): string {
  return json.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @throws UsageError where an option does not go with the format */
function checkStyle(format: Format, { ascii, csvSafe }: RenderOptions): void {
  if (csvSafe && format !== "csv") {
    throw new UsageError(`--csv-safe is for CSV, and the dataset is ${format}`, "Add --format csv, or leave it out.");
  }
  if (ascii && !renderers[format].isJson) {
    throw new UsageError(
      `--ascii is for JSON and JSON Lines: ${format} has no escapes`,
      "Leave it out, or export jsonl.",
    );
  }
}

/** @throws UsageError where a run has no such replicate */
function checkReplicate(run: string, { replicates = 1 }: Config, wanted: number | undefined): void {
  if (wanted === undefined || (Number.isInteger(wanted) && wanted >= 1 && wanted <= replicates)) return;
  const has = replicates === 1 ? "one replicate" : `the replicates 1 to ${replicates}`;
  throw new UsageError(`run ${run} has no replicate ${wanted}; it has ${has}`, "Give one of them with --replicate.");
}

/** The format that the ending of a file's name says. */
function formatOf(output: string | undefined): Format {
  return FORMATS.find((format) => output?.toLowerCase().endsWith(`.${format}`)) ?? "json";
}
