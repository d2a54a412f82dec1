import type { RunSummary } from "../../../app/runs/summary.ts";
import { modelOf, tokensOf } from "../lines.ts";
import { type Column, renderTable } from "../table.ts";
import { counted, money, number } from "../text.ts";

const COLUMNS: Column<RunSummary>[] = [
  { title: "RUN", value: (run) => run.id, total: (runs) => counted(runs.length, "run"), rank: 0 },
  { title: "NAME", value: (run) => run.name ?? "", rank: 6, least: 8 },
  { title: "ORIGIN", value: (run) => (run.imported ? "imported" : ""), rank: 5 },
  { title: "STATUS", value: (run) => run.status, rank: 0 },
  { title: "TASK", value: (run) => run.task_type, rank: 3, least: 8 },
  { title: "MODEL", value: modelOf, rank: 1, least: 12 },
  {
    title: "CALLS",
    value: ({ calls }) => `${calls.succeeded}/${calls.total}`,
    total: (runs) => `${sumOf(runs, ({ calls }) => calls.succeeded)}/${sumOf(runs, ({ calls }) => calls.total)}`,
    align: "right",
    rank: 0,
  },
  { title: "FAILED", ...count(({ calls }) => calls.failed), rank: 2 },
  { title: "REUSED", ...count(({ calls }) => calls.reused), rank: 4 },
  { title: "CUT", ...count(({ calls }) => calls.truncated), rank: 5 },
  {
    title: "TOKENS",
    value: ({ tokens }) => tokensOf(tokens.total, tokens.estimated),
    total: (runs) =>
      tokensOf(
        sumOf(runs, ({ tokens }) => tokens.total),
        runs.some(({ tokens }) => tokens.estimated),
      ),
    align: "right",
    rank: 1,
  },
  { title: "COST", value: (run) => money(run.cost_usd), total: totalCost, align: "right", rank: 1 },
  { title: "CREATED (UTC)", value: (run) => run.created_at.slice(0, 16).replace("T", " "), rank: 4 },
];

/** Runs as a table no wider than `width`. Empty columns are left out. */
export function renderRuns(runs: readonly RunSummary[], width: number): string {
  if (runs.length === 0) return "No runs yet. Start one with `datagen run CONFIG`.";
  const isUnused: Record<string, boolean> = {
    NAME: runs.every(({ name }) => name === null),
    ORIGIN: runs.every(({ imported }) => !imported),
    REUSED: runs.every(({ calls }) => calls.reused === 0),
    CUT: runs.every(({ calls }) => calls.truncated === 0),
  };
  return renderTable(
    COLUMNS.filter(({ title }) => !isUnused[title]),
    runs,
    width,
  );
}

function count(of: (run: RunSummary) => number): Pick<Column<RunSummary>, "value" | "total" | "align"> {
  return { value: (run) => number(of(run)), total: (runs) => number(sumOf(runs, of)), align: "right" };
}

function sumOf(runs: readonly RunSummary[], of: (run: RunSummary) => number): number {
  return runs.reduce((sum, run) => sum + of(run), 0);
}

function totalCost(runs: readonly RunSummary[]): string {
  const known = runs.filter((run) => run.cost_usd !== null);
  if (known.length === 0) return money(null);
  const sum = money(sumOf(known, (run) => run.cost_usd ?? 0));
  return known.length < runs.length ? `${sum} + unknown` : sum;
}
