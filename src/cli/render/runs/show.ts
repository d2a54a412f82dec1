import type { RunDetails, RunServer } from "../../../app/runs/show-run.ts";
import type { FailedAttempt } from "../../../store/runs/failed-attempts.ts";
import { modelOf, renderCalls, renderRates, renderTokens } from "../lines.ts";
import { linesOrNone, renderTable } from "../table.ts";
import { counted, latency, minuteOf, money, number, oneLine, secondOf } from "../text.ts";

/** A run in detail, with tables of its steps and of its failures. */
export function renderDetails(details: RunDetails, width: number): string {
  const { run, steps, failures } = details;
  const facts: [string, string][] = [
    ["run", run.name === null ? run.id : `${run.id} (${run.name})`],
    ...(run.experiment === null ? [] : [["experiment", run.experiment] as [string, string]]),
    ["status", run.status],
    ["task", run.task_type],
    ["model", modelOf(run)],
    [
      "server",
      details.servers ? `${details.servers.length} servers, see below` : (details.base_url ?? `none (${run.provider})`),
    ],
    ["size", sizeOf(details)],
    ["calls", renderCalls(run)],
    ["requests", requestsOf(details)],
    ["tokens", renderTokens(run)],
    ...costFacts(details),
    ["created", run.created_at],
    ["finished", run.finished_at ?? "not yet"],
    ["dataset", details.dataset_name],
    ...scoresOf(details),
    [
      "input",
      `${[details.config.data_config.input_data_path].flat().join(", ")} (SHA-256 ${details.input_sha256 ?? "unknown"})`,
    ],
    ...sourcesOf(details),
    ...importOf(details),
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
      { title: "REUSED", value: ({ reused }) => number(reused), align: "right", rank: 4 },
      { title: "PROMPT", value: (step) => number(step.prompt_tokens), align: "right", rank: 3 },
      { title: "COMPLETION", value: (step) => number(step.completion_tokens), align: "right", rank: 3 },
      { title: "COST", value: (step) => money(step.cost_usd), align: "right", rank: 1 },
    ],
    steps,
    width,
  );
  const factLines = facts.map(([name, value]) => `${name.padEnd(10)} ${oneLine(value)}`);
  const tables = [
    stepTable,
    ...(details.servers ? ["", serverTable(details.servers, width)] : []),
    ...(details.batches.length > 0 ? ["", batchTable(details.batches, width)] : []),
  ];
  return [...factLines, "", ...tables, ...(failures.length > 0 ? ["", failureTable(failures, width)] : [])].join("\n");
}

function failureTable(failures: RunDetails["failures"], width: number): string {
  return renderTable<RunDetails["failures"][number]>(
    [
      { title: "FAILURE", value: ({ reason }) => reason, rank: 0 },
      { title: "REQUESTS", value: ({ attempts }) => number(attempts), align: "right", rank: 0 },
      { title: "CALLS FAILED", value: ({ calls }) => number(calls), align: "right", rank: 0 },
      { title: "EXAMPLE", value: ({ example }) => example ?? "", rank: 1, least: 20 },
    ],
    failures,
    width,
  );
}

function batchTable(batches: RunDetails["batches"], width: number): string {
  return renderTable<RunDetails["batches"][number]>(
    [
      { title: "BATCH", value: ({ id, name }) => id ?? name, rank: 0 },
      { title: "STATUS", value: ({ status }) => status, rank: 0 },
      { title: "REQUESTS", value: ({ requests }) => number(requests), align: "right", rank: 0 },
      { title: "DONE", value: ({ completed }) => number(completed), align: "right", rank: 1 },
      { title: "FAILED", value: ({ failed }) => number(failed), align: "right", rank: 1 },
      { title: "CREATED (UTC)", value: (batch) => minuteOf(batch.created_at), rank: 3 },
      { title: "STORED", value: (batch) => minuteOf(batch.ended_at ?? ""), rank: 3 },
      { title: "ERROR", value: ({ error }) => error ?? "", rank: 2, least: 20 },
    ],
    batches,
    width,
  );
}

function serverTable(servers: RunServer[], width: number): string {
  return renderTable<RunServer>(
    [
      { title: "SERVER", value: ({ base_url: url }) => url, rank: 0, least: 20 },
      { title: "ANSWERED", value: ({ answered }) => number(answered), align: "right", rank: 0 },
      { title: "FAILED", value: ({ failed }) => number(failed), align: "right", rank: 1 },
      {
        title: "MEDIAN",
        value: ({ median_latency_ms: ms }) => (ms === null ? "" : latency(ms)),
        align: "right",
        rank: 1,
      },
    ],
    servers,
    width,
  );
}

/** Requests that failed, as the lines of a table. */
export function* failureLines(failures: Iterable<FailedAttempt>, width: number): Generator<string> {
  yield* linesOrNone<FailedAttempt>(
    "No request failed.",
    [
      { title: "TIME (UTC)", value: (failure) => secondOf(failure.started_at), rank: 3 },
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

function sizeOf({ run, config: { replicates = 1 } }: RunDetails): string {
  const size = `${counted(run.tasks, "input")} × ${counted(run.perspectives, "perspective")}`;
  const whole = replicates === 1 ? size : `${size} × ${counted(replicates, "sample")}`;
  const { shard } = run;
  return shard === undefined
    ? whole
    : `${whole}, ${counted(shard.indices.length, "shard")} (${shard.indices.join(", ")}) of ${shard.count}`;
}

function requestsOf({ attempts, imported }: Pick<RunDetails, "attempts" | "imported">): string {
  return imported === null
    ? number(attempts)
    : `${number(attempts)}, and ${number(imported.api_calls)} according to the dataset`;
}

function scoresOf({ scores }: RunDetails): [string, string][] {
  return (scores ?? []).map(({ name, cells }) => ["score", `${name} of ${counted(cells, "cell")}`]);
}

function sourcesOf({ sources }: RunDetails): [string, string][] {
  return (sources ?? []).map(({ dataset, commit, config, split, license }) => [
    "source",
    `${dataset}@${commit}, config ${config}, split ${split}, ${license === null ? "no licence stated" : `licence ${license}`}`,
  ]);
}

function importOf({ imported }: Pick<RunDetails, "imported">): [string, string][] {
  return imported === null ? [] : [["imported", `${imported.file} (SHA-256 ${imported.sha256})`]];
}

function costFacts({ run, ...details }: RunDetails): [string, string][] {
  const { estimated_tokens: tokens, prices, possibly_billed: unclear, max_cost_usd: most } = details;
  const estimated = [tokens.prompt, tokens.completion].map((value) => (value === null ? "unknown" : number(value)));
  const facts: [string, string][] = [
    ["estimated", `${estimated[0]} prompt, ${estimated[1]} completion, cost ${money(details.estimated_cost_usd)}`],
    [
      "cost",
      `${money(run.cost_usd)}${most === null ? "" : ` of at most ${money(most)}${run.experiment === null ? "" : " for all runs of the experiment"}`}`,
    ],
  ];
  if (unclear.requests > 0) {
    const requests = counted(unclear.requests, "request");
    facts.push(["unclear", `${requests} with an unknown outcome, possibly billed: at most ${money(unclear.cost_usd)}`]);
  }
  if (run.calls.reused > 0) {
    facts.push([
      "reused",
      `${counted(run.calls.reused, "answer")} of earlier calls, which saved ${money(details.saved_usd)}`,
    ]);
  }
  const price = prices === null ? "unknown" : `${renderRates(prices)} (${prices.source}, ${prices.date})`;
  return [...facts, ["prices", price]];
}
