import { flatRows, type Renderer } from "./renderer.ts";

/** JSON Lines: an object for each task and perspective. */
export const jsonl: Renderer = {
  extension: "jsonl",
  *render(run, tasks) {
    for (const row of flatRows(run, tasks)) yield `${JSON.stringify(row)}\n`;
  },
};
