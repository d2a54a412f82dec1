import { datasetRows } from "../../store/runs/dataset-rows.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import { count, emptyFigures } from "../../view/histogram.ts";
import type { ConditionFigures, Distributions } from "../../view/rows.ts";
import { type Answer, answersOf, optionsFor } from "./cells.ts";
import { codePoints } from "./shown-text.ts";
import type { Slice } from "./slice.ts";

/** The figures of each condition over the next inputs, as many as the slice has time for. */
export function distributionsOf(store: Store, run: RunRow, after: number, slice: Slice): Distributions {
  const conditions = run.config.agent_perspectives.map(emptyFigures);
  let looked = 0;
  for (const task of datasetRows(store, run.id, { ...optionsFor(run), from: after + 1 })) {
    for (const answer of answersOf(run, task)) {
      const figures = conditions[answer.condition];
      if (figures) add(figures, answer);
    }
    looked += 1;
    if (slice.isOver()) return { conditions, next: task.position, looked };
  }
  return { conditions, next: null, looked };
}

function add({ states, ...figures }: ConditionFigures, answer: Answer): void {
  const { state, failure, response } = answer;
  count(figures.length, response === null ? null : codePoints(response));
  count(figures.completionTokens, answer.completionTokens);
  count(figures.latencyMs, answer.latencyMs);
  count(figures.costNanoUsd, answer.costNanoUsd);
  if (failure === null) states[state === "succeeded" ? "succeeded" : "pending"] += 1;
  else states.failed[failure] = (states.failed[failure] ?? 0) + 1;
  if (answer.isTruncated) states.truncated += 1;
  if (answer.isReused) states.reused += 1;
}
