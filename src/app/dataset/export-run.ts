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
  /** Default: the extension of the output, else json, the documented dataset. */
  format?: Format | undefined;
  /** Whether to render a run with pending calls; their responses are null. */
  allowPartial?: boolean | undefined;
  /** Escapes characters outside ASCII as `\\u…`, in JSON and JSON Lines. */
  ascii?: boolean | undefined;
  /** Writes CSV that is safe in a spreadsheet: with a byte order mark, and without formulas. */
  csvSafe?: boolean | undefined;
  /** Gets warnings at the end: about inputs that were left out, and about cells that cause problems in other programs. */
  onEvent?: OnEvent | undefined;
}

export interface ExportRunOptions extends RenderOptions {
  /**
   * A file, or a folder that exists. Default: the folder `data/agents`. A link is followed. An existing file is replaced
   * only if it is a dataset; inside a folder, only if it is a dataset of this run.
   */
  output?: string | undefined;
  /** Ends the export, and removes the unfinished file. */
  signal?: AbortSignal | undefined;
}

/**
 * Renders the dataset of a run from its rows into a file. The file appears only when it is complete. The database, the
 * run's inputs, and files that are not datasets are never replaced.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns the path of the file
 * @throws UsageError when there is no such run, calls are pending, or the file cannot be written
 */
export async function exportRun(store: Store, run: string, options: ExportRunOptions = {}): Promise<string> {
  const { output, signal } = options;
  const format = options.format ?? formatOf(output);
  const { datasetName, publicId } = getRun(store, findRun(store, run));
  // The database may be somebody else's, so the name in it is not trusted.
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
 * The dataset of a run as a stream of text, or of bytes if its format is not text. Do not write to the store before the stream ends.
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
      `Finish it with \`datagen resume ${publicId}\`, or export it as it is with --allow-partial.`,
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

/** How many characters to write at once. A write takes as long as rendering several kilobytes. */
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

/** JSON in ASCII only. Other characters occur only in strings, where JSON allows escapes. */
function escaped(json: string): string {
  return json.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @throws UsageError when an option does not fit the format */
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

/** @throws UsageError when a run has no such replicate */
function checkReplicate(run: string, { replicates = 1 }: Config, wanted: number | undefined): void {
  if (wanted === undefined || (Number.isInteger(wanted) && wanted >= 1 && wanted <= replicates)) return;
  const has = replicates === 1 ? "one replicate" : `the replicates 1 to ${replicates}`;
  throw new UsageError(`run ${run} has no replicate ${wanted}; it has ${has}`, "Give one of them with --replicate.");
}

/** The format by the extension of a file's name. */
function formatOf(output: string | undefined): Format {
  return FORMATS.find((format) => output?.toLowerCase().endsWith(`.${format}`)) ?? "json";
}
