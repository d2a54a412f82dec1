import type { TaskRow } from "../store/runs/dataset-rows.ts";
import { cellsOf, type DatasetRun } from "./renderer.ts";

/** What part of a run a dataset has, and how. */
export interface Selection {
  /** Leaves out inputs with a missing response; a missing reference counts, if the dataset has references. */
  completeOnly?: boolean | undefined;
  /** Takes only this replicate of each perspective, counted from 1. */
  replicate?: number | undefined;
  /** Writes U+FFFD instead of lone surrogates, which UTF-8 cannot encode. */
  replaceSurrogates?: boolean | undefined;
}

/** Counts cells of one kind, and keeps the places of the first ones. */
export class Found {
  count = 0;
  readonly first: string[] = [];

  add(place: string): void {
    this.count += 1;
    if (this.count <= 5) this.first.push(place);
  }
}

/** The findings from reading a run's tasks. */
export interface Findings {
  inputs: number;
  leftOut: number;
  /** Cells with a lone surrogate. */
  surrogates: Found;
  /** Cells with a NUL. */
  nuls: Found;
  /** Cells that are too long for a spreadsheet. */
  long: Found;
}

/** A spreadsheet cuts longer cells without a message. */
const MOST_IN_A_CELL = 32_767;

export function noFindings(): Findings {
  return { inputs: 0, leftOut: 0, surrogates: new Found(), nuls: new Found(), long: new Found() };
}

/**
 * The run as the dataset describes it.
 * @internal
 */
export function selectedRun(run: DatasetRun, { replicate, replaceSurrogates }: Selection, found: Findings): DatasetRun {
  const { replicates: _, ...config } = run.config;
  const chosen = replicate === undefined ? run : { ...run, config, replicate };
  const { config: asked, name, model, imported } = chosen;
  if ([asked, name, model, imported].every((value) => isWellFormed(value))) return chosen;
  found.surrogates.add("the config or the metadata");
  return replaceSurrogates
    ? { ...chosen, ...(wellFormed({ config: asked, name, model, imported }) as object) }
    : chosen;
}

/**
 * The tasks that the dataset holds, one at a time.
 * @param run as {@link selectedRun} gives it
 * @internal
 */
export function* selectedTasks(
  run: DatasetRun,
  tasks: Iterable<TaskRow>,
  { completeOnly, replicate, replaceSurrogates }: Selection,
  found: Findings,
): Generator<TaskRow> {
  for (const task of tasks) {
    found.inputs += 1;
    const cells = replicate === undefined ? task.cells : task.cells.filter((cell) => cell.replicate === replicate);
    const chosen = cells === task.cells ? task : { ...task, cells };
    if (completeOnly && cellsOf(run, chosen).some(({ response }) => response === null)) {
      found.leftOut += 1;
      continue;
    }
    const isFound = examine(run, chosen, found);
    yield isFound && replaceSurrogates ? (wellFormed(chosen) as TaskRow) : chosen;
  }
}

/** Records the cells that cause problems in other programs. @returns whether any has a lone surrogate */
function examine(run: DatasetRun, { position, input, reference, columns, cells }: TaskRow, found: Findings): boolean {
  let isFound = false;
  const look = (text: string | null, place: () => string) => {
    if (text === null) return;
    if (!text.isWellFormed()) {
      isFound = true;
      found.surrogates.add(place());
    }
    if (text.includes("\0")) found.nuls.add(place());
    if (text.length > MOST_IN_A_CELL) found.long.add(place());
  };
  look(input, () => `the context of task ${position}`);
  look(reference, () => `the reference of task ${position}`);
  if (!isWellFormed(columns)) {
    isFound = true;
    found.surrogates.add(`the columns of task ${position}`);
  }
  for (const { text, step, perspective, replicate } of cells) {
    look(text, () => {
      const { agent_perspectives: perspectives, replicates = 1 } = run.config;
      const sample = replicates > 1 ? `, replicate ${replicate}` : "";
      const what = step === "reading" ? "preparation" : "response";
      return `the ${what} of task ${position}, ${JSON.stringify(perspectives[perspective]?.condition)}${sample}`;
    });
  }
  return isFound;
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, member]) => key.isWellFormed() && isWellFormed(member));
}

function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(wellFormed);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key.toWellFormed(), wellFormed(member)]));
}
