import { callsOf, type Cell, cellsOf } from "../../export/renderer.ts";
import { type Settings, settingsByPerspective } from "../../plan/settings.ts";
import type { CellRow, TaskRow } from "../../store/runs/dataset-rows.ts";
import { answerOrigin } from "../../store/runs/call-attempts.ts";
import { getSettings } from "../../store/runs/plan.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import { lastAttempts, otherRunsWith, type SentAttempt } from "../../store/view/call-details.ts";
import { UNANSWERED } from "../../store/runs/result.ts";
import type { AttemptView, CellView, StepView } from "../../view/rows.ts";
import { ViewError } from "../../view/view-error.ts";
import { promptsOf, type ShownPrompt } from "../runs/show-answers.ts";
import { taskAt } from "./grid.ts";
import { MOST_CHARACTERS, shownText } from "./shown-text.ts";

const MOST_ATTEMPTS = 100;
const MOST_RUNS = 20;

/** The longest message of an attempt that is shown, in code points. */
const MOST_MESSAGE = 10_000;

/**
 * Everything that is known of one cell.
 * @param condition its number, from 0
 * @param replicate from 1
 * @throws ViewError when the run has no such cell
 */
export function cellView(store: Store, run: RunRow, position: number, condition: number, replicate: number): CellView {
  const task = taskAt(store, run, position);
  const cell = cellsOf(run, task).find(
    ({ strategy }) => strategy?.perspective === condition && strategy.replicate === replicate,
  );
  if (!cell) {
    throw new ViewError(404, `run ${run.publicId} has no condition ${condition} with a replicate ${replicate}`);
  }
  return { position, condition: cell.condition, replicate, steps: stepsOf(store, run, task, cell) };
}

/** The notes of a cell, if there are any, and its answer. */
export function stepsOf(store: Store, run: RunRow, task: TaskRow, cell: Cell): StepView[] {
  const prompts = promptsOf(store, run, task, cell);
  return callsOf(cell).map((call, at) => stepView(store, run, call, prompts[at]));
}

function stepView(store: Store, run: RunRow, call: CellRow, prompt: ShownPrompt | undefined): StepView {
  const { step, state, failure, answerId, text, origin, finishReason, requests } = call;
  const answer = answerId === null ? null : answerOrigin(store, answerId);
  return {
    step,
    state,
    failure,
    messages:
      prompt?.messages?.map(({ role, content }) => ({ role, content: shownText(content, MOST_CHARACTERS) })) ?? null,
    isAsSent: prompt?.is_as_sent ?? null,
    parameters: parametersOf(answer === null ? settingsFor(store, run, call) : getSettings(store, answer.settingsId)),
    text: text === null ? null : shownText(text, MOST_CHARACTERS),
    finishReason,
    tokens: answer === null ? null : tokensOf(call, answer.tokensEstimated === 1),
    origin,
    servedModel: answer?.servedModel ?? null,
    fromRun: requests?.originRun ?? null,
    otherRuns: answerId === null ? [] : otherRunsWith(store, answerId, run.id, MOST_RUNS),
    attempts: lastAttempts(store, call.callId, MOST_ATTEMPTS).map(toAttempt),
    costUsd: costOf(run, call),
  };
}

/** The settings that a call is to be sent with. */
function settingsFor(store: Store, run: RunRow, { perspective }: CellRow): Settings | undefined {
  return settingsByPerspective(getSettings(store, run.settingsId), run.config.agent_perspectives)[perspective];
}

function parametersOf(settings: Settings | undefined): Record<string, unknown> | null {
  if (!settings) return null;
  const { parameters, ...asked } = settings;
  return { ...asked, ...parameters };
}

/** The tokens of an imported answer are unknown. */
function tokensOf(call: CellRow, estimated: boolean): StepView["tokens"] {
  const { promptTokens: prompt, completionTokens: completion, cachedTokens: cached, reasoningTokens: reasoning } = call;
  if (call.origin === "imported") {
    return { prompt: null, completion: null, cached: null, reasoning: null, estimated: false };
  }
  return { prompt, completion, cached, reasoning, estimated };
}

/** What an imported answer has cost is unknown. */
function costOf({ imported }: RunRow, { state, requests }: CellRow): number | null {
  if (requests === null || requests.costNanoUsd === null) return null;
  if (imported !== null && state === "succeeded" && requests.count === 0) return null;
  return requests.costNanoUsd / 1e9;
}

function toAttempt(attempt: SentAttempt): AttemptView {
  const { startedAt, isBatched, costNanoUsd, message, refusal, outcome, ...rest } = attempt;
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens, ...others } = rest;
  const tokens = { promptTokens, completionTokens, cachedTokens, reasoningTokens };
  const unknown = { promptTokens: null, completionTokens: null, cachedTokens: null, reasoningTokens: null };
  return {
    ...others,
    startedAt: new Date(startedAt).toISOString(),
    outcome,
    message: shortened(message),
    refusal: shortened(refusal),
    isBatched: isBatched === 1,
    ...(outcome === UNANSWERED ? unknown : tokens),
    costUsd: costNanoUsd === null ? null : costNanoUsd / 1e9,
  };
}

function shortened(text: string | null): string | null {
  if (text === null) return null;
  const shown = shownText(text, MOST_MESSAGE);
  return shown.isCut ? `${shown.text}…` : shown.text;
}
