import { basename } from "node:path";
import { isObject } from "../config/members.ts";
import { callCounts } from "../store/runs/call-counts.ts";
import type { TaskRow } from "../store/runs/dataset-rows.ts";
import { cellsOf, type DatasetRun, referenceOf, type Renderer, type RunRows } from "./renderer.ts";

/** The keys of a config that say what stands around the instructions. */
const AROUND = ["system_prompt", "messages", "prompt_template"] as const;

/** The documented dataset: one JSON object, indented by two spaces. */
export const json: Renderer = {
  extension: "json",
  isJson: true,
  isFlat: false,
  load: () => Promise.resolve(render),
  // A config begins like a dataset, but has no tasks. Inside a JSON string, a quotation mark has a backslash before it.
  isDataset({ head, tail }, runId) {
    if (runId !== undefined) return new RegExp(`(?<!\\\\)"run_id": "${runId}"`).test(tail);
    return (
      /^\s*\{/.test(head) &&
      /(?<!\\)"agent_perspectives"\s*:/.test(head) &&
      (/(?<!\\)"tasks"\s*:\s*\[/.test(head) || /(?<!\\)"metadata"\s*:\s*\{/.test(tail))
    );
  },
};

function* render([rows]: readonly RunRows[]): Generator<string> {
  if (!rows) return;
  const { run, tasks } = rows;
  const { config } = run;
  yield `{\n${member("task_type", config.task_type)}`;
  yield `,\n${member("task_description", config.task_description)}`;
  yield `,\n${member("add_references", config.add_references)}`;
  const perspectives = replicated(config);
  const reference = referenceOf(run);
  yield `,\n${member("agent_perspectives", reference === null ? perspectives : [reference, ...perspectives])}`;
  for (const name of AROUND) if ((config[name] ?? null) !== null) yield `,\n${member(name, config[name])}`;
  yield ',\n  "tasks": [';
  let separator = "\n";
  for (const task of tasks) {
    yield `${separator}    ${indented(toTask(run, task), 4)}`;
    separator = ",\n";
  }
  yield `\n  ],\n${member("metadata", withMissing(metadataOf(run), run.imported?.metadata ?? {}))}`;
  for (const [name, value] of Object.entries(run.imported?.members ?? {})) yield `,\n${member(name, value)}`;
  yield "\n}\n";
}

/** The perspectives in the order of the responses: with replicates, each perspective is repeated for each sample. */
function replicated({ agent_perspectives: perspectives, replicates = 1 }: DatasetRun["config"]) {
  if (replicates === 1) return perspectives;
  return perspectives.flatMap((perspective) =>
    Array.from({ length: replicates }, (_, at) => ({ ...perspective, replicate: at + 1 })),
  );
}

function member(name: string, value: unknown): string {
  return `  ${JSON.stringify(name)}: ${indented(value, 2)}`;
}

// Strings in JSON contain no raw line breaks, so every line break can be indented.
function indented(value: unknown, by: number): string {
  return JSON.stringify(value, null, 2).replaceAll("\n", `\n${" ".repeat(by)}`);
}

function toTask(run: DatasetRun, task: TaskRow) {
  const cells = cellsOf(run, task);
  const { sourceId, input, reference, columns } = task;
  return {
    ...(sourceId !== null && { id: sourceId }),
    context: input,
    // A first perspective may have it.
    ...(run.usesReference && referenceOf(run) === null && { reference }),
    ...(Object.keys(columns).length > 0 && { columns }),
    responses: cells.map(({ response }) => response),
    preparations: cells.map(({ preparation }) => preparation),
  };
}

/** datagen's metadata, and after it what an imported file had besides. Members of nested objects are added one by one. */
function withMissing(ours: Record<string, unknown>, theirs: Record<string, unknown>): Record<string, unknown> {
  const whole = { ...ours };
  for (const [name, value] of Object.entries(theirs)) {
    const own = whole[name];
    if (own === undefined) whole[name] = value;
    else if (isObject(own) && isObject(value)) whole[name] = withMissing(own, value);
  }
  return whole;
}

function metadataOf(run: DatasetRun) {
  const { config, estimatedPromptTokens: prompt, estimatedCompletionTokens: completion } = run;
  return {
    model_config: config.model_config,
    api_provider: run.provider,
    ...(run.baseUrlSource !== "default" && { base_url: run.baseUrl }),
    data_config: config.data_config,
    generation_time: run.createdLocal,
    token_usage: {
      prompt_tokens: run.promptTokens,
      completion_tokens: run.completionTokens,
      total_tokens: run.promptTokens + run.completionTokens,
      cached_tokens: run.cachedTokens,
      reasoning_tokens: run.reasoningTokens,
      estimated: run.tokensEstimated,
    },
    api_calls: { total_calls: run.attempts + (run.imported?.api_calls ?? 0) },
    estimated_tokens: {
      estimated_prompt_tokens: prompt,
      estimated_completion_tokens: completion,
      estimated_total_tokens: prompt === null || completion === null ? null : prompt + completion,
    },
    cost_usd: run.costUsd,
    calls: callCounts(run),
    ...(run.otherSettings.length > 0 && { asked_with_other_parameters: run.otherSettings }),
    ...(run.part && { shard: run.part }),
    ...(run.replicate !== undefined && { replicate: run.replicate }),
    run_id: run.publicId,
    run_name: run.name,
    input_sha256: run.inputSha256 || null,
    ...(run.sources !== null && { sources: run.sources }),
    ...(run.imported !== null && { imported_from: { file: basename(run.imported.file), sha256: run.imported.sha256 } }),
    datagen_version: run.toolVersion,
    git_commit: run.gitCommit,
  };
}
