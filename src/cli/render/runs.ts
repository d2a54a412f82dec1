import type { ExportedRuns } from "../../app/dataset/export-runs.ts";
import type { ExecutedRun } from "../../app/run/execute-runs.ts";
import type { NamedRuns } from "../../app/runs/named-runs.ts";
import { EXIT } from "../../errors.ts";
import { renderError } from "./error.ts";
import { modelOf } from "./lines.ts";
import { cut } from "./table.ts";

const WIDEST_LABEL = 28;

/**
 * What stands for each run of an experiment: its model and, where several have that, its id. A run alone has no label.
 * @returns the labels by the ids of the runs
 */
export function labelsOf({ experiment, runs }: NamedRuns): Map<string, string> {
  if (experiment === null) return new Map();
  const labels = runs.map((run) => cut(modelOf(run), WIDEST_LABEL));
  return new Map(
    runs.map(({ id }, at) => {
      const label = labels[at] ?? id;
      return [id, labels.filter((other) => other === label).length > 1 ? `${label} (${id})` : label];
    }),
  );
}

/** The exit code of several runs is the first of these that any of them has. */
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

/** Runs and their datasets for `--json`. */
export function exportedJson({ experiment, runs, datasets }: ExportedRuns): object {
  const [run, ...others] = runs;
  const [dataset] = datasets;
  if (experiment !== null) return { experiment, runs: runs.map((each, at) => ({ run: each, dataset: datasets[at] })) };
  return others.length === 0 ? { run, dataset } : { runs, dataset };
}
