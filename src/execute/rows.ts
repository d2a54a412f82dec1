import type { PromptRow } from "../plan/prompt.ts";
import type { Store } from "../store/file/store.ts";
import { promptRow } from "../store/runs/prompt-row.ts";

/** Reads the values of inputs. Calls of the same input come one after the other, so only the last one is kept. */
export function createRowOf(store: Store): (taskId: number) => PromptRow {
  let last: { taskId: number; row: PromptRow } | null = null;
  return (taskId) => {
    if (last?.taskId !== taskId) last = { taskId, row: promptRow(store, taskId) };
    return last.row;
  };
}
