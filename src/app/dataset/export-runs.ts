import { UsageError } from "../../errors.ts";
import { FORMATS } from "../../export/formats.ts";
import { renderers } from "../../export/index.ts";
import type { Store } from "../../store/file/store.ts";
import type { NamedRuns } from "../runs/named-runs.ts";
import type { RunSummary } from "../runs/summary.ts";
import { exportable, exportRun, type ExportRunOptions, formatOf } from "./export-run.ts";
import { checkOutput, type Kept } from "./output.ts";

/** Runs, and their datasets. */
export interface ExportedRuns {
  /** The name of an experiment whose runs have a dataset each; null if one dataset has all runs. */
  experiment: string | null;
  runs: RunSummary[];
  /** The paths: one for each run, or one for all; null where none was written. */
  datasets: (string | null)[];
}

/**
 * Exports runs as `exportRun` does. In a format that has one run, each run of an experiment gets a dataset of its own, in
 * a folder; either all are written, or none.
 * @param found what the user named
 * @throws UsageError also when the output of several datasets is not a folder
 */
export async function exportRuns(
  store: Store,
  found: readonly NamedRuns[],
  options: ExportRunOptions,
): Promise<ExportedRuns> {
  const format = options.format ?? formatOf(options.output);
  const [first, ...others] = found;
  const experiment = others.length === 0 && !renderers[format].isFlat ? (first?.experiment ?? null) : null;
  const runs = found.flatMap((one) => one.runs);
  const ids = runs.map(({ id }) => id);
  if (experiment === null) return { experiment, runs, datasets: [await exportRun(store, ids, options)] };
  const output = folderOf(options.output);
  for (const id of ids) exportable(store, id, options);
  const datasets: string[] = [];
  for (const id of ids) datasets.push(await exportRun(store, id, { ...options, output }));
  return { experiment, runs, datasets };
}

/**
 * Checks, before anything is sent and paid, that the datasets of runs can probably be written.
 * @param output as `exportRun` takes it
 * @param kept the files that they must not replace, of each run
 * @param isExperiment whether each run gets a dataset of its own, in a folder
 * @returns the output for `exportRun`
 * @throws UsageError when they cannot
 */
export async function checkOutputs(
  output: string | undefined,
  kept: readonly Kept[],
  isExperiment: boolean,
): Promise<string | undefined> {
  const place = isExperiment ? folderOf(output) : output;
  for (const each of kept) await checkOutput(place, each);
  return place;
}

/**
 * The folder for the datasets of several runs.
 * @throws UsageError when it seems to be meant as a file
 */
function folderOf(output: string | undefined): string | undefined {
  if (output === undefined) return undefined;
  const looksLikeFile = FORMATS.some((format) => output.toLowerCase().endsWith(`.${format}`));
  if (output === "-" || looksLikeFile) {
    throw new UsageError(
      `--output ${output} is not a folder, and each run of an experiment has a dataset of its own`,
      "Name a folder.",
    );
  }
  return /[/\\]$/.test(output) ? output : `${output}/`;
}
