import { UsageError } from "../../errors.ts";
import type { Config } from "../../config/schema.ts";
import { kindsOf } from "../../stats/kinds.ts";
import { endsOf, hasReferences } from "../../store/view/inputs.ts";
import { findRun, getRun, type RunRow, type RunSummaryRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import type { Condition, ViewedRun } from "../../view/rows.ts";
import { ViewError } from "../../view/view-error.ts";
import { summaryOf } from "../runs/summary.ts";

/** The most answers to one input that can be shown. */
const MOST_CELLS = 10_000;

/** @throws ViewError when there is no run with this id */
export function runOf(store: Store, id: string): RunRow & RunSummaryRow {
  const row = rowOf(store, id);
  const { agent_perspectives: perspectives, replicates = 1 } = row.config;
  if (perspectives.length * replicates <= MOST_CELLS) return row;
  throw new ViewError(
    400,
    `run ${id} has ${perspectives.length} conditions with ${replicates} replicates, which are too many to show`,
    "`datagen export` writes all of them.",
  );
}

function rowOf(store: Store, id: string): RunRow & RunSummaryRow {
  const found = findQuietly(store, id);
  const row = found === null ? null : getRun(store, found);
  // Only whole ids: with a prefix, a link would lead to another run once there is a second one.
  if (row?.publicId === id) return row;
  throw new ViewError(404, `there is no run ${JSON.stringify(id)}`, "It may have been deleted.");
}

/** Without the message of {@link findRun}, which has the path of the database. */
function findQuietly(store: Store, id: string): number | null {
  try {
    return findRun(store, id);
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

/** A run, without its rows. */
export function viewedRun(store: Store, id: string): ViewedRun {
  const row = runOf(store, id);
  return {
    run: summaryOf(row),
    conditions: conditionsOf(row.config),
    kinds: kindsOf(
      row.config.agent_perspectives.map(({ condition }) => condition),
      row.config.kinds,
    ),
    replicates: row.config.replicates ?? 1,
    hasReferences: hasReferences(store, row.id),
    inputs: { count: row.tasks, ...endsOf(store, row.id) },
  };
}

function conditionsOf({ agent_perspectives: perspectives }: Config): Condition[] {
  return perspectives.map(({ condition, reading }) => {
    const colon = condition.indexOf(":");
    return { condition, kind: colon === -1 ? null : condition.slice(0, colon).trimEnd(), hasReading: reading !== null };
  });
}
