import { flatRows, type Renderer, type RunRows, type Style } from "./renderer.ts";

/** JSON Lines: an object for each task and perspective. */
export const jsonl: Renderer = {
  extension: "jsonl",
  isJson: true,
  isFlat: true,
  load: () => Promise.resolve(render),
  isDataset: ({ head }, runId) =>
    runId === undefined ? /^\uFEFF?\{"run_id":/.test(head) : head.startsWith(`{"run_id":"${runId}"`),
};

function* render(runs: readonly RunRows[], { scores }: Style): Generator<string> {
  for (const row of flatRows(runs, scores)) yield `${JSON.stringify(row)}\n`;
}
