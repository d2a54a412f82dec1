import { existsSync } from "node:fs";
import { UsageError } from "../../errors.ts";
import { formatOf, sourceOf } from "../../sources/index.ts";
import type { SourceRow } from "../../sources/source.ts";
import { expandHome } from "../../store/file/paths.ts";
import type { Store } from "../../store/file/store.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import { findRuns } from "../../store/runs/experiments.ts";
import { getRun, type RunRow } from "../../store/runs/runs.ts";
import { draftScores, type ScoreCount, type ScoreDraft } from "../../store/runs/scores.ts";
import type { OnEvent } from "../events.ts";
import { cellFinder } from "./find-cells.ts";
import { isMissing, scoreReader } from "./read-scores.ts";

/** The scores of a file, after they were imported. */
export interface ImportedScores {
  runs: string[];
  scores: ScoreCount[];
}

/** How many problems of a file are named. */
const MOST_PROBLEMS = 50;

/**
 * Gives the cells of a run the scores of a file. The whole file is checked before anything is written. Scores of the same
 * names that the run has are replaced.
 * @param name the id of a run, a unique prefix of it, `latest`, or the name of an experiment
 * @param path a file of JSON Lines, JSON, CSV or Parquet: see docs/datasets.md
 * @param options.onEvent gets warnings about rows and columns that were left out
 * @throws UsageError when there is no such run, or anything is wrong with the file
 */
export async function importScores(
  store: Store,
  name: string,
  path: string,
  { onEvent = () => {} }: { onEvent?: OnEvent | undefined } = {},
): Promise<ImportedScores> {
  const onWarning = (message: string) => onEvent({ type: "warning", message });
  const runs = findRuns(store, name).runIds.map((runId) => getRun(store, runId));
  using draft = draftScores(store);
  const { touched, names } = await readFile(store, runs, expandHome(path), draft, onWarning);
  const scores = draft.commit(
    touched.map(({ id }) => id),
    names,
  );
  return { runs: touched.map(({ publicId }) => publicId), scores };
}

/** Puts what a file says into a draft. @returns the runs that it has cells of, and the names of its scores */
async function readFile(
  store: Store,
  runs: readonly RunRow[],
  path: string,
  draft: ScoreDraft,
  onWarning: (message: string) => void,
): Promise<{ touched: RunRow[]; names: readonly string[] }> {
  if (!existsSync(path))
    throw new UsageError(`${path} does not exist`, "Name a file with scores: JSON Lines, CSV or Parquet.");
  const format = formatOf(path);
  const finder = cellFinder(runs, draft);
  const reader = scoreReader(format === "csv" || format === "tsv");
  const problems: string[] = [];
  const touched = new Set<RunRow>();
  const left = { references: 0, unanswered: 0, outdated: 0 };
  let rows = 0;

  function take({ index, line, ...read }: SourceRow): void {
    const place = line === null ? `row ${index}` : `row ${index} (line ${line})`;
    rows += 1;
    if ("problem" in read) return void problems.push(`${place}${read.problem}`);
    // Otherwise each row would be a problem of its own.
    if (rows === 1 && !Object.hasOwn(read.row, "condition")) throw noCondition(path, Object.keys(read.row));
    const cell = finder.find(read.row, index);
    if (typeof cell === "string") return void problems.push(`${place} ${cell}`);
    const scores = reader.read(read.row);
    if (typeof scores === "string") return void problems.push(`${place} ${scores}`);
    touched.add(cell.run);
    const { call } = cell;
    if (call === null) left.references += 1;
    else if (call.answerId === null) left.unanswered += 1;
    // The file was exported before the cell had its response.
    else if (!isMissing(read.row["failure"])) left.outdated += 1;
    else for (const [score, value] of scores) draft.add({ ...call, answerId: call.answerId }, score, value);
  }

  const source = await sourceOf(format).open(path, { columns: null, onWarning });
  try {
    for await (const chunk of source.rows()) {
      inTransaction(store, () => {
        for (const row of chunk) if (problems.length < MOST_PROBLEMS) take(row);
      });
      if (problems.length >= MOST_PROBLEMS) break;
    }
  } finally {
    await source.close();
  }
  if (problems.length > 0) throw wrongFile(path, problems);
  const names = reader.names();
  if (names.length === 0) throw noScores(path, rows);
  for (const message of warningsOf(left, reader.ignored())) onWarning(message);
  return { touched: [...touched], names };
}

function wrongFile(path: string, problems: readonly string[]): UsageError {
  const isCut = problems.length >= MOST_PROBLEMS;
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const list = problems.map((problem) => `\n  ${problem}`).join("");
  return new UsageError(
    `${path} has ${isCut ? `at least ${count}` : count}; no score was imported:${list}`,
    NAMES_ITS_CELL,
  );
}

const MOST_NAMES = 20;

function noCondition(path: string, columns: readonly string[]): UsageError {
  const names = columns.slice(0, MOST_NAMES).map((name) => JSON.stringify(name));
  return new UsageError(`${path} has no column "condition"; it has ${names.join(", ")}`, NAMES_ITS_CELL);
}

const NAMES_ITS_CELL =
  "A row names its cell with id or task, condition and, unless it is 1, replicate; each other column with numbers is a score.";

function noScores(path: string, rows: number): UsageError {
  return new UsageError(
    `${path} has no ${rows === 0 ? "rows" : "scores"}`,
    "Each column with numbers is a score, unless datasets have a column of its name.",
  );
}

function warningsOf(
  { references, unanswered, outdated }: { references: number; unanswered: number; outdated: number },
  ignored: readonly string[],
): string[] {
  const names = ignored.slice(0, 10).map((name) => JSON.stringify(name));
  if (ignored.length > names.length) names.push("…");
  const counted = (count: number) => (count === 1 ? "1 row is" : `${count} rows are`);
  return [
    ...(references > 0 ? [`${counted(references)} left out: a reference has no scores`] : []),
    ...(unanswered > 0 ? [`${counted(unanswered)} left out: the cell has no response`] : []),
    ...(outdated > 0 ? [`${counted(outdated)} left out: the file has a failure, and the cell a response by now`] : []),
    ...(names.length > 0 ? [`columns without numbers are no scores: ${names.join(", ")}`] : []),
  ];
}
