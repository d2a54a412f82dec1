import type { RunSummary } from "../../app/runs/summary.ts";
import type { Condition } from "../rows.ts";
import { modelOf, visible } from "./text.tsx";

/** How many choices a list has; more would make the page slow. */
const MOST_OPTIONS = 150;

/** The conditions to choose from, by their numbers; of very many those near the chosen one. */
export function ConditionOptions({ conditions, chosen }: { conditions: readonly Condition[]; chosen: number }) {
  const first = Math.max(0, Math.min(chosen - MOST_OPTIONS / 2, conditions.length - MOST_OPTIONS));
  return (
    <>
      {conditions.slice(first, first + MOST_OPTIONS).map(({ condition }, at) => (
        <option key={first + at} value={first + at}>
          {visible(condition)}
        </option>
      ))}
    </>
  );
}

/** The newest runs to choose from, and the chosen one. */
export function RunOptions({ runs, chosen }: { runs: readonly RunSummary[]; chosen: string | null }) {
  const shown = runs.filter(({ id }, at) => at < MOST_OPTIONS || id === chosen);
  return (
    <>
      {shown.map(({ id, name, provider, model }) => (
        <option key={id} value={id}>
          {[id, ...(name === null ? [] : [visible(name)]), visible(modelOf({ provider, model }))].join(" · ")}
        </option>
      ))}
    </>
  );
}
