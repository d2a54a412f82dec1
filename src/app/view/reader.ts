import type { Store } from "../../store/file/store.ts";
import { dataVersion, inputAt } from "../../store/view/inputs.ts";
import { hasScores } from "../../store/runs/scores.ts";
import { someRuns } from "../../store/runs/runs.ts";
import type { Question } from "../../view/api.ts";
import type { Rows } from "../../view/rows.ts";
import { listRuns } from "../runs/list-runs.ts";
import { type RunSummary, summaryOf } from "../runs/summary.ts";
import { cellView } from "./cell.ts";
import { comparisonOf } from "./comparison.ts";
import { distributionsOf } from "./distributions.ts";
import { gridRows, taskAt, wholeRow } from "./grid.ts";
import { matchesOf } from "./matches.ts";
import { Partners } from "./partners.ts";
import { runOf, viewedRun } from "./run.ts";
import { beginSlice, type Slice } from "./slice.ts";

/** The status of a run changes without a write when its process ends, so totals are read again after this time. */
const STALE_MS = 5_000;

/** Statistics are computed by a thread of their own. */
type Asked = Exclude<Question, "statistics">;

type Answers = {
  [Q in Asked]: (slice: Slice, ...args: Parameters<Rows[Q]>) => Awaited<ReturnType<Rows[Q]>>;
};

/** Answers questions about runs from a database, each within a slice of time. */
export class Reader {
  readonly #store: Store;
  readonly #answers: Answers;
  #seen = { version: -1, at: 0 };

  constructor(store: Store) {
    this.#store = store;
    const partners = new Partners(store);
    const run = (id: string) => runOf(store, id);
    this.#answers = {
      runs: () => listRuns(store),
      run: (_, id) => viewedRun(store, id),
      grid: (slice, id, from, count) => gridRows(store, run(id), from, count, slice),
      row: (_, id, position) => wholeRow(store, run(id), position),
      cell: (_, id, ...place) => cellView(store, run(id), ...place),
      matches: (slice, id, filter, after) => matchesOf(store, run(id), filter, after, slice),
      distributions: (slice, id, after) => distributionsOf(store, run(id), after, slice),
      compare: (slice, a, b, after) => comparisonOf(store, [run(a), run(b)], after, partners, slice),
      partner: (slice, id, position, other) => {
        const [a, b] = [run(id), run(other)];
        const input = inputAt(store, a.id, taskAt(store, a, position).position);
        return input ? partners.findSoon(a, input, b, slice) : null;
      },
    };
  }

  /** @throws ViewError for what is not there @throws SliceOver when the same question must be asked again */
  answer<Q extends Asked>(question: Q, args: Parameters<Rows[Q]>): Awaited<ReturnType<Rows[Q]>> {
    // TypeScript does not relate the two members of one question.
    const answer = this.#answers[question] as (slice: Slice, ...args: unknown[]) => Awaited<ReturnType<Rows[Q]>>;
    return answer(beginSlice(), ...args);
  }

  /** What the statistics of a run follow from, as far as that is known without reading the run. */
  version(id: string): string {
    const row = runOf(this.#store, id);
    const { status: _, ...facts } = summaryOf(row);
    // Scores can be replaced without a trace in the run's totals.
    return JSON.stringify([facts, hasScores(this.#store, row.id) ? dataVersion(this.#store) : null]);
  }

  /** The totals of some runs; null if nothing can have changed since the last call. */
  totals(runs: readonly string[], isForced: boolean): RunSummary[] | null {
    const [version, now] = [dataVersion(this.#store), performance.now()];
    if (!isForced && version === this.#seen.version && now - this.#seen.at < STALE_MS) return null;
    this.#seen = { version, at: now };
    return someRuns(this.#store, runs).map(summaryOf);
  }
}
