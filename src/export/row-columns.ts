import { ANSWER_COLUMNS, type AnswerRow } from "../store/answer-columns.ts";
import { flatCells, type RunRows } from "./renderer.ts";

export type ColumnType = "text" | "integer" | "real";

/** A column of a typed format. */
export interface RowColumn {
  name: string;
  type: ColumnType;
}

/** A row of a typed format: the values by the names of its columns. */
export type TypedRow = Record<string, string | number | null>;

/** The types of the names that JSON Lines have, but for ids, which are whole numbers or texts. */
const TYPES: Record<Exclude<keyof AnswerRow, "id">, ColumnType> = {
  run_id: "text",
  task: "integer",
  condition: "text",
  replicate: "integer",
  context: "text",
  reference: "text",
  preparation: "text",
  response: "text",
  failure: "text",
  finish_reason: "text",
  finish_reason_raw: "text",
  prompt_tokens: "integer",
  completion_tokens: "integer",
  cached_tokens: "integer",
  reasoning_tokens: "integer",
  run_name: "text",
  model: "text",
  kind: "text",
  refusal: "text",
  cost_usd: "real",
  latency_ms: "integer",
  origin_run: "text",
};

/** The name of the column with the values of other columns that prompts used, as JSON. */
export const USED_COLUMNS = "columns";

/** The names of JSON Lines whose values are texts. */
export function textColumns(): string[] {
  return Object.entries(TYPES).flatMap(([name, type]) => (type === "text" ? [name] : []));
}

/** The columns that these runs have together. Ids are whole numbers only if all of them are. */
export function rowColumns(runs: readonly RunRows[], scores: readonly string[]): RowColumn[] {
  const id = runs.every(({ run }) => run.hasNumericIds) ? "integer" : "text";
  return [
    ...ANSWER_COLUMNS.map((name) => ({ name, type: name === "id" ? id : TYPES[name] })),
    { name: USED_COLUMNS, type: "text" },
    ...scores.map((name) => ({ name, type: "real" as const })),
  ];
}

/** The rows of these runs. */
export function* typedRows(runs: readonly RunRows[], scores: readonly string[]): Generator<TypedRow> {
  for (const { row, task } of flatCells(runs, scores)) {
    const used = Object.keys(task.columns).length === 0 ? null : JSON.stringify(task.columns);
    yield { ...row, [USED_COLUMNS]: used };
  }
}
