import { type Cell, cellsOf, flatRow } from "../../export/renderer.ts";
import type { StatCell, StatTask } from "../../stats/stream.ts";
import { datasetRows, type TaskRow } from "../../store/runs/dataset-rows.ts";
import type { Store } from "../../store/file/store.ts";
import type { RunRow } from "../../store/runs/runs.ts";

/**
 * The inputs of a run with their cells, one at a time. Cells of references, which nobody answered, are left out.
 * @param from the position of the input to begin with
 */
export function* statTasks(store: Store, run: RunRow, from = 0): Generator<StatTask> {
  const { reasoning_tags: tags } = run.config.model_config;
  for (const task of datasetRows(store, run.id, { tags, withRequests: true, from })) {
    const { position, id, input, reference } = task;
    const cells = cellsOf(run, task).flatMap((cell) => statCell(run, task, cell) ?? []);
    yield { position, id, input, reference, cells };
  }
}

function statCell(run: RunRow, task: TaskRow, cell: Cell): StatCell | null {
  const { strategy } = cell;
  if (strategy === null) return null;
  const { response, failure, cost_usd: cost, latency_ms: latencyMs, origin_run: origin } = flatRow(run, task, cell);
  const { completionTokens, reasoningTokens, origin: way } = strategy;
  // A dataset that was imported says how many tokens its answers have together, and not each by itself.
  const areTokensKnown = completionTokens !== null && way !== "imported";
  return {
    condition: strategy.perspective,
    replicate: cell.replicate,
    answerId: strategy.answerId,
    response,
    failure,
    isTruncated: strategy.finishReason === "length",
    isReused: response !== null && run.imported === null && origin !== run.publicId,
    tokens: areTokensKnown ? Math.max(0, completionTokens - (reasoningTokens ?? 0)) : null,
    costNanoUsd: cost === null ? null : Math.round(cost * 1e9),
    latencyMs,
  };
}
