/**
 * What is known of one cell of a dataset: an input, a condition and a replicate. JSON Lines, CSV, `datagen show --json` and
 * SQL views have these names in this order. The sentences say what each one means; docs/datasets.md repeats them.
 */
export const ANSWER_COLUMN_MEANINGS = {
  run_id: "The run.",
  task: "The number of the input, from 0. It is the row of the file, unless the config draws or leaves out rows.",
  condition: "The condition of the perspective; `Reference` for the rows of references.",
  replicate: "The number of the sample, from 1.",
  context: "The input.",
  reference: "The reference of the input.",
  preparation: "The notes, if the perspective has a reading.",
  response: "What the model answered; null if the call failed or is pending.",
  failure: "Why there is no response: `pending`, a reason, or `reading: ` and the reason of the notes.",
  finish_reason: "How the response ended: `stop`, `length` and so on, the same for all providers.",
  finish_reason_raw: "The provider's own word for it.",
  prompt_tokens: "The prompt tokens of the answers, notes and response together, also of reused ones.",
  completion_tokens: "The completion tokens of the same answers.",
  cached_tokens: "The part of the prompt tokens that came from the provider's cache.",
  reasoning_tokens: "The part of the completion tokens that was reasoning.",
  run_name: "The name that the run was given.",
  model: "The model that the run asked.",
  id: "The id that the input has in its file. Without one, the first 16 hex digits of its SHA-256: the same everywhere.",
  kind: "The part of the condition before its first colon; the condition if it has none.",
  refusal: "What the model said when it refused to answer.",
  cost_usd:
    "What the requests of this run for the cell cost, failed ones included: 0 for reused answers, null if unknown.",
  latency_ms: "How long the live requests took that gave notes and response; null if this run sent none.",
  origin_run: "The run whose request gave the response; null if it was deleted, or if there is no response.",
} as const satisfies Record<keyof AnswerRow, string>;

export const ANSWER_COLUMNS = Object.keys(ANSWER_COLUMN_MEANINGS) as readonly (keyof AnswerRow)[];

/** One cell of a dataset, as JSON Lines has it. */
export interface AnswerRow {
  run_id: string;
  task: number;
  condition: string;
  replicate: number;
  context: string;
  reference: string | null;
  preparation: string | null;
  response: string | null;
  failure: string | null;
  finish_reason: string | null;
  finish_reason_raw: string | null;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  run_name: string | null;
  model: string;
  id: string | number;
  kind: string;
  refusal: string | null;
  cost_usd: number | null;
  latency_ms: number | null;
  origin_run: string | null;
}
