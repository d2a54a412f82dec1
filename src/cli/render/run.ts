import type { RunDetails } from "../../app/show-run.ts";
import type { FailedAttempt } from "../../store/details.ts";
import type { RunSummary } from "../../app/summary.ts";
import { renderCalls, renderTokens } from "./lines.ts";
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
      { title: "PROMPT", value: (step) => number(step.prompt_tokens), align: "right", rank: 3 },
      { title: "COMPLETION", value: (step) => number(step.completion_tokens), align: "right", rank: 3 },
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

/** Requests that failed, as a table. */
export function renderFailures(failures: readonly FailedAttempt[], width: number): string {
  if (failures.length === 0) return "No request failed.";
  return renderTable<FailedAttempt>(
    [
      { title: "TIME (UTC)", value: (failure) => failure.started_at.slice(0, 19).replace("T", " "), rank: 3 },
      { title: "INPUT", value: ({ task }) => String(task), align: "right", rank: 1 },
      { title: "CONDITION", value: ({ condition }) => condition, rank: 1, least: 12 },
      { title: "STEP", value: ({ step }) => step, rank: 2 },
      { title: "FAILURE", value: ({ reason }) => reason, rank: 0 },
      { title: "HTTP", value: (failure) => String(failure.http_status ?? ""), rank: 1 },
      { title: "THEN", value: ({ decision }) => decision, rank: 0 },
      { title: "REQUEST ID", value: (failure) => failure.request_id ?? "", rank: 5 },
      { title: "MESSAGE", value: ({ message }) => message ?? "", rank: 4, least: 20 },
    ],
    failures,
    width,
  );
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
