import { Distribution } from "../../stats/distribution.ts";
import type { GroupStatistics, ScoreSpread } from "../../stats/statistics.ts";
import type { Store } from "../../store/file/store.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import { scoreNames, scoreValues } from "../../store/runs/scores.ts";

/** A group, and its conditions as they are numbered over all runs. */
interface ScoredGroup {
  statistics: GroupStatistics;
  members: readonly number[];
}

/**
 * The statistics of groups, with those of the scores that were imported, if the runs have any. Scores are read one after the
 * other, because all their values together may take much memory.
 * @param offsets where the conditions of each run begin
 */
export function withScores(
  store: Store,
  rows: readonly RunRow[],
  offsets: readonly number[],
  groups: readonly ScoredGroup[],
): GroupStatistics[] {
  const names = [...new Set(rows.flatMap(({ id }) => scoreNames(store, id)))].toSorted();
  if (names.length === 0) return groups.map(({ statistics }) => statistics);
  const spreads = groups.map((): [string, ScoreSpread][] => []);
  for (const name of names) {
    const conditions = valuesOf(store, rows, offsets, name);
    for (const [at, { members }] of groups.entries()) {
      const all = new Distribution().addAll(members.flatMap((member) => conditions.get(member) ?? []));
      spreads[at]?.push([name, { n: all.size, ...all.spread() }]);
    }
  }
  return groups.map(({ statistics }, at) => ({ ...statistics, scores: Object.fromEntries(spreads[at] ?? []) }));
}

function valuesOf(
  store: Store,
  rows: readonly RunRow[],
  offsets: readonly number[],
  name: string,
): Map<number, Distribution> {
  const found = new Map<number, Distribution>();
  for (const [at, { id }] of rows.entries()) {
    for (const [position, value] of scoreValues(store, id, name)) {
      const condition = (offsets[at] ?? 0) + position;
      let values = found.get(condition);
      if (!values) found.set(condition, (values = new Distribution()));
      values.add(value);
    }
  }
  return found;
}
