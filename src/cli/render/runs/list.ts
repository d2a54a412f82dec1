import type { DeletedRuns } from "../../../app/runs/list-runs.ts";
import type { RunSummary } from "../../../app/runs/summary.ts";
import { modelOf, tokensOf } from "../lines.ts";
import { type Column, tableLines } from "../table.ts";
import { counted, minuteOf, money, number } from "../text.ts";

/** What the last line sums up. */
interface Totals {
  runs: readonly RunSummary[];
  deleted: DeletedRuns;
}

type RunColumn = Column<RunSummary> & { sum?: (totals: Totals) => string };

const COLUMNS: RunColumn[] = [
  { title: "RUN", value: (run) => run.id, sum: totalRuns, rank: 0 },
  { title: "NAME", value: (run) => run.name ?? "", rank: 1, least: 8 },
  { title: "EXPERIMENT", value: (run) => run.experiment ?? "", rank: 1, least: 10 },
  { title: "ORIGIN", value: (run) => (run.imported ? "imported" : ""), rank: 6 },
  { title: "STATUS", value: (run) => run.status, rank: 0 },
  { title: "TASK", value: (run) => run.task_type, rank: 4, least: 8 },
  { title: "MODEL", value: modelOf, rank: 2, least: 12 },
  {
    title: "CALLS",
    value: ({ calls }) => `${calls.succeeded}/${calls.total}`,
    sum: ({ runs }) => `${sumOf(runs, ({ calls }) => calls.succeeded)}/${sumOf(runs, ({ calls }) => calls.total)}`,
    align: "right",
    rank: 0,
  },
  { title: "FAILED", ...count(({ calls }) => calls.failed), rank: 3 },
  { title: "REUSED", ...count(({ calls }) => calls.reused), rank: 5 },
  { title: "CUT", ...count(({ calls }) => calls.truncated), rank: 6 },
  {
    title: "TOKENS",
    value: ({ tokens }) => tokensOf(tokens.total, tokens.estimated),
    sum: ({ runs }) =>
      tokensOf(
        sumOf(runs, ({ tokens }) => tokens.total),
        runs.some(({ tokens }) => tokens.estimated),
      ),
    align: "right",
    rank: 2,
  },
  { title: "COST", value: (run) => money(run.cost_usd), sum: totalCost, align: "right", rank: 2 },
  { title: "CREATED (UTC)", value: (run) => minuteOf(run.created_at), rank: 5 },
];

/**
 * Runs as a table no wider than `width`. Empty columns are left out. The last line has the totals; its cost includes that
 * of deleted runs.
 */
export function renderRuns(
  runs: readonly RunSummary[],
  width: number,
  deleted: DeletedRuns = { runs: 0, cost_usd: 0 },
): string {
  if (runs.length === 0) {
    const cost = deleted.runs === 0 ? "" : `\n${counted(deleted.runs, "deleted run")} cost ${money(deleted.cost_usd)}.`;
    return `No runs yet. Start one with \`datagen run CONFIG\`.${cost}`;
  }
  const isUnused: Record<string, boolean> = {
    NAME: runs.every(({ name }) => name === null),
    EXPERIMENT: runs.every(({ experiment }) => experiment === null),
    ORIGIN: runs.every(({ imported }) => !imported),
    REUSED: runs.every(({ calls }) => calls.reused === 0),
    CUT: runs.every(({ calls }) => calls.truncated === 0),
  };
  const columns = COLUMNS.filter(({ title }) => !isUnused[title]);
  const isTotalled = runs.length > 1 || deleted.runs > 0;
  const totals = isTotalled ? columns.map(({ sum }) => sum?.({ runs, deleted }) ?? "") : null;
  return [...tableLines(columns, runs, width, totals)].join("\n");
}

function totalRuns({ runs, deleted }: Totals): string {
  return `${counted(runs.length, "run")}${deleted.runs > 0 ? ` + ${number(deleted.runs)} deleted` : ""}`;
}

function count(of: (run: RunSummary) => number): Pick<RunColumn, "value" | "sum" | "align"> {
  return { value: (run) => number(of(run)), sum: ({ runs }) => number(sumOf(runs, of)), align: "right" };
}

function sumOf(runs: readonly RunSummary[], of: (run: RunSummary) => number): number {
  return runs.reduce((sum, run) => sum + of(run), 0);
}

function totalCost({ runs, deleted }: Totals): string {
  const costs = [...runs.map((run) => run.cost_usd), ...(deleted.runs > 0 ? [deleted.cost_usd] : [])];
  const known = costs.filter((cost) => cost !== null);
  if (known.length === 0) return money(null);
  const sum = money(known.reduce((total, cost) => total + cost, 0));
  return known.length < costs.length ? `${sum} + unknown` : sum;
}
