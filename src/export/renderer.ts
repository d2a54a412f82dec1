import { kindOf } from "../config/kinds.ts";
import type { Part } from "../plan/shard.ts";
import type { AnswerRow } from "../store/answer-columns.ts";
import type { OtherSettings } from "../store/runs/answers.ts";
import type { RunRow } from "../store/runs/runs.ts";
import type { CellRow, TaskRow } from "../store/runs/dataset-rows.ts";

/** The run that a dataset describes. */
export type DatasetRun = RunRow & {
  otherSettings: OtherSettings[];
  costUsd: number | null;
  part: Part | null;
  /** Whether prompts use the references. */
  usesReference: boolean;
  /** Whether all its inputs have ids in their file, and these are whole numbers. */
  hasNumericIds: boolean;
  /** The names of its scores. */
  scores: readonly string[];
  /** The replicate that the dataset has, if it does not have all. */
  replicate?: number;
};

/** A run with its tasks, which can be read once. */
export interface RunRows {
  run: DatasetRun;
  tasks: Iterable<TaskRow>;
}

/** A piece of a file: text, which is written as UTF-8, or bytes. */
export type Piece = string | Uint8Array;

/** The beginning and the end of a file, read as UTF-8. */
export interface Ends {
  head: string;
  tail: string;
}

/** Takes rows one at a time, and yields pieces of a file. Always renders the same rows to the same bytes. */
export type Render = (runs: readonly RunRows[], style: Style) => Iterable<Piece>;

/** The third axis of datagen: how a dataset is written. */
export interface Renderer {
  /** The ending of the file's name, without a dot. */
  extension: string;
  /** Whether its texts are strings of JSON, which has an escape for every character. */
  isJson: boolean;
  /** Whether it has a row for each task and perspective, so that a file can have several runs. */
  isFlat: boolean;
  /** Loads the function that renders, with the packages that it needs. Only a flat format takes several runs. */
  load(): Promise<Render>;
  /** Whether a file is a dataset of this format; with an id, whether it is the dataset of that run. */
  isDataset(ends: Ends, runId?: string): boolean;
}

export interface Style {
  /** Writes CSV that is safe in a spreadsheet: with a byte order mark, and without formulas. */
  csvSafe: boolean;
  /** The names of the scores that rows have behind their other columns. */
  scores: readonly string[];
}

/** The cell of a task and a perspective: the response, and the notes if there is a reading. */
export interface Cell {
  condition: string;
  replicate: number;
  reading: CellRow | null;
  /** Null for the reference, which has no call. */
  strategy: CellRow | null;
  preparation: string | null;
  response: string | null;
}

const REFERENCE = { condition: "Reference", reading: null, strategy: null };

/** The perspective of the references, if the dataset has it; of an imported run, as the file had it. */
export function referenceOf({ config, imported }: RunRow): Record<string, unknown> | null {
  return imported?.reference ?? (config.add_references ? REFERENCE : null);
}

/** The cells of a task in the order of the dataset's perspectives; the reference comes first, if the config adds it. */
export function cellsOf(run: RunRow, task: TaskRow): Cell[] {
  const { config } = run;
  const cells: Cell[] = [];
  let reading: CellRow | null = null;
  for (const row of task.cells) {
    if (row.step === "reading") {
      reading = row;
      continue;
    }
    const condition = config.agent_perspectives[row.perspective]?.condition ?? "";
    const preparation = reading?.text ?? null;
    cells.push({ condition, replicate: row.replicate, reading, strategy: row, preparation, response: row.text });
    reading = null;
  }
  const first = referenceOf(run);
  if (first === null) return cells;
  const reference: Cell = {
    condition: String(first["condition"]),
    replicate: 1,
    reading: null,
    strategy: null,
    preparation: null,
    response: task.reference,
  };
  return [reference, ...cells];
}

/** The calls of a cell: that of its notes, if it has any, and that of its response. */
export function callsOf({ reading, strategy }: Cell): CellRow[] {
  return [reading, strategy].filter((call) => call !== null);
}

/** A row of the flat formats: what is known of a cell, and its scores. */
export type FlatRow = AnswerRow & Record<string, string | number | null>;

/** The rows of the flat formats: one for each task and perspective. Each row can be read alone. */
export function* flatRows(runs: readonly RunRows[], scores: readonly string[]): Generator<FlatRow> {
  for (const { row } of flatCells(runs, scores)) yield row;
}

/** As {@link flatRows}, with the task of each row. */
export function* flatCells(
  runs: readonly RunRows[],
  scores: readonly string[],
): Generator<{ row: FlatRow; task: TaskRow }> {
  for (const { run, tasks } of runs) {
    for (const task of tasks) {
      for (const cell of cellsOf(run, task)) {
        const own = scores.map((name) => [name, cell.strategy?.scores?.get(name) ?? null]);
        yield { row: { ...flatRow(run, task, cell), ...Object.fromEntries(own) } as FlatRow, task };
      }
    }
  }
}

/** The row of a cell, with its members in the order of `ANSWER_COLUMNS`. */
export function flatRow(run: RunRow, task: TaskRow, cell: Cell): AnswerRow {
  const { reading, strategy } = cell;
  return {
    run_id: run.publicId,
    task: task.position,
    condition: cell.condition,
    replicate: cell.replicate,
    context: task.input,
    reference: task.reference,
    preparation: cell.preparation,
    response: cell.response,
    failure: failureOf(cell),
    finish_reason: strategy?.finishReason ?? null,
    finish_reason_raw: strategy?.finishReasonRaw ?? strategy?.finishReason ?? null,
    prompt_tokens: sum(cell, "promptTokens"),
    completion_tokens: sum(cell, "completionTokens"),
    cached_tokens: sum(cell, "cachedTokens"),
    reasoning_tokens: sum(cell, "reasoningTokens"),
    run_name: run.name,
    model: run.model,
    id: task.id,
    kind: kindOf(cell.condition),
    refusal: refusalOf(cell),
    cost_usd: costOf(run, cell),
    latency_ms: latencyOf(strategy, reading),
    origin_run: strategy?.requests?.originRun ?? null,
  };
}

/** The cost of a cell in US dollars; null if any part of it is unknown. An imported answer has a cost that nobody knows. */
function costOf({ imported }: RunRow, { reading, strategy }: Cell): number | null {
  const requests = [reading, strategy].flatMap((call) => call?.requests ?? []);
  if (imported !== null && strategy?.state === "succeeded" && requests.every(({ count }) => count === 0)) return null;
  let nanoUsd = 0;
  for (const { costNanoUsd } of requests) {
    if (costNanoUsd === null) return null;
    nanoUsd += costNanoUsd;
  }
  return nanoUsd / 1e9;
}

function latencyOf(strategy: CellRow | null, reading: CellRow | null): number | null {
  const ms = strategy?.requests?.latencyMs ?? null;
  return ms === null ? null : ms + (reading?.requests?.latencyMs ?? 0);
}

/** Why a cell has no response; null if it has one. */
function failureOf({ reading, strategy, response }: Cell): string | null {
  if (strategy === null || response !== null) return null;
  if (strategy.state === "pending") return "pending";
  return reading?.state === "failed" ? `reading: ${reading.failure}` : strategy.failure;
}

/** The words with which the model refused the cell, or its notes; null if it has a response or failed otherwise. */
function refusalOf({ reading, strategy, response }: Cell): string | null {
  return strategy === null || response !== null ? null : (reading?.refusal ?? strategy.refusal);
}

/** Tokens of a cell's answers, notes and response together. */
function sum(
  { reading, strategy }: Cell,
  name: "promptTokens" | "completionTokens" | "cachedTokens" | "reasoningTokens",
): number {
  return (reading?.[name] ?? 0) + (strategy?.[name] ?? 0);
}
