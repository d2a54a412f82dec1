import { type Suspicion, SuspectFinder } from "../../stats/suspects.ts";
import { atOneMoment } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { runsNamed } from "../../store/runs/runs.ts";
import { statTasks } from "./stat-tasks.ts";

/** An answer to look at. */
export interface SuspectAnswer {
  /** The id of the run. */
  run: string;
  /** The number of the input, from 0. */
  task: number;
  id: string | number;
  condition: string;
  replicate: number;
  reasons: Suspicion[];
  response: string;
}

/**
 * The answers of runs that may be wrong, in the order of the dataset. Each iteration reads the runs again; the store must
 * not be written to before it ends.
 * @throws UsageError when there is no such run, or one is given twice
 */
export function findSuspects(store: Store, runs: readonly string[]): Iterable<SuspectAnswer> {
  const rows = runsNamed(store, runs);
  const finders = rows.map(() => new SuspectFinder());
  const learnt = new Set<number>();
  function* all(): Generator<SuspectAnswer> {
    for (const [at, row] of rows.entries()) {
      const finder = finders[at] as SuspectFinder;
      if (!learnt.has(at)) for (const task of statTasks(store, row)) finder.learn(task);
      learnt.add(at);
      for (const task of statTasks(store, row)) {
        for (const { cell, reasons } of finder.in(task)) {
          yield {
            run: row.publicId,
            task: task.position,
            id: task.id,
            condition: row.config.agent_perspectives[cell.condition]?.condition ?? "",
            replicate: cell.replicate,
            reasons,
            response: cell.response ?? "",
          };
        }
      }
    }
  }
  return { [Symbol.iterator]: () => atOneMoment(store, all) };
}
