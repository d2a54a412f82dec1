import { Readable } from "node:stream";
import { rowUseOf } from "../../config/prompt-parts.ts";
import type { Config } from "../../config/schema.ts";
import { InterruptedError, UsageError } from "../../errors.ts";
import { type Format, FORMATS } from "../../export/formats.ts";
import { renderers } from "../../export/index.ts";
import type { DatasetRun, Piece, Render, RunRows } from "../../export/renderer.ts";
import { type Findings, noFindings, selectedRun, selectedTasks, type Selection } from "../../export/selection.ts";
import { exportWarnings } from "../../export/warnings.ts";
import { callCounts } from "../../store/runs/call-counts.ts";
import { datasetRows, hasNumericIds } from "../../store/runs/dataset-rows.ts";
import { otherSettings } from "../../store/runs/answers.ts";
import { atOneMoment } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { scoreNames } from "../../store/runs/scores.ts";
import { getRun, type RunRow, runsNamed } from "../../store/runs/runs.ts";
import type { OnEvent } from "../events.ts";
import { checkPlace, keptOf, placeOf, writeDataset } from "./output.ts";
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
 * @param run the id of the run, a unique prefix of it, or `latest`; for jsonl, csv and parquet also several, whose rows
 *   follow each other
 * @returns the path of the file
 * @throws UsageError when there is no such run, calls are pending, or the file cannot be written
 */
export async function exportRun(
  store: Store,
  run: string | readonly string[],
  options: ExportRunOptions = {},
): Promise<string> {
  const { output, signal } = options;
  const format = options.format ?? formatOf(output);
  const [first, ...others] = findRuns(store, run, format);
  if (first === undefined) throw new Error("no run is exported");
  const { datasetName, publicId } = first;
  const name = [datasetName, ...others.map((other) => other.publicId)].join("_");
  // The database may be somebody else's, so the name in it is not trusted.
  const place = placeOf(output, fileName(name), renderers[format].extension);
  for (const { config, imported } of [first, ...others]) await checkPlace(place, keptOf(store, config, imported?.file));
  try {
    return await writeDataset(place, publicId, renderRun(store, run, { ...options, format }), signal);
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError(`the export of run ${publicId} was stopped`);
    throw error;
  }
}

/**
 * The dataset of a run as a stream of text, or of bytes if its format is not text. Do not write to the store before the
 * stream ends.
 * @param wanted as in {@link exportRun}
 * @throws UsageError when there is no such run, or calls are pending
 */
export function renderRun(store: Store, wanted: string | readonly string[], options: RenderOptions = {}): Readable {
  const { format = "json", ascii = false } = options;
  const runIds = exportable(store, wanted, options);
  async function* pieces() {
    const render = await renderers[format].load();
    yield* atOneMoment(store, () => inPieces(rendered(store, runIds, render, { ...options, format }), ascii));
  }
  return Readable.from(pieces(), { objectMode: true, highWaterMark: 1 });
}

type FormatOptions = RenderOptions & { format: Format };

/**
 * Finds the runs of a dataset, and checks that they can be rendered.
 * @throws UsageError as {@link renderRun} does, and when an option does not fit
 * @internal
 */
export function exportable(store: Store, wanted: string | readonly string[], options: RenderOptions): number[] {
  const { format = "json", allowPartial = false } = options;
  checkStyle(format, options);
  const runs = findRuns(store, wanted, format);
  for (const run of runs) {
    const { publicId, config } = run;
    checkReplicate(publicId, config, options.replicate);
    const { pending, total } = callCounts(run);
    if (pending > 0 && !allowPartial) {
      throw new UsageError(
        `${pending} of ${total} calls of run ${publicId} are pending`,
        `Finish it with \`datagen resume ${publicId}\`, or export it as it is with --allow-partial.`,
      );
    }
  }
  return runs.map(({ id }) => id);
}

/** @throws UsageError when there is no such run, a run is given twice, or the format cannot have several */
function findRuns(store: Store, wanted: string | readonly string[], format: Format): RunRow[] {
  const runs = runsNamed(store, [wanted].flat());
  if (runs.length > 1 && !renderers[format].isFlat) {
    const flat = FORMATS.filter((name) => renderers[name].isFlat);
    throw new UsageError(
      `a dataset in ${format} has one run, and ${runs.length} are given`,
      `Add --format ${flat.join(" or --format ")}, or export each run alone.`,
    );
  }
  return runs;
}

/** The pieces of a dataset of these runs. Warnings about the runs come behind them. */
function* rendered(store: Store, runIds: readonly number[], render: Render, options: FormatOptions): Generator<Piece> {
  const { csvSafe = false } = options;
  const runs = runIds.map((runId) => rowsOfRun(store, runId, options));
  yield* render(runs, { csvSafe, scores: scoresOf(runs) });
  warnOfFindings(runs, options);
}

/**
 * The names of the scores that runs have together.
 * @internal
 */
export function scoresOf(runs: readonly RunRows[]): string[] {
  return [...new Set(runs.flatMap(({ run }) => run.scores))].toSorted();
}

/**
 * The rows of a run that a dataset has, and what is found while they are read.
 * @internal
 */
export function rowsOfRun(store: Store, runId: number, options: FormatOptions): RunRows & { found: Findings } {
  const { isFlat, isJson } = renderers[options.format];
  const row = getRun(store, runId);
  const { cost_usd: costUsd, shard: part = null } = summaryOf(row);
  const { reference: usesReference } = rowUseOf(row.config);
  const described: DatasetRun = {
    ...row,
    otherSettings: otherSettings(store, row),
    costUsd,
    part,
    usesReference,
    hasNumericIds: hasNumericIds(store, runId),
    scores: isFlat ? scoreNames(store, runId) : [],
  };
  const found = noFindings();
  // Only JSON can hold a lone surrogate.
  const selection = isJson ? options : { ...options, replaceSurrogates: true };
  const run = selectedRun(described, selection, found);
  const { reasoning_tags: tags } = row.config.model_config;
  const tasks = datasetRows(store, runId, { tags, withRequests: isFlat, withScores: run.scores.length > 0 });
  return { run, tasks: selectedTasks(run, tasks, selection, found), found };
}

/**
 * Warns of what was found in the rows of runs.
 * @internal
 */
export function warnOfFindings(
  runs: readonly (RunRows & { found: Findings })[],
  { format, csvSafe = false, onEvent, ...selection }: FormatOptions,
): void {
  for (const { run, found } of runs) {
    for (const message of exportWarnings(found, format, { ...selection, csvSafe })) {
      onEvent?.({ type: "warning", message: runs.length > 1 ? `run ${run.publicId}: ${message}` : message });
    }
  }
}

/** How many characters to write at once. A write takes as long as rendering several kilobytes. */
const PIECE = 16_384;

function* inPieces(pieces: Iterable<Piece>, ascii: boolean): Generator<Piece> {
  let text = "";
  for (const piece of pieces) {
    if (typeof piece === "string") text += ascii ? escaped(piece) : piece;
    if (typeof piece === "string" && text.length < PIECE) continue;
    if (text !== "") yield text;
    text = "";
    if (typeof piece !== "string") yield piece;
  }
  if (text !== "") yield text;
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
export function formatOf(output: string | undefined): Format {
  return FORMATS.find((format) => output?.toLowerCase().endsWith(`.${format}`)) ?? "json";
}
