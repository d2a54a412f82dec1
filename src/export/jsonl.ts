import { flatRows, type Renderer } from "./renderer.ts";

/** JSON Lines: an object for each task and perspective. */
export const jsonl: Renderer = {
  extension: "jsonl",
  isJson: true,
  isFlat: true,
  *render(run, tasks) {
    for (const row of flatRows(run, tasks)) yield `${JSON.stringify(row)}\n`;
  },
  isDataset: ({ head }, runId) =>
    runId === undefined ? /^\uFEFF?\{"run_id":/.test(head) : head.startsWith(`{"run_id":"${runId}"`),
};
