import type { DatasetReport, GivenOrigin } from "../../config/from-dataset.ts";
import type { DatasetTask } from "../../dataset/dataset.ts";
import { isErrorText, isLikeErrorText } from "../../dataset/error-texts.ts";
import { IMPORTED_MISSING } from "../../store/runs/calls.ts";
import type { ImportedCall } from "../../store/import/import.ts";
import type { Target } from "../server/target.ts";

/** Texts of one kind: how many there are, and the first with its place. */
interface Found {
  count: number;
  first: string;
}

/** What the tasks of a dataset add up to. */
export interface DatasetSurvey {
  tasks: number;
  calls: number;
  failed: number;
  /** Calls of which the file has nothing. */
  missing: number;
  /** Error texts in the place of answers. */
  errors: Found;
  /** Responses that worked on an error text in the place of notes. */
  misled: Found;
  /** Answers that begin as an error text does. */
  doubtful: Found;
}

/** @param offset how many perspectives of the dataset stand before those that are asked: 1 where it has references */
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

  function note(found: Found, list: "responses" | "preparations", at: number, text: string): void {
    found.count += 1;
    found.first ||= `the first: ${JSON.stringify(text.slice(0, 80))} in tasks[${survey.tasks}].${list}[${at}]`;
  }

  function add({ responses, preparations }: DatasetTask, calls: readonly ImportedCall[]): void {
    for (let at = offset; at < responses.length; at += 1) {
      const [notes, response] = [preparations[at] ?? "", responses[at] ?? ""];
      if (isErrorText(notes)) note(survey.errors, "preparations", at, notes);
      else if (isLikeErrorText(notes)) note(survey.doubtful, "preparations", at, notes);
      if (isErrorText(response)) note(survey.errors, "responses", at, response);
      else if (isErrorText(notes) && response !== "") note(survey.misled, "responses", at, response);
      else if (isLikeErrorText(response)) note(survey.doubtful, "responses", at, response);
    }
    const failures = calls.flatMap(({ outcome }) => ("failure" in outcome ? [outcome.failure] : []));
    survey.tasks += 1;
    survey.calls += calls.length;
    survey.failed += failures.length;
    survey.missing += failures.filter((failure) => failure === IMPORTED_MISSING).length;
  }

  return { survey, add };
}

/** What the user should know of a dataset before it is taken in. */
export function warningsOf(
  { said, renamed, otherParameters }: DatasetReport,
  target: Target,
  given: GivenOrigin,
  { errors, misled, missing, doubtful }: DatasetSurvey,
  earlierImports: readonly string[],
): string[] {
  const warnings: string[] = [];
  if (earlierImports.length > 0) {
    warnings.push(`this file was imported before, as run ${earlierImports.join(", ")}; it becomes another run`);
  }
  for (const [name, flag] of [
    ["taskType", "--task-type"],
    ["provider", "--provider"],
    ["model", "--model"],
    ["baseUrl", "--base-url"],
  ] as const) {
    const [file, flagged] = [said[name], given[name]];
    if (file === undefined || flagged === undefined || file === flagged) continue;
    warnings.push(`the file says ${JSON.stringify(file)}; ${flag} says ${JSON.stringify(flagged)}, which is taken`);
  }
  if (target.baseUrlSource === "environment") {
    warnings.push(
      `the file names no base URL; its answers are taken to come from ${target.baseUrl}, as the environment says`,
    );
  }
  for (const { position, from, to } of renamed) {
    const name = JSON.stringify(from);
    warnings.push(
      `agent_perspectives[${position}] has the condition ${name} of an earlier one; it becomes ${JSON.stringify(to)}`,
    );
  }
  if (otherParameters > 0) {
    warnings.push(
      `${otherParameters} answers were asked with other parameters than the file's model_config; it does not say which, so all are stored as asked with those`,
    );
  }
  if (errors.count > 0) {
    warnings.push(`${counted(errors, "error text")} in the place of answers: their calls are failed (${errors.first})`);
  }
  if (misled.count > 0) {
    warnings.push(`${counted(misled, "response")} to such a text in the place of notes: left out (${misled.first})`);
  }
  if (missing > 0) {
    warnings.push(`${counted({ count: missing }, "call")} without an answer in the file: failed`);
  }
  if (doubtful.count > 0) {
    const why = 'beginning with "Error: ": kept, as an answer may begin so';
    warnings.push(`${counted(doubtful, "text")} ${why} (${doubtful.first})`);
  }
  return warnings;
}

function counted({ count }: Pick<Found, "count">, singular: string): string {
  return `${count} ${singular}${count === 1 ? "" : "s"}`;
}
