/**
 * The names of what is known of one cell of a dataset: an input, a condition and a replicate. The view `v_answers`, JSON
 * Lines and CSV have them in this order.
 */
export const ANSWER_COLUMNS = [
  "run_id",
  /** The row of the input file, from 0. */
  "task",
  "condition",
  "replicate",
  /** The input. */
  "context",
  "reference",
  /** The notes, if the perspective has a reading. */
  "preparation",
  "response",
  /** Why there is no response: `pending`, a reason, or `reading: ` and a reason. */
  "failure",
  "finish_reason",
  /** The provider's own word for it. */
  "finish_reason_raw",
  /** Tokens are those of the answers, notes and response together, also of reused answers. */
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "reasoning_tokens",
  "run_name",
  "model",
  /** The same for the same input in every run and database: the first 16 hex digits of its SHA-256. */
  "id",
  /** The part of the condition before its first colon; the condition if it has none. */
  "kind",
  /** What the model said when it refused. */
  "refusal",
  /** What the requests of this run for the cell cost, failed ones included: 0 for reused answers, null if unknown. */
  "cost_usd",
  /** How long the requests took that gave notes and response; null if this run sent none. */
  "latency_ms",
  /** The run whose request gave the response; null if it was deleted, or if there is no response. */
  "origin_run",
] as const;

export type AnswerColumn = (typeof ANSWER_COLUMNS)[number];
