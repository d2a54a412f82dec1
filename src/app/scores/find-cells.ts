import { referenceOf } from "../../export/renderer.ts";
import type { Row } from "../../sources/source.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { ScoreDraft, ScoredCall } from "../../store/runs/scores.ts";

/** The cell that a row names. */
export interface FoundCell {
  run: RunRow;
  /** Null for a reference. */
  call: ScoredCall | null;
}

export interface CellFinder {
  /** @returns a problem, without the place, if the row names no cell, or one that an earlier row has */
  find(row: Row, index: number): FoundCell | string;
}

/** Finds the cells that rows name, in any of these runs. */
export function cellFinder(runs: readonly RunRow[], draft: ScoreDraft): CellFinder {
  const perspectives = new Map<string, number | undefined>();

  function perspectiveOf(runId: number, condition: string): number | undefined {
    const key = `${runId} ${condition}`;
    if (!perspectives.has(key)) perspectives.set(key, draft.perspective(runId, condition));
    return perspectives.get(key);
  }

  /** The position of the input that a row names, or a problem. */
  function positionOf({ id: runId, publicId }: RunRow, row: Row): number | string {
    const { task = null, id = null } = row;
    if (task !== null)
      return wholeNumber(task) ?? `has the task ${JSON.stringify(text(task))}, which is no whole number`;
    if (id === null) return "has neither id nor task";
    const [position, other] = draft.positionsOf(runId, text(id));
    if (position === undefined) return `has the id ${JSON.stringify(text(id))}, which no input of run ${publicId} has`;
    return other === undefined
      ? position
      : `has the id ${JSON.stringify(text(id))}, which several inputs of run ${publicId} have; name the input by task`;
  }

  return {
    find(row, index) {
      const run = runOf(runs, row);
      if (typeof run === "string") return run;
      const condition = row["condition"] ?? null;
      if (condition === null) return "has no condition";
      const replicate = wholeNumber(row["replicate"] ?? 1);
      if (replicate === null) return "has a replicate that is no whole number";
      const perspectiveId = perspectiveOf(run.id, text(condition));
      if (perspectiveId === undefined) {
        if (text(condition) === referenceOf(run)?.["condition"]) return { run, call: null };
        return `has the condition ${JSON.stringify(text(condition))}, which run ${run.publicId} does not have`;
      }
      const position = positionOf(run, row);
      if (typeof position === "string") return position;
      const call = draft.find(run.id, position, perspectiveId, replicate);
      const cell = `task ${position}, ${JSON.stringify(text(condition))}, replicate ${replicate}`;
      if (!call) return `is of ${cell}, which run ${run.publicId} does not have`;
      const id = row["id"] ?? null;
      if (id !== null && text(id) !== call.inputId) {
        return `has the id ${JSON.stringify(text(id))}, but task ${position} of run ${run.publicId} has ${JSON.stringify(call.inputId)}`;
      }
      const earlier = draft.claim(call.callId, index);
      return earlier === null ? { run, call } : `is of ${cell}, as is row ${earlier}`;
    },
  };
}

/** The run that a row is of: of several, the one that it names with `run_id` or `model`. */
function runOf(runs: readonly RunRow[], row: Row): RunRow | string {
  const { run_id: id = null, model = null } = row;
  const found = runs.filter(
    (run) => (id === null || run.publicId === text(id)) && (model === null || run.model === text(model)),
  );
  const [only, ...others] = found;
  if (only && others.length === 0) return only;
  if (only) return `is of any of ${found.length} runs; name one with run_id${model === null ? " or model" : ""}`;
  const named = [
    ...(id === null ? [] : [`the run_id ${JSON.stringify(text(id))}`]),
    ...(model === null ? [] : [`the model ${JSON.stringify(text(model))}`]),
  ].join(" and ");
  return runs.length === 1 ? `has ${named}, and is not of run ${runs[0]?.publicId}` : `has ${named}, as no run has`;
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? "");
}

/** A whole number from 0, as a number or in digits; null for everything else. Data frames turn such columns into reals. */
function wholeNumber(value: unknown): number | null {
  const isNumber = typeof value === "number" || typeof value === "bigint" || /^\d+(\.0+)?$/.test(text(value));
  const number = isNumber ? Number(value) : NaN;
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
}
