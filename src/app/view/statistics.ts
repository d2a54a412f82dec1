import type { Store } from "../../store/file/store.ts";
import type { Difference } from "../../stats/statistics.ts";
import type { Computing, Figures, SuspectCell } from "../../view/rows.ts";
import { findSuspects } from "../stats/find-suspects.ts";
import { measureRun } from "../stats/run-statistics.ts";
import { shownText } from "./shown-text.ts";

/** How many differences of each figure the page has, and how many suspects. */
const MOST_DIFFERENCES = 20;
const MOST_SUSPECTS = 100;

/** How much of a suspect the page shows, in code points. */
const SUSPECT_CHARACTERS = 200;

/** The figures of a run, as the page has them. @param onProgress is called very often */
export async function figuresOf(
  store: Store,
  run: string,
  onProgress: (progress: Omit<Computing, "state">) => void,
): Promise<Figures> {
  const { figures, compare } = await measureRun(store, run, { compared: ["condition", "kind"], onProgress });
  const names = figures.conditions.map(({ condition }) => condition ?? "");
  const suspects: Figures["suspects"] = { count: 0, first: [] };
  onProgress({ step: "suspects", done: 0, total: 0 });
  for (const { task, condition, replicate, reasons, response } of findSuspects(store, [run])) {
    suspects.count += 1;
    if (suspects.first.length >= MOST_SUSPECTS) continue;
    const cell: SuspectCell = {
      position: task,
      condition: names.indexOf(condition),
      replicate,
      reasons,
      response: shownText(response, SUSPECT_CHARACTERS),
    };
    suspects.first.push(cell);
  }
  const differences = { condition: largest(compare("condition")), kind: largest(compare("kind")) };
  return { ...figures, differences, suspects };
}

/** The largest differences of each figure, the largest first. */
function largest(differences: readonly Difference[]): Difference[] {
  const size = ({ d }: Difference) => Math.abs(d ?? 0);
  const sorted = differences.toSorted((one, other) => size(other) - size(one));
  const counts = new Map<string, number>();
  return sorted.filter(({ figure }) => {
    const count = (counts.get(figure) ?? 0) + 1;
    counts.set(figure, count);
    return count <= MOST_DIFFERENCES;
  });
}
