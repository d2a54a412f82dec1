import { Readable } from "node:stream";
import { DeclinedError, InterruptedError, UsageError } from "../../errors.ts";
import { atOneMoment } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { datasetRows } from "../../store/runs/dataset-rows.ts";
import { runNamed, type RunRow } from "../../store/runs/runs.ts";
import { endsOf, placedInputs } from "../../store/view/inputs.ts";
import type { PageInput } from "../../view/page-chunk.ts";
import { pageFile } from "../../view/page-file.ts";
import type { Figures, Statistics, StepView, ViewedRun } from "../../view/rows.ts";
import { ViewError } from "../../view/view-error.ts";
import { checkPlace, keptOf, placeOf, writeDataset } from "../dataset/output.ts";
import { fileName } from "../paths.ts";
import { chosenConditions } from "../runs/chosen-conditions.ts";
import { shellFiles } from "./built-files.ts";
import { stepsOf } from "./cell.ts";
import { answersOf, optionsFor } from "./cells.ts";
import { wholeRowOf } from "./grid.ts";
import { viewedRun } from "./run.ts";
import { computeFigures } from "./statistics-thread.ts";

export interface RenderPageOptions {
  /** Only so many inputs, from the first one on. */
  inputs?: number | undefined;
  /** Only these conditions; a text stands for all conditions that begin with it, unless one is equal to it. */
  conditions?: readonly string[] | undefined;
  /** Is told the size in bytes before the page is written, and whether it is large. False: nothing is written. */
  confirmSize?: ((bytes: number, isLarge: boolean) => Promise<boolean>) | undefined;
  /** Ends the export, and removes the unfinished file. */
  signal?: AbortSignal | undefined;
}

export interface ExportPageOptions extends RenderPageOptions {
  /** A file, or a folder that exists. Default: the folder `data/agents`. Only a page or a dataset is replaced. */
  output?: string | undefined;
}

/** Browsers take long to open larger pages. */
const LARGE = 50_000_000;

/** A page of a run with more inputs, or more calls, has no statistics: they would take too long. */
const MOST_INPUTS = 2_000;
const MOST_CALLS = 50_000;

/**
 * Writes a run as one HTML file, which opens without a server and without a network.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @returns its path
 * @throws UsageError when there is no such run or condition, or the file cannot be written
 */
export async function exportPage(store: Store, run: string, options: ExportPageOptions = {}): Promise<string> {
  const { output, signal } = options;
  const row = runNamed(store, run);
  const place = placeOf(output, fileName(row.datasetName), "html");
  await checkPlace(place, keptOf(store, row.config, row.imported?.file));
  try {
    const page = await renderPage(store, run, options);
    return await writeDataset(place, row.publicId, page, signal);
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError(`the export of run ${row.publicId} was stopped`);
    throw error;
  }
}

/** As {@link exportPage}, as a stream of text. Do not write to the store before the stream ends. */
export async function renderPage(store: Store, run: string, options: RenderPageOptions = {}): Promise<Readable> {
  const row = runNamed(store, run);
  const part = partOf(store, row, options);
  const statistics = await statisticsFor(store, part, options.signal);
  const bytes = sizeOf(store, part, statistics);
  const isWanted = (await options.confirmSize?.(bytes, bytes > LARGE)) ?? true;
  if (!isWanted) throw new DeclinedError("nothing was written");
  return Readable.from(
    atOneMoment(store, () => pageFile(shellFiles(), part.viewed, statistics, inputsOf(store, part))),
    { objectMode: true, highWaterMark: 1 },
  );
}

/** What a page has of a run. */
interface Part {
  run: RunRow;
  viewed: ViewedRun;
  /** The numbers of its conditions in the run. */
  conditions: readonly number[];
  inputs: number;
}

function partOf(store: Store, run: RunRow, { inputs = run.tasks, conditions: wanted }: RenderPageOptions): Part {
  const whole = wholeRun(store, run.publicId);
  const conditions = numbersOf(whole, wanted);
  const count = Math.min(inputs, whole.inputs.count);
  const viewed = {
    ...whole,
    conditions: whole.conditions.filter((_, at) => conditions.includes(at)),
    kinds: whole.kinds.flatMap(({ name, conditions: members }) => {
      const own = members.map((at) => conditions.indexOf(at)).filter((at) => at !== -1);
      return own.length === 0 ? [] : [{ name, conditions: own }];
    }),
    inputs: { count, first: whole.inputs.first, last: lastOf(store, run, count) },
  };
  return { run, viewed, conditions, inputs: count };
}

/** @throws UsageError when the run is too large to show */
function wholeRun(store: Store, id: string): ViewedRun {
  try {
    return viewedRun(store, id);
  } catch (error) {
    throw error instanceof ViewError ? new UsageError(error.message, error.hint ?? undefined) : error;
  }
}

/** The position of the last of the first inputs. */
function lastOf(store: Store, run: RunRow, count: number): number {
  if (count >= run.tasks) return endsOf(store, run.id).last;
  let [last, left] = [0, count];
  for (const { position } of placedInputs(store, run.id, 0)) {
    if (left === 0) break;
    last = position;
    left -= 1;
  }
  return last;
}

/** The numbers of the conditions that texts choose; all if there are none. */
function numbersOf({ run, conditions }: ViewedRun, wanted: readonly string[] = []): number[] {
  const all = conditions.map(({ condition }) => condition);
  const chosen = new Set(
    wanted.length === 0 ? all : wanted.flatMap((text) => [...chosenConditions(run.id, all, text)]),
  );
  return [...all.keys()].filter((at) => chosen.has(all[at] ?? ""));
}

/** The statistics for a page. They are of all answers of a run. */
async function statisticsFor(store: Store, part: Part, signal: AbortSignal | undefined): Promise<Statistics> {
  const { run, viewed, conditions } = part;
  const { perspectives, calls } = viewed.run;
  if (viewed.inputs.count < run.tasks || conditions.length < perspectives) {
    return { state: "none", why: "This page has a part of its run, and statistics are of a whole run." };
  }
  if (run.tasks > MOST_INPUTS || calls.total > MOST_CALLS) {
    const why = `The run has too many answers for statistics in a file: \`datagen stats ${run.publicId}\` prints them.`;
    return { state: "none", why };
  }
  const json = await computeFigures({ database: store.path, run: run.publicId }, { signal }).catch((error: unknown) => {
    throw error instanceof ViewError ? new UsageError(error.message, error.hint ?? undefined) : error;
  });
  return { state: "ready", figures: JSON.parse(json) as Figures };
}

function* inputsOf(store: Store, part: Part, from = 0, most = part.inputs): Generator<PageInput> {
  const { run, conditions } = part;
  let left = most;
  for (const task of datasetRows(store, run.id, { ...optionsFor(run), from })) {
    if (left === 0) return;
    left -= 1;
    const steps: StepView[][][] = run.config.agent_perspectives.map(() => []);
    for (const { condition, cell } of answersOf(run, task)) {
      if (conditions.includes(condition)) steps[condition]?.push(stepsOf(store, run, task, cell));
    }
    const row = wholeRowOf(run, task);
    yield {
      row: { ...row, cells: conditions.map((at) => row.cells[at] ?? []) },
      steps: conditions.map((at) => steps[at] ?? []),
    };
  }
}

/** At how many places of a run inputs are taken to estimate the size, and how many inputs at each. */
const PLACES = 10;
const AT_EACH = 20;

/** The size of a page in bytes: measured if it is small, else estimated by inputs from all over the run. */
function sizeOf(store: Store, part: Part, statistics: Statistics): number {
  const { first, last, count } = part.viewed.inputs;
  const page = (inputs: Iterable<PageInput>) => {
    let bytes = 0;
    for (const piece of pageFile(shellFiles(), part.viewed, statistics, inputs)) bytes += Buffer.byteLength(piece);
    return bytes;
  };
  if (count <= PLACES * AT_EACH) return page(inputsOf(store, part));
  const shell = page([]);
  let bytes = 0;
  for (let place = 0; place < PLACES; place += 1) {
    const from = first + Math.floor(((last - first) * place) / PLACES);
    bytes += page(inputsOf(store, part, from, AT_EACH)) - shell;
  }
  return shell + Math.round((bytes / (PLACES * AT_EACH)) * count);
}
