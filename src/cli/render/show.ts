import type { ShownAnswer, ShownAttempt, ShownInput, ShownPrompt } from "../../app/runs/show-answers.ts";
import type { Message } from "../../models/prompt.ts";
import type { Step } from "../../plan/calls.ts";
import { sideBySide, widthOfTexts, wrap } from "./columns.ts";
import { modelOf } from "./lines.ts";
import { renderTable } from "./table.ts";
import { counted, latency, money, number, oneLine, secondOf } from "./text.ts";
import { widthOf } from "./width.ts";

/** From this width on, a response stands beside the reference. */
const WIDTH_OF_TWO = 100;

const MOST_INPUT_LINES = 12;

/** What a run has of one input, no wider than `width`. */
export function renderAnswers(shown: ShownInput, width: number): string {
  const { run, task, context, reference, found, answers } = shown;
  const textWidth = widthOfTexts(width);
  const isBeside = reference !== null && textWidth >= WIDTH_OF_TWO;
  const input = wrap(context, textWidth);
  const rest = input.length - MOST_INPUT_LINES;
  const sections = [
    wrap(`Run ${run.id}: ${oneLine(run.task_type)}, ${oneLine(modelOf(run))}`, textWidth),
    ...(found !== null && found.count > 1 ? [wrap(renderFound(found), textWidth)] : []),
    [
      ...titled(`Input ${task}`, textWidth),
      ...input.slice(0, MOST_INPUT_LINES),
      ...(rest > 0 ? [`… ${counted(rest, "more line")}`] : []),
    ],
    ...(reference !== null && !isBeside ? [[...titled("Reference", textWidth), ...wrap(reference, textWidth)]] : []),
    ...answers.map((answer) => renderAnswer(answer, isBeside ? reference : null, run.id, textWidth)),
  ];
  return sections.map((lines) => lines.join("\n")).join("\n\n");
}

function renderFound({ count, tasks }: { count: number; tasks: readonly number[] }): string {
  const more = count - tasks.length;
  const others = tasks.slice(1).join(", ");
  return `${counted(count, "input")} have this text. This is the first; the others: ${others}${more > 0 ? ` and ${number(more)} more` : ""}`;
}

/** An answer under the title of its condition: what it was asked with, the notes, and the response. */
function renderAnswer(answer: ShownAnswer, reference: string | null, run: string, width: number): string[] {
  const { condition, replicate, preparation, prompts = [], attempts } = answer;
  const title = oneLine(replicate > 1 ? `${condition}, replicate ${replicate}` : condition);
  const promptOf = (wanted: Step) =>
    prompts.filter(({ step }) => step === wanted).flatMap((one) => renderPrompt(one, width));
  const before = [
    ...promptOf("reading"),
    ...(preparation === null ? [] : ["Notes:", "", ...wrap(preparation, width), ""]),
    ...promptOf("strategy"),
  ];
  const isAlone = before.length === 0;
  const text = answer.response ?? failureOf(answer);
  const besides = [
    { title: isAlone ? title : "Response", text },
    { title: "Reference", text: reference ?? "" },
  ];
  return [
    ...(isAlone && reference !== null ? [] : titled(title, width)),
    ...before,
    ...(reference === null
      ? [...(isAlone ? [] : ["Response:", ""]), ...wrap(text, width)]
      : sideBySide(besides, width)),
    ...wrap(`(${factsOf(answer, run).join(", ")})`, width),
    ...(attempts === undefined ? [] : ["", ...renderAttempts(answer, attempts, width)]),
  ];
}

function failureOf({ failure, refusal }: ShownAnswer): string {
  if (refusal !== null) return `No answer. The model refused: ${refusal}`;
  return failure === "pending" ? "No answer yet." : `No answer: ${failure ?? "unknown"}`;
}

function factsOf(answer: ShownAnswer, run: string): string[] {
  const { finish_reason: reason, latency_ms: ms, cost_usd: cost, origin_run: origin, response } = answer;
  const tokens = answer.prompt_tokens + answer.completion_tokens;
  return [
    ...(reason === null ? [] : [reason]),
    counted(tokens, "token"),
    cost === null ? "cost unknown" : money(cost),
    ...(ms === null ? [] : [latency(ms)]),
    ...(response === null || origin === run
      ? []
      : [origin === null ? "from a run that was deleted" : `from run ${origin}`]),
  ];
}

/** The messages of a call, each under a line that says what it is. */
export function renderMessages(step: Step, messages: readonly Message[], width: number): string[] {
  return messages.flatMap(({ role, content }) => [
    ...wrap(`Prompt of the ${step}, ${role} message:`, width),
    "",
    ...wrap(content, width),
    "",
  ]);
}

function renderPrompt({ step, messages, is_as_sent: isAsSent }: ShownPrompt, width: number): string[] {
  if (messages === null)
    return [...wrap(`The prompt of the ${step} is not known, because there are no notes.`, width), ""];
  const changed = "The answer was asked with other notes, which have changed since. The prompt has the notes of now.";
  return [...renderMessages(step, messages, width), ...(isAsSent === false ? [...wrap(changed, width), ""] : [])];
}

function renderAttempts(
  { origin, served_model: served }: ShownAnswer,
  attempts: readonly ShownAttempt[],
  width: number,
) {
  const whence: Record<string, string> = {
    live: "The response came by a live request.",
    batch: "The response came in a batch.",
    imported: "The response was imported.",
  };
  const facts = [
    ...(origin ? [whence[origin] ?? ""] : []),
    ...(served ? [`The provider says that ${oneLine(served)} answered.`] : []),
    ...(attempts.length === 0 ? ["This run sent no request for it."] : []),
  ];
  const table = renderTable<ShownAttempt>(
    [
      { title: "STEP", value: ({ step }) => step, rank: 0 },
      { title: "STARTED (UTC)", value: (attempt) => secondOf(attempt.started_at), rank: 3 },
      { title: "TOOK", value: (attempt) => latency(attempt.duration_ms), align: "right", rank: 1 },
      { title: "OUTCOME", value: ({ outcome }) => outcome, rank: 0 },
      { title: "THEN", value: ({ decision }) => decision, rank: 2 },
      { title: "STATUS", value: (attempt) => String(attempt.http_status ?? ""), align: "right", rank: 4 },
      { title: "PROMPT", value: (attempt) => number(attempt.prompt_tokens), align: "right", rank: 5 },
      { title: "COMPLETION", value: (attempt) => number(attempt.completion_tokens), align: "right", rank: 5 },
      { title: "COST", value: (attempt) => money(attempt.cost_usd), align: "right", rank: 1 },
      { title: "REQUEST", value: (attempt) => attempt.request_id ?? "", rank: 7, least: 8 },
      { title: "MESSAGE", value: ({ message }) => message ?? "", rank: 6, least: 16 },
    ],
    attempts,
    width,
  );
  return [...facts.flatMap((fact) => wrap(fact, width)), ...(attempts.length === 0 ? [] : [table])];
}

/** A title with a line below it. */
export function titled(title: string, width: number): string[] {
  const lines = wrap(title, width);
  return [...lines, "─".repeat(Math.max(...lines.map(widthOf)))];
}
