import { UsageError } from "../../errors.ts";
import { callsOf, type Cell, cellsOf, flatRow } from "../../export/renderer.ts";
import type { Message } from "../../models/prompt.ts";
import type { Step } from "../../plan/calls.ts";
import { instructionsOf, promptOf } from "../../plan/prompt.ts";
import { callKeys } from "../../plan/settings.ts";
import type { AnswerRow } from "../../store/answer-columns.ts";
import { answerOrigin, type AnswerOrigin, type CallAttempt, callAttempts } from "../../store/runs/call-attempts.ts";
import { EMPTY } from "../../store/runs/calls.ts";
import { datasetRows, inputRows, type TaskRow } from "../../store/runs/dataset-rows.ts";
import { getSettings } from "../../store/runs/plan.ts";
import type { Store } from "../../store/file/store.ts";
import { runNamed, type RunRow } from "../../store/runs/runs.ts";
import { chosenConditions } from "./chosen-conditions.ts";
import { type RunSummary, summaryOf } from "./summary.ts";

export interface ShowAnswersOptions {
  /** The number of the input, from 0, or a text that the input has. Default: the first input of the run. */
  input?: number | string | undefined;
  /** Only this condition, or all that begin with it. */
  condition?: string | undefined;
  /** Adds the messages of each call. */
  withPrompts?: boolean | undefined;
  /** Adds the requests of each call, and where its answer came from. */
  withAttempts?: boolean | undefined;
}

/** The messages of a call. */
export interface ShownPrompt {
  step: Step;
  /** Null if they are not known, because there are no notes to work on. */
  messages: readonly Message[] | null;
  /** Whether the answer was asked with these messages; null if there is no answer. */
  is_as_sent: boolean | null;
}

/** A request of a call. */
export type ShownAttempt = { step: Step } & CallAttempt;

/** The names of JSON Lines whose values are the same for all answers to an input. */
const OF_ALL = ["run_id", "run_name", "model", "task", "id", "context", "reference"] as const;

/** What one condition says of an input, with the names of JSON Lines. */
export type ShownAnswer = Omit<AnswerRow, (typeof OF_ALL)[number]> & {
  prompts?: ShownPrompt[];
  attempts?: ShownAttempt[];
  /** How the response came: by a live request, in a batch, or with an import; null if there is none. */
  origin?: AnswerOrigin["origin"] | null;
  /** The model that answered, by the provider; null if it has the requested name. */
  served_model?: string | null;
};

/** What a run has of one input. */
export interface ShownInput {
  run: RunSummary;
  task: number;
  id: string | number;
  context: string;
  reference: string | null;
  /** The inputs with the text that was searched: how many, and the rows of the first; null if none was searched. */
  found: { count: number; tasks: number[] } | null;
  answers: ShownAnswer[];
}

/** How many rows of inputs with a text are listed. */
const MOST_LISTED = 10;

/**
 * What the model said for one input under each condition.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run, input or condition
 */
export function showAnswers(store: Store, run: string, options: ShowAnswersOptions = {}): ShownInput {
  const { input, condition, withPrompts = false, withAttempts = false } = options;
  const row = runNamed(store, run);
  const found = typeof input === "string" ? search(store, row, input) : null;
  const wanted = typeof input === "number" ? input : found?.tasks[0];
  const task = taskOf(store, row, wanted);
  const all = cellsOf(row, task).filter(({ strategy }) => strategy !== null);
  const conditions = all.map((cell) => cell.condition);
  const chosen = new Set(condition === undefined ? conditions : chosenConditions(row.publicId, conditions, condition));
  const cells = all.filter((cell) => chosen.has(cell.condition));
  return {
    run: summaryOf(row),
    task: task.position,
    id: task.id,
    context: task.input,
    reference: task.reference,
    found,
    answers: cells.map((cell) => ({
      ...answerOf(row, task, cell),
      ...(withPrompts && { prompts: promptsOf(store, row, task, cell) }),
      ...(withAttempts && attemptsOf(store, cell)),
    })),
  };
}

function answerOf(run: RunRow, task: TaskRow, cell: Cell): ShownAnswer {
  const members = Object.entries(flatRow(run, task, cell));
  const own: object = Object.fromEntries(members.filter(([name]) => !OF_ALL.some((shared) => shared === name)));
  return own as ShownAnswer;
}

/** @throws UsageError when no input of the run has the text */
function search(store: Store, { id, publicId }: RunRow, text: string): { count: number; tasks: number[] } {
  const found = { count: 0, tasks: [] as number[] };
  const wanted = text.toLowerCase();
  for (const { position, input } of inputRows(store, id)) {
    if (!input.toLowerCase().includes(wanted)) continue;
    found.count += 1;
    if (found.count <= MOST_LISTED) found.tasks.push(position);
  }
  if (found.count > 0) return found;
  throw new UsageError(
    `no input of run ${publicId} has the text ${JSON.stringify(text)}`,
    "Give a part of the input as it is written, or the number of its row.",
  );
}

/** @throws UsageError when the run has no input at the row */
function taskOf(store: Store, run: RunRow, wanted: number | undefined): TaskRow {
  const { reasoning_tags: tags } = run.config.model_config;
  for (const task of datasetRows(store, run.id, { tags, withRequests: true, from: wanted ?? 0 })) {
    if (wanted === undefined || task.position === wanted) return task;
    break;
  }
  let last = -1;
  let count = 0;
  for (const { position } of inputRows(store, run.id)) {
    last = position;
    count += 1;
  }
  const has = count === last + 1 ? `rows 0 to ${last}` : `${count} of the rows 0 to ${last}`;
  throw new UsageError(`run ${run.publicId} has no input ${wanted ?? 0}; it has ${has}`, "Rows count from 0.");
}

/**
 * The messages of the calls of a cell, notes first.
 * @internal
 */
export function promptsOf(store: Store, run: RunRow, task: TaskRow, cell: Cell): ShownPrompt[] {
  const { reading } = cell;
  return callsOf(cell).map(({ step, perspective, answerId }) => {
    const instructions = instructionsOf(run.config)[perspective];
    if (!instructions) throw new Error(`the perspective ${perspective} is not in the config`);
    // A strategy works on the input if its reading was empty. Without another reading there is nothing to work on.
    const isKnown = step === "reading" || reading === null || reading.text !== null || reading.failure === EMPTY;
    if (!isKnown) return { step, messages: null, is_as_sent: null };
    const notes = step === "strategy" ? (reading?.text ?? null) : null;
    const prompt = promptOf(instructions, step, task, notes);
    return { step, messages: prompt.messages, is_as_sent: answerId === null ? null : isAskedWith(answerId, prompt) };
  });

  function isAskedWith(answerId: number, prompt: { messages: readonly Message[] }): boolean {
    const { key, settingsId } = answerOrigin(store, answerId);
    return callKeys(getSettings(store, settingsId))(prompt) === key;
  }
}

function attemptsOf(
  store: Store,
  cell: Cell,
): { attempts: ShownAttempt[]; origin: AnswerOrigin["origin"] | null; served_model: string | null } {
  const answerId = cell.strategy?.answerId ?? null;
  const answer = answerId === null ? null : answerOrigin(store, answerId);
  return {
    origin: answer?.origin ?? null,
    served_model: answer?.servedModel ?? null,
    attempts: callsOf(cell).flatMap(({ step, callId }) =>
      callAttempts(store, callId).map((attempt) => ({ step, ...attempt })),
    ),
  };
}
