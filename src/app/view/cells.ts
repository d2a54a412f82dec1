import { type Cell, cellsOf, flatRow } from "../../export/renderer.ts";
import type { CellRow, DatasetRowOptions, TaskRow } from "../../store/runs/dataset-rows.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { State } from "../../view/rows.ts";

/** What is known of the answer of one replicate under one condition. */
export interface Answer {
  /** The number of the condition, from 0. */
  condition: number;
  /** From 1. */
  replicate: number;
  cell: Cell;
  strategy: CellRow;
  state: State;
  /** Null unless it failed. */
  failure: string | null;
  response: string | null;
  isTruncated: boolean;
  isReused: boolean;
  isImported: boolean;
  /** Of notes and response together; null while there is none, and if it is unknown. */
  completionTokens: number | null;
  latencyMs: number | null;
  /** In billionths of a US dollar; null while the call is pending, and if it is unknown. */
  costNanoUsd: number | null;
}

/** How the rows of a run are read, so that {@link answersOf} can tell everything. */
export function optionsFor({ config }: RunRow): DatasetRowOptions {
  return { tags: config.model_config.reasoning_tags, withRequests: true };
}

/** The answers to an input, by condition and replicate. */
export function answersOf(run: RunRow, task: TaskRow): Answer[] {
  return cellsOf(run, task).flatMap((cell) =>
    cell.strategy === null ? [] : [answerOf(run, task, cell, cell.strategy)],
  );
}

function answerOf(run: RunRow, task: TaskRow, cell: Cell, strategy: CellRow): Answer {
  const {
    failure,
    completion_tokens: completionTokens,
    latency_ms: latencyMs,
    cost_usd: costUsd,
  } = flatRow(run, task, cell);
  const { state, origin, perspective, replicate } = strategy;
  const isImported = origin === "imported";
  const isAnswered = state === "succeeded";
  return {
    condition: perspective,
    replicate,
    cell,
    strategy,
    state,
    failure: state === "failed" ? failure : null,
    response: cell.response,
    isTruncated: strategy.finishReason === "length",
    isReused: isAnswered && run.imported === null && strategy.requests?.haveSucceeded === false,
    isImported,
    completionTokens: isAnswered && !isImported ? completionTokens : null,
    latencyMs,
    costNanoUsd: state === "pending" || costUsd === null ? null : Math.round(costUsd * 1e9),
  };
}
