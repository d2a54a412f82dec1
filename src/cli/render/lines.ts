import { WITHOUT_SERVER } from "../../providers/index.ts";
import type { PlanQuestion } from "../../app/run/prepare-run.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import type { Rates } from "../../models/cost.ts";
import { counted, money, number, oneLine, usd } from "./text.ts";

/** How a run ended, in one line. */
export function renderOutcome(run: RunSummary): string {
  return `Run ${run.id} ${run.status}: ${renderCalls(run)}; ${renderTokens(run)}; ${renderCost(run)}`;
}

function renderCost({ cost_usd: cost }: RunSummary): string {
  return cost === null ? "cost unknown" : money(cost);
}

/** A question before a run is planned. */
export function renderQuestion(question: PlanQuestion): string {
  if (question.about === "running") {
    return `Run ${question.run} has the same plan, and is running since ${question.since}. Start another one?`;
  }
  const { costUsd, aboveUsd, calls, model } = question;
  return (
    `About ${usd(costUsd)} for ${counted(calls, "call")} to ${oneLine(model)}: more than ${usd(aboveUsd)} ` +
    "(confirm_above_usd). Send them?"
  );
}

/** The outcome of an import, in one line. */
export function renderImported(run: RunSummary): string {
  const size = `${counted(run.tasks, "input")} × ${counted(run.perspectives, "perspective")}`;
  return `Imported as run ${run.id}: ${size}; ${renderCalls(run)}; the file reports ${renderTokens(run)}`;
}

export function renderCalls({ calls }: RunSummary): string {
  const parts = [`${number(calls.succeeded)} of ${number(calls.total)} succeeded`];
  if (calls.reused > 0) parts.push(`${number(calls.reused)} of them reused`);
  if (calls.failed > 0) parts.push(`${number(calls.failed)} failed`);
  if (calls.pending > 0) parts.push(`${number(calls.pending)} pending`);
  if (calls.truncated > 0) parts.push(`${number(calls.truncated)} cut off by the token limit`);
  return parts.join(", ");
}

export function renderTokens({ tokens }: RunSummary): string {
  const parts = [`${number(tokens.prompt)} prompt`, `${number(tokens.completion)} completion`];
  if (tokens.cached > 0) parts.push(`${number(tokens.cached)} of the prompt cached`);
  if (tokens.reasoning > 0) parts.push(`${number(tokens.reasoning)} of the completion reasoning`);
  return `${number(tokens.total)} tokens${tokens.estimated ? ", partly estimated" : ""} (${parts.join(", ")})`;
}

export function modelOf({ provider, model }: RunSummary): string {
  return WITHOUT_SERVER.some((name) => name === provider) ? `${provider} (${model})` : model;
}

export function tokensOf(tokens: number, isEstimated: boolean): string {
  return `${isEstimated ? "~" : ""}${number(tokens)}`;
}

/** Rates in US dollars per million tokens. */
export function renderRates({ input, cached_input: cached, output }: Rates): string {
  return `$${input} input, $${cached} cached, $${output} output per million tokens`;
}
