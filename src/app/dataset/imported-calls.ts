import type { Config } from "../../config/schema.ts";
import type { DatasetTask } from "../../dataset/dataset.ts";
import { isErrorText } from "../../dataset/error-texts.ts";
import { callsPerInput } from "../../plan/calls.ts";
import { instructionsOf, promptOf, type PromptRow } from "../../plan/prompt.ts";
import { callKeys, type Settings } from "../../plan/settings.ts";
import { EMPTY, IMPORTED_ERROR, IMPORTED_MISSING, READING_FAILED } from "../../store/runs/calls.ts";
import type { ImportedCall } from "../../store/import/import.ts";

/**
 * The calls whose answers a task of a dataset has, each with the key of the same call in a run.
 * @param asked the settings of each perspective
 * @param offset how many perspectives of the dataset come before those of the config: 1 if it has references
 */
export function importedCalls(
  config: Config,
  offset: number,
  asked: readonly Settings[],
): (task: DatasetTask, row: PromptRow) => ImportedCall[] {
  const { agent_perspectives: perspectives, replicates = 1 } = config;
  const instructions = instructionsOf(config);
  const keys = asked.map(callKeys);
  const planned = callsPerInput(perspectives, replicates);

  return ({ responses, preparations }, row) =>
    planned.map((call) => {
      const [perspective, keyOf] = [instructions[call.perspective], keys[call.perspective]];
      if (!perspective || !keyOf) throw new Error(`perspective ${call.perspective} is not in the config`);
      const column = offset + call.perspective * replicates + call.replicate - 1;
      const [notes, response] = [preparations[column] ?? null, responses[column] ?? null];
      const noNotes = perspective.reading === null ? EMPTY : notesFailureOf(notes, response);
      const done = (failure: string | null, text: string | null): ImportedCall => {
        if (failure !== null || text === null) return { ...call, outcome: { failure: failure ?? IMPORTED_MISSING } };
        return { ...call, outcome: { text, key: keyOf(promptOf(perspective, call.step, row, notes)) } };
      };
      if (call.step === "reading") return done(noNotes, notes);
      // A response that worked on an error text instead of notes does not answer any prompt of the config.
      const isUsable = noNotes === null || noNotes === EMPTY;
      return done(isUsable ? failureOf(response) : READING_FAILED, response);
    });
}

/** The failure of a response; null if it is an answer. */
function failureOf(response: string | null): string | null {
  if (response === null) return IMPORTED_MISSING;
  if (response.trim() === "") return EMPTY;
  return isErrorText(response) ? IMPORTED_ERROR : null;
}

/** The failure of notes; null if they are an answer. Missing notes with a response were empty: it works on the input. */
function notesFailureOf(notes: string | null, response: string | null): string | null {
  if (notes === null) return response === null ? IMPORTED_MISSING : EMPTY;
  if (notes === "") return EMPTY;
  return isErrorText(notes) ? IMPORTED_ERROR : null;
}
