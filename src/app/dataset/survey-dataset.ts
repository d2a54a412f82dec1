import type { DatasetReport, GivenOrigin } from "../../config/from-dataset.ts";
import type { DatasetTask } from "../../dataset/dataset.ts";
import { isErrorText, isLikeErrorText } from "../../dataset/error-texts.ts";
import { IMPORTED_MISSING } from "../../store/runs/calls.ts";
import type { ImportedCall } from "../../store/import/import.ts";
import type { Target } from "../server/target.ts";

/** Texts of one kind: their number, and the first with its place. */
interface Found {
  count: number;
  first: string;
}

/** A summary of the tasks of a dataset. */
export interface DatasetSurvey {
  tasks: number;
  calls: number;
  failed: number;
  /** Calls without anything in the file. */
  missing: number;
  /** Error texts instead of answers. */
  errors: Found;
  /** Responses that worked on an error text instead of notes. */
  misled: Found;
  /** Answers that begin like an error text. */
  doubtful: Found;
}

/** @param offset how many perspectives of the dataset come before those of the config: 1 if it has references */
export function createSurvey(offset: number): {
  survey: DatasetSurvey;
  add: (task: DatasetTask, calls: readonly ImportedCall[]) => void;
} {
  const nothing = () => ({ count: 0, first: "" });
  const survey: DatasetSurvey = {
    tasks: 0,
    calls: 0,
    failed: 0,
    missing: 0,
    errors: nothing(),
    misled: nothing(),
    doubtful: nothing(),
  };

  function record(found: Found, list: "responses" | "preparations", at: number, text: string): void {
    found.count += 1;
    found.first ||= `the first: ${JSON.stringify(text.slice(0, 80))} in tasks[${survey.tasks}].${list}[${at}]`;
  }

  function add({ responses, preparations }: DatasetTask, calls: readonly ImportedCall[]): void {
    for (let at = offset; at < responses.length; at += 1) {
      const [notes, response] = [preparations[at] ?? "", responses[at] ?? ""];
      if (isErrorText(notes)) record(survey.errors, "preparations", at, notes);
      else if (isLikeErrorText(notes)) record(survey.doubtful, "preparations", at, notes);
      if (isErrorText(response)) record(survey.errors, "responses", at, response);
      else if (isErrorText(notes) && response !== "") record(survey.misled, "responses", at, response);
      else if (isLikeErrorText(response)) record(survey.doubtful, "responses", at, response);
    }
    const failures = calls.flatMap(({ outcome }) => ("failure" in outcome ? [outcome.failure] : []));
    survey.tasks += 1;
    survey.calls += calls.length;
    survey.failed += failures.length;
    survey.missing += failures.filter((failure) => failure === IMPORTED_MISSING).length;
  }

  return { survey, add };
}

/** Warnings about a dataset that is imported. */
export function warningsOf(
  { said, renamed, otherParameters }: DatasetReport,
  target: Target,
  given: GivenOrigin,
  { errors, misled, missing, doubtful }: DatasetSurvey,
  earlierImports: readonly string[],
): string[] {
  const warnings: string[] = [];
  if (earlierImports.length > 0) {
    warnings.push(
      `this file was imported before, as run ${earlierImports.join(", ")}; it is imported again as a new run`,
    );
  }
  for (const [name, flag] of [
    ["taskType", "--task-type"],
    ["provider", "--provider"],
    ["model", "--model"],
    ["baseUrl", "--base-url"],
  ] as const) {
    const [file, flagged] = [said[name], given[name]];
    if (file === undefined || flagged === undefined || file === flagged) continue;
    warnings.push(`the file says ${JSON.stringify(file)}; ${flag} says ${JSON.stringify(flagged)}, which is used`);
  }
  if (target.baseUrlSource === "environment") {
    warnings.push(
      `the file names no base URL; its answers are stored as answers of ${target.baseUrl}, the base URL of the environment`,
    );
  }
  for (const { position, from, to } of renamed) {
    const name = JSON.stringify(from);
    warnings.push(
      `agent_perspectives[${position}] has the same condition ${name} as an earlier one; it is renamed to ${JSON.stringify(to)}`,
    );
  }
  if (otherParameters > 0) {
    warnings.push(
      `${otherParameters} answers were asked with other parameters than the file's model_config; it does not say which ones, so all are stored as if they had been asked with it`,
    );
  }
  if (errors.count > 0) {
    warnings.push(`${counted(errors, "error text")} instead of answers: their calls are failed (${errors.first})`);
  }
  if (misled.count > 0) {
    warnings.push(`${counted(misled, "response")} to an error text instead of notes: left out (${misled.first})`);
  }
  if (missing > 0) {
    warnings.push(`${counted({ count: missing }, "call")} without an answer in the file: failed`);
  }
  if (doubtful.count > 0) {
    const why = 'beginning with "Error: ": kept, because they may be answers';
    warnings.push(`${counted(doubtful, "text")} ${why} (${doubtful.first})`);
  }
  return warnings;
}

function counted({ count }: Pick<Found, "count">, singular: string): string {
  return `${count} ${singular}${count === 1 ? "" : "s"}`;
}
