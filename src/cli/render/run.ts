import type { Estimate } from "../../app/estimate.ts";
import type { RunDetails } from "../../app/show-run.ts";
import type { RunSummary } from "../../app/summary.ts";
import { type Column, renderTable } from "./table.ts";
import { counted, number, oneLine, printable } from "./text.ts";

const COLUMNS: Column<RunSummary>[] = [
  { title: "RUN", value: (run) => run.id, rank: 0 },
  { title: "NAME", value: (run) => run.name ?? "", rank: 6, least: 8 },
  { title: "STATUS", value: (run) => run.status, rank: 0 },
  { title: "TASK", value: (run) => run.task_type, rank: 3, least: 8 },
  { title: "MODEL", value: modelOf, rank: 1, least: 12 },
  { title: "CALLS", value: (run) => `${run.calls.succeeded}/${run.calls.total}`, align: "right", rank: 0 },
  { title: "FAILED", value: (run) => number(run.calls.failed), align: "right", rank: 2 },
  { title: "CUT", value: (run) => number(run.calls.truncated), align: "right", rank: 5 },
  { title: "TOKENS", value: tokensOf, align: "right", rank: 1 },
  { title: "COST", value: costOf, align: "right", rank: 2 },
  { title: "CREATED (UTC)", value: (run) => run.created_at.slice(0, 16).replace("T", " "), rank: 4 },
];

/** Runs as a table no wider than `width`. Columns in which no row has anything are left out. */
export function renderRuns(runs: readonly RunSummary[], width: number): string {
  if (runs.length === 0) return "No runs yet. Start one with `datagen run CONFIG`.";
  const isNamed = runs.some(({ name }) => name !== null);
  const isCut = runs.some(({ calls }) => calls.truncated > 0);
  const columns = COLUMNS.filter(({ title }) => (title !== "NAME" || isNamed) && (title !== "CUT" || isCut));
  return renderTable(columns, runs, width);
}

/** A run in detail, with a table of its steps and of what failed. */
export function renderDetails({ run, steps, failures, ...details }: RunDetails, width: number): string {
  const { prompt, completion } = details.estimated_tokens;
  const facts: [string, string][] = [
    ["run", run.name === null ? run.id : `${run.id} (${run.name})`],
    ["status", run.status],
    ["task", run.task_type],
    ["model", modelOf(run)],
    ["server", details.base_url ?? "none (offline)"],
    ["size", `${counted(run.tasks, "input")} × ${counted(run.perspectives, "perspective")}`],
    ["calls", renderCalls(run)],
    ["requests", number(details.attempts)],
    ["tokens", renderTokens(run)],
    ["estimated", `${unknownOr(prompt)} prompt, at most ${unknownOr(completion)} completion`],
    ["cost", costOf(run)],
    ["created", run.created_at],
    ["finished", run.finished_at ?? "not yet"],
    ["dataset", details.dataset_name],
    ["input", `${details.config.data_config.input_data_path} (SHA-256 ${details.input_sha256})`],
    [
      "datagen",
      `${details.datagen_version}${details.git_commit === null ? "" : ` (${details.git_commit.slice(0, 12)})`}`,
    ],
  ];
  const stepTable = renderTable<RunDetails["steps"][number]>(
    [
      { title: "CONDITION", value: ({ condition }) => condition, rank: 0, least: 16 },
      { title: "STEP", value: ({ step }) => step, rank: 0 },
      { title: "CALLS", value: ({ succeeded, total }) => `${succeeded}/${total}`, align: "right", rank: 0 },
      { title: "FAILED", value: ({ failed }) => number(failed), align: "right", rank: 1 },
      { title: "CUT", value: ({ truncated }) => number(truncated), align: "right", rank: 2 },
      { title: "PROMPT", value: ({ promptTokens }) => number(promptTokens), align: "right", rank: 3 },
      { title: "COMPLETION", value: ({ completionTokens }) => number(completionTokens), align: "right", rank: 3 },
    ],
    steps,
    width,
  );
  const failureTable = renderTable<RunDetails["failures"][number]>(
    [
      { title: "FAILURE", value: ({ reason }) => reason, rank: 0 },
      { title: "REQUESTS", value: ({ attempts }) => number(attempts), align: "right", rank: 0 },
      { title: "CALLS FAILED", value: ({ calls }) => number(calls), align: "right", rank: 0 },
      { title: "EXAMPLE", value: ({ example }) => example ?? "", rank: 1, least: 20 },
    ],
    failures,
    width,
  );
  const factLines = facts.map(([name, value]) => `${name.padEnd(10)} ${oneLine(value)}`);
  return [...factLines, "", stepTable, ...(failures.length > 0 ? ["", failureTable] : [])].join("\n");
}

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

function renderCalls({ calls }: RunSummary): string {
  const parts = [`${number(calls.succeeded)} of ${number(calls.total)} succeeded`];
  if (calls.failed > 0) parts.push(`${number(calls.failed)} failed`);
  if (calls.pending > 0) parts.push(`${number(calls.pending)} pending`);
  if (calls.truncated > 0) parts.push(`${number(calls.truncated)} cut off by the token limit`);
  return parts.join(", ");
}

function renderTokens({ tokens }: RunSummary): string {
  const parts = [`${number(tokens.prompt)} prompt`, `${number(tokens.completion)} completion`];
  if (tokens.cached > 0) parts.push(`${number(tokens.cached)} of the prompt cached`);
  if (tokens.reasoning > 0) parts.push(`${number(tokens.reasoning)} of the completion reasoning`);
  return `${number(tokens.total)} tokens${tokens.estimated ? ", in part estimated" : ""} (${parts.join(", ")})`;
}

function modelOf({ provider, model }: RunSummary): string {
  return printable(provider === "offline" ? `offline (${model})` : model);
}

function tokensOf({ tokens }: RunSummary): string {
  return `${tokens.estimated ? "~" : ""}${number(tokens.total)}`;
}

function costOf({ cost_usd: cost }: RunSummary): string {
  return cost === null ? "unknown" : `$${cost.toFixed(2)}`;
}

function unknownOr(value: number | null): string {
  return value === null ? "unknown" : number(value);
}
