import { Readable } from "node:stream";
import { InterruptedError, UsageError } from "../errors.ts";
import { type Format, FORMATS } from "../export/formats.ts";
import { renderers } from "../export/index.ts";
import { datasetRows } from "../store/dataset-rows.ts";
import { otherSettings } from "../store/details.ts";
import { atOneMoment, type Store } from "../store/open.ts";
import { findRun, getRun } from "../store/runs.ts";
import { checkPlace, keptOfRun, placeOf, writeDataset } from "./output.ts";
import { fileName } from "./paths.ts";
import { summaryOf } from "./summary.ts";

export interface RenderOptions {
  /** Default: what the ending of the output says, else json, the documented dataset. */
  format?: Format | undefined;
  /** Whether a run with pending calls may be rendered; their responses are null. */
  allowPartial?: boolean | undefined;
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

/** The format that the ending of a file's name says. */
function formatOf(output: string | undefined): Format {
  return FORMATS.find((format) => output?.toLowerCase().endsWith(`.${format}`)) ?? "json";
}
