import type { ExecutedRun } from "../../app/run/execute-experiment.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { EXIT } from "../../errors.ts";
import { renderError } from "./error.ts";
import { modelOf } from "./lines.ts";
import { cut } from "./table.ts";

const WIDEST_LABEL = 28;

/** What stands for each run of an experiment: its model and, where several have that, its id. */
export function labelsOf(runs: readonly RunSummary[]): Map<string, string> {
  const labels = runs.map((run) => cut(modelOf(run), WIDEST_LABEL));
  return new Map(
    runs.map(({ id }, at) => {
      const label = labels[at] ?? id;
      return [id, labels.filter((other) => other === label).length > 1 ? `${label} (${id})` : label];
    }),
  );
}

/** The exit code of an experiment: the first of these that any of its runs has. */
const CODES = [EXIT.interrupted, EXIT.bug, EXIT.stopped, EXIT.usage, EXIT.someFailed];

export function exitCodeOf(executed: readonly ExecutedRun[]): number {
  const codes = new Set<number>(
    executed.map(({ run, error }) => {
      if (error === undefined) return run.calls.failed > 0 ? EXIT.someFailed : EXIT.done;
      return renderError(error).exitCode;
    }),
  );
  return CODES.find((code) => codes.has(code)) ?? EXIT.done;
}
