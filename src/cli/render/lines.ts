import type { Estimate } from "../../app/estimate.ts";
import type { RunSummary } from "../../app/summary.ts";
import { counted, number } from "./text.ts";

/** What a run will do, before it does it. */
export function renderEstimate({ inputs, calls, promptTokens, completionTokens, isApproximate }: Estimate): string {
  const about = isApproximate ? "about " : "";
  const steps =
    calls.readings > 0
      ? ` (${counted(calls.readings, "reading")}, ${counted(calls.strategies, "strategy", "strategies")})`
      : "";
  const completion =
    completionTokens === null
      ? "no limit of completion tokens"
      : `at most ${number(completionTokens)} completion tokens`;
  const prompt = `${about}${number(promptTokens)} prompt tokens`;
  return `Estimate: ${counted(calls.total, "call")}${steps} for ${counted(inputs, "input")}; ${prompt}, ${completion}`;
}

/** How a run ended, in a line. */
export function renderOutcome(run: RunSummary): string {
  return `Run ${run.id} ${run.status}: ${renderCalls(run)}; ${renderTokens(run)}`;
}

export function renderCalls({ calls }: RunSummary): string {
  const parts = [`${number(calls.succeeded)} of ${number(calls.total)} succeeded`];
  if (calls.failed > 0) parts.push(`${number(calls.failed)} failed`);
  if (calls.pending > 0) parts.push(`${number(calls.pending)} pending`);
  if (calls.truncated > 0) parts.push(`${number(calls.truncated)} cut off by the token limit`);
  return parts.join(", ");
}

export function renderTokens({ tokens }: RunSummary): string {
  const parts = [`${number(tokens.prompt)} prompt`, `${number(tokens.completion)} completion`];
  if (tokens.cached > 0) parts.push(`${number(tokens.cached)} of the prompt cached`);
  if (tokens.reasoning > 0) parts.push(`${number(tokens.reasoning)} of the completion reasoning`);
  return `${number(tokens.total)} tokens${tokens.estimated ? ", in part estimated" : ""} (${parts.join(", ")})`;
}
