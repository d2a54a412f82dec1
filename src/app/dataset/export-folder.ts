import { chmodSync, closeSync, mkdirSync, openSync, renameSync, statSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { InterruptedError, UsageError } from "../../errors.ts";
import type { CardFacts, CardFigures } from "../../export/card.ts";
import { rowColumns, type TypedRow, typedRows } from "../../export/row-columns.ts";
import type { Part } from "../../stats/parts.ts";
import { expandHome, realPath } from "../../store/file/paths.ts";
import type { Store } from "../../store/file/store.ts";
import { removeLeftovers, removeTemporary, temporaryPath } from "../../store/file/temporary.ts";
import { atOneMoment } from "../../store/file/transaction.ts";
import { failureRows } from "../../store/runs/failures.ts";
import { getRun } from "../../store/runs/runs.ts";
import {
  type ExportRunOptions,
  exportable,
  type RenderOptions,
  rowsOfRun,
  scoresOf,
  warnOfFindings,
} from "./export-run.ts";
import { runStatistics } from "../stats/run-statistics.ts";
import { asOutputError } from "./output.ts";
import { CARD, checkFolder, FILES, partName, signed } from "./found-folder.ts";

export interface ExportFolderOptions extends Omit<ExportRunOptions, "format" | "output" | "ascii" | "csvSafe"> {
  /** The folder. It is created; an existing one is replaced only if it is empty, or such a dataset. */
  output: string;
  /** Begins another file once one has so many bytes. Default: 500 MB. */
  mostBytes?: number | undefined;
}

const MOST_BYTES = 500_000_000;

/**
 * Writes a dataset of runs as a folder for the Hugging Face Hub: Parquet files, and a card. The folder appears only when
 * it is complete.
 * @param wanted as in `exportRun`
 * @returns the path of the folder
 * @throws UsageError when there is no such run, calls are pending, or the folder cannot be written
 */
export async function exportFolder(
  store: Store,
  wanted: string | readonly string[],
  options: ExportFolderOptions,
): Promise<string> {
  const path = expandHome(options.output).replace(/(?<=.)[/\\]+$/, "");
  const runIds = exportable(store, wanted, { ...options, format: "parquet" });
  checkFolder(path);
  let part: string | undefined;
  try {
    const target = realPath(path);
    mkdirSync(dirname(target), { recursive: true });
    removeLeftovers(dirname(target));
    part = temporaryPath(dirname(target));
    await writeFolder(part, store, runIds, options);
    checkFolder(path);
    putFolder(part, target);
    return path;
  } catch (error) {
    if (options.signal?.aborted) throw new InterruptedError(`the export to ${path} was stopped`);
    throw asOutputError(error, path);
  } finally {
    if (part !== undefined) removeTemporary(part);
  }
}

async function writeFolder(
  folder: string,
  store: Store,
  runIds: readonly number[],
  options: ExportFolderOptions,
): Promise<void> {
  const [{ lookAhead, parquetFile }, { renderCard }] = await Promise.all([
    import("../../export/parquet-file.ts"),
    import("../../export/card.ts"),
  ]);
  const { signal, mostBytes = MOST_BYTES } = options;
  const format: RenderOptions & { format: "parquet" } = { ...options, format: "parquet" };
  mkdirSync(folder, { mode: 0o700 });
  mkdirSync(join(folder, FILES));
  const sizes: number[] = [];
  let facts: Omit<CardFacts, "bytes" | "statistics"> | undefined;

  function* pieces(): Generator<{ number: number; bytes: Uint8Array }> {
    const runs = runIds.map((runId) => rowsOfRun(store, runId, format));
    const scores = scoresOf(runs);
    const columns = rowColumns(runs, scores);
    let count = 0;
    let memoryBytes = 0;
    function* measured(): Generator<TypedRow> {
      for (const row of typedRows(runs, scores)) {
        for (const value of Object.values(row))
          memoryBytes += typeof value === "string" ? Buffer.byteLength(value) + 4 : 8;
        yield row;
      }
    }
    using rows = lookAhead(measured());
    for (let number = 0; number === 0 || rows.next !== undefined; number += 1) {
      const file = parquetFile(runs, columns, rows, mostBytes);
      let step = file.next();
      for (; !step.done; step = file.next()) yield { number, bytes: step.value };
      count += step.value;
    }
    warnOfFindings(runs, format);
    const described = runs.map(({ run }) => ({ ...run, failures: failureRows(store, run.id) }));
    facts = { name: nameOf(store, runIds), runs: described, columns, rows: count, memoryBytes };
  }

  for (const { number, bytes } of atOneMoment(store, pieces)) {
    const file = openSync(join(folder, FILES, String(number)), "a");
    try {
      writeFully(file, bytes);
    } finally {
      closeSync(file);
    }
    sizes[number] = (sizes[number] ?? 0) + bytes.length;
    // Let signals and timers run.
    await setImmediate();
    signal?.throwIfAborted();
  }
  for (const number of sizes.keys()) {
    renameSync(join(folder, FILES, String(number)), join(folder, FILES, partName(number, sizes.length)));
  }
  if (!facts) throw new Error("the rows were not read to their end");
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const card = renderCard({ ...facts, bytes, statistics: await figuresOf(store, runIds, facts.rows, signal) });
  writeFileSync(join(folder, CARD), signed(card));
  // Nobody else could read it until now. The mode of a new folder depends on the umask.
  chmodSync(folder, statSync(join(folder, FILES)).mode & 0o777);
}

/** Comparisons with the references of more rows than these would take minutes. */
const MOST_COMPARED = 100_000;

async function figuresOf(
  store: Store,
  runIds: readonly number[],
  rows: number,
  signal: AbortSignal | undefined,
): Promise<CardFigures[]> {
  const parts: Part[] = rows > MOST_COMPARED ? ["lengths"] : ["lengths", "comparisons"];
  const found: CardFigures[] = [];
  for (const runId of runIds) {
    const { run, conditions } = await runStatistics(store, getRun(store, runId).publicId, { parts, signal });
    for (const group of conditions) {
      found.push({
        run,
        condition: group.condition ?? "",
        answers: group.n,
        words: group.words.mean,
        sd: group.words.sd,
        compressionRatio: group.compression_ratio?.value ?? null,
        chrf: group.chrf?.value ?? null,
        scores: Object.entries(group.scores ?? {}).map(([name, { mean }]) => ({ name, mean })),
      });
    }
  }
  return found;
}

function writeFully(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
}

function nameOf(store: Store, runIds: readonly number[]): string {
  const [first, ...others] = runIds.map((runId) => getRun(store, runId));
  if (!first) throw new UsageError("no run is exported", "Name a run.");
  const more = others.length === 0 ? "" : ` and ${others.length} more ${others.length === 1 ? "run" : "runs"}`;
  return `${first.name ?? first.datasetName}${more}`;
}

/** Gives a complete folder its name. What was there is an empty folder or an older dataset; it stays if anything fails. */
function putFolder(part: string, target: string): void {
  if (statSync(target, { throwIfNoEntry: false }) === undefined) return renameSync(part, target);
  const old = temporaryPath(dirname(target));
  renameSync(target, old);
  try {
    renameSync(part, target);
  } catch (error) {
    renameSync(old, target);
    throw error;
  }
  removeTemporary(old);
}
