import { ANSWER_COLUMN_MEANINGS } from "../store/answer-columns.ts";
import { callCounts } from "../store/runs/call-counts.ts";
import { canonicalJson } from "../plan/settings.ts";
import { licenseLines } from "./licenses.ts";
import { fenced, inline, scalar, table } from "./markdown.ts";
import type { DatasetRun } from "./renderer.ts";
import { type ColumnType, type RowColumn, USED_COLUMNS } from "./row-columns.ts";

/** What the card of a dataset describes. */
export interface CardFacts {
  name: string;
  runs: readonly CardRun[];
  columns: readonly RowColumn[];
  rows: number;
  /** The size of the Parquet files together. */
  bytes: number;
  /** The size of the rows in memory, about as Arrow holds them. */
  memoryBytes: number;
  /** Figures of each condition of each run. */
  statistics: readonly CardFigures[];
}

/** Figures of the answers of a condition; null if there is nothing to compute them from. */
export interface CardFigures {
  run: string;
  condition: string;
  answers: number;
  words: number | null;
  /** The standard deviation of the words. */
  sd: number | null;
  compressionRatio: number | null;
  chrf: number | null;
  scores: readonly { name: string; mean: number | null }[];
}

export interface CardRun extends DatasetRun {
  failures: readonly { reason: string; calls: number }[];
}

const DTYPES: Record<ColumnType, string> = { text: "string", integer: "int64", real: "float64" };

/** A card shows no more perspectives: the metadata of the files has all. */
const MOST_PERSPECTIVES = 200;

/** The card of a dataset on the Hugging Face Hub: a header of YAML, and a page of Markdown. */
export function renderCard(facts: CardFacts): string {
  const { name, rows } = facts;
  const sections = [
    headerOf(facts),
    `# ${inline(name)}`,
    "> **Warning.** This dataset holds texts that a language model was told to write, and many of them were made to mislead: they leave out, distort, or contradict what their inputs say. Use them for research on such texts. Do not take them for facts, and do not train a model on them as if they were good answers.",
    `Each of the ${number(rows)} rows is the answer of a model to an input (\`context\`) under a condition (\`condition\`), or the reference of the input. datagen made the dataset.`,
    "## Columns",
    table(
      ["name", "type", "means"],
      facts.columns.map(({ name: column, type }) => {
        const [shown, meaning] = columnCells(column);
        return [shown, DTYPES[type], meaning];
      }),
    ),
    "## Runs",
    ...runsOf(facts.runs),
    "## Statistics",
    ...statisticsOf(facts.statistics),
    "## Prompts",
    ...promptsOf(facts.runs),
    "## Source and licence",
    ...sourcesOf(facts.runs),
  ];
  return `${sections.join("\n\n")}\n`;
}

function headerOf({ name, runs, columns, rows, bytes, memoryBytes }: CardFacts): string {
  return [
    "---",
    `pretty_name: ${scalar(name)}`,
    ...licenseLines(licensesOf(runs)),
    "tags:",
    "- synthetic",
    "- datagen",
    "size_categories:",
    `- ${sizeOf(rows)}`,
    "configs:",
    "- config_name: default",
    "  data_files:",
    "  - split: train",
    "    path: data/train-*.parquet",
    "dataset_info:",
    "  config_name: default",
    "  features:",
    ...columns.flatMap((column) => [`  - name: ${scalar(column.name)}`, `    dtype: ${DTYPES[column.type]}`]),
    "  splits:",
    "  - name: train",
    `    num_bytes: ${memoryBytes}`,
    `    num_examples: ${rows}`,
    `  download_size: ${bytes}`,
    `  dataset_size: ${memoryBytes}`,
    "---",
  ].join("\n");
}

/** The classes of the Hub: n<1K, 1K<n<10K and so on. */
function sizeOf(rows: number): string {
  const ends: [number, string][] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000].map((thousands) => [
    thousands * 1_000,
    thousands < 1_000 ? `${thousands}K` : thousands < 1_000_000 ? `${thousands / 1_000}M` : "1B",
  ]);
  const at = ends.findIndex(([end]) => rows < end);
  if (at === 0) return "n<1K";
  return at < 0 ? "n>1T" : `${ends[at - 1]?.[1]}<n<${ends[at]?.[1]}`;
}

/** The name and the meaning of a column, as cells of a table. */
function columnCells(name: string): [name: string, meaning: string] {
  if (name === USED_COLUMNS)
    return [`\`${name}\``, "The values of other columns of the input that prompts used, as JSON."];
  const meanings: Readonly<Record<string, string>> = ANSWER_COLUMN_MEANINGS;
  const meaning = Object.hasOwn(meanings, name) ? meanings[name] : undefined;
  return meaning === undefined ? [inline(name), "A score that was computed elsewhere."] : [`\`${name}\``, meaning];
}

function runsOf(runs: readonly CardRun[]): string[] {
  const header = [
    "run",
    "model",
    "provider",
    "inputs",
    "conditions",
    "replicates",
    "answered",
    "failed",
    "pending",
    "prompt tokens",
    "completion tokens",
    "cost in USD",
  ];
  const rows = runs.map((run) => [
    inline(run.name === null ? run.publicId : `${run.publicId} (${run.name})`),
    inline(run.model),
    inline(run.provider),
    number(run.tasks),
    number(run.perspectives),
    number(run.replicate === undefined ? (run.config.replicates ?? 1) : 1),
    number(run.callsSucceeded),
    number(run.callsFailed),
    number(callCounts(run).pending),
    number(run.promptTokens),
    number(run.completionTokens),
    run.costUsd === null ? "unknown" : String(Number(run.costUsd.toFixed(6))),
  ]);
  const failures = runs.flatMap(({ publicId, failures: found }) =>
    found.map(({ reason, calls }) => [inline(publicId), inline(reason), number(calls)]),
  );
  const versions = runs.map(({ publicId, toolVersion, createdLocal, inputSha256, config }) => {
    const inputs = inputSha256 === "" ? "" : `, from inputs with the SHA-256 \`${inline(inputSha256)}\``;
    return `- ${inline(publicId)}: ${inline(config.task_type)}, planned ${inline(createdLocal)} with datagen ${inline(toolVersion)}${inputs}`;
  });
  return [
    table(header, rows),
    "Calls are counted, of which a row may have two: notes and response. Tokens and cost are what the runs used and paid.",
    ...(failures.length > 0 ? [table(["run", "failure", "calls"], failures)] : []),
    versions.join("\n"),
    "The metadata of the Parquet files has the whole config of each run, under `datagen.runs`.",
  ];
}

function statisticsOf(figures: readonly CardFigures[]): string[] {
  const scores = [...new Set(figures.flatMap((each) => each.scores.map(({ name }) => name)))];
  const rounded = (value: number | null, digits: number) => (value === null ? "" : value.toFixed(digits));
  const header = [
    "run",
    "condition",
    "answers",
    "words, mean",
    "sd",
    "compression ratio",
    "chrF",
    ...scores.map(inline),
  ];
  const rows = figures.map((each) => [
    inline(each.run),
    inline(each.condition),
    number(each.answers),
    rounded(each.words, 1),
    rounded(each.sd, 1),
    rounded(each.compressionRatio, 2),
    rounded(each.chrf, 1),
    ...scores.map((name) => rounded(each.scores.find((score) => score.name === name)?.mean ?? null, 3)),
  ]);
  return [
    table(header, rows),
    "The figures are of all answers of the runs, as `datagen stats` computes them: the compression ratio is the mean words of the inputs divided by those of the answers, and chrF compares answers with their references. Scores are means.",
  ];
}

/** The instructions of each run, once if they are the same. */
function promptsOf(runs: readonly CardRun[]): string[] {
  const shown = new Map<string, { run: CardRun; ids: string[] }>();
  for (const run of runs) {
    const { agent_perspectives, system_prompt, messages, prompt_template, model_config } = run.config;
    const key = canonicalJson({ agent_perspectives, system_prompt, messages, prompt_template });
    const known = shown.get(key);
    if (known) known.ids.push(`${model_config.model_name} (${run.publicId})`);
    else shown.set(key, { run, ids: [`${model_config.model_name} (${run.publicId})`] });
  }
  return [...shown.values()].flatMap(({ run: { config }, ids }) => {
    const { agent_perspectives: perspectives } = config;
    const more = perspectives.length - MOST_PERSPECTIVES;
    return [
      ...(shown.size > 1 ? [`Of ${ids.map(inline).join(", ")}:`] : []),
      ...partsOf(config),
      ...perspectives
        .slice(0, MOST_PERSPECTIVES)
        .flatMap((perspective) => [
          `### ${inline(perspective.condition)}`,
          ...partsOf(perspective),
          ...(perspective.reading === null
            ? []
            : ["First instruction, whose answer is the notes:", fenced(perspective.reading)]),
          "Instruction:",
          fenced(perspective.strategy),
        ]),
      ...(more > 0 ? [`There are ${number(more)} more conditions.`] : []),
    ];
  });
}

/** What stands around instructions, if the config or a perspective says it. */
function partsOf(parts: Pick<DatasetRun["config"], "system_prompt" | "messages" | "prompt_template">): string[] {
  const { system_prompt: system, messages, prompt_template: template } = parts;
  return [
    ...((system ?? null) === null ? [] : ["System prompt:", fenced(asText(system))]),
    ...((messages ?? null) === null ? [] : ["Messages:", fenced(asText(messages))]),
    ...((template ?? null) === null ? [] : ["Template of prompts:", fenced(asText(template))]),
  ];
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function licensesOf(runs: readonly CardRun[]): string[] {
  const stated = runs.flatMap(({ config, sources }) => {
    const { license } = config.data_config;
    return license === undefined ? (sources ?? []).flatMap((source) => source.license ?? []) : [license];
  });
  return [...new Set(stated)];
}

function sourcesOf(runs: readonly CardRun[]): string[] {
  const lines = runs.flatMap(({ config, sources }) => {
    const { source, license } = config.data_config;
    const named =
      source === undefined && license === undefined
        ? []
        : [`${source === undefined ? "the inputs" : inline(source)}: ${licence(license ?? null)}`];
    const pulled = (sources ?? []).map(
      ({ dataset, commit, config: subset, split, license: own }) =>
        `${inline(dataset)}, commit ${inline(commit)}, config ${inline(subset)}, split ${inline(split)}: ${licence(own)}`,
    );
    return [...named, ...pulled];
  });
  if (lines.length === 0) return ["The source of the inputs and its licence are not stated."];
  return ["The inputs and references come from:", [...new Set(lines)].map((line) => `- ${line}`).join("\n")];
}

function licence(name: string | null): string {
  return name === null ? "no licence stated" : `licence ${inline(name)}`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
