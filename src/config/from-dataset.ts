import { basename } from "node:path";
import { z } from "zod";
import { UsageError } from "../errors.ts";
import { perspectivesOf, type Renamed } from "./dataset-perspectives.ts";
import { isTooDeep, TOO_DEEP } from "../files/depth.ts";
import { isObject, member } from "./members.ts";
import { promptFields } from "./prompt-fields.ts";
import { checkConfig } from "./parse.ts";
import { formatProblems, type Path, type Problem, problemsOf } from "./problems.ts";
import type { Config, Overrides } from "./schema.ts";

const count = z
  .number("a whole number of at least 0")
  .int("a whole number of at least 0")
  .min(0, "a whole number of at least 0")
  .max(1e15, "at most 1000000000000000")
  .nullish();

/** The most characters, as JSON, of members that datagen does not know. They are stored with the run. */
const MOST_UNKNOWN = 1_000_000;

const KNOWN_MEMBERS = new Set([
  "task_type",
  "task_description",
  "add_references",
  "agent_perspectives",
  ...Object.keys(promptFields),
  "tasks",
  "metadata",
]);

/** Types of tasks, and the words in a description by which readers of datasets recognise them. */
const TASK_TYPES: [type: string, words: RegExp][] = [
  ["translation", /translat/i],
  ["summarization", /summari[sz]/i],
  ["peer_review", /peer[ _-]?review/i],
];

/** The members of a dataset that are read besides those of its config. It may have others. */
const reportSchema = z.looseObject({
  tasks: z.never("an array of tasks").optional(),
  agent_perspectives: z.array(z.unknown(), "an array of perspectives"),
  metadata: z
    .looseObject(
      {
        token_usage: z
          .looseObject(
            {
              prompt_tokens: count,
              completion_tokens: count,
              cached_tokens: count,
              reasoning_tokens: count,
              estimated: z.boolean("true or false").nullish(),
            },
            "an object",
          )
          .nullish(),
        api_calls: z.looseObject({ total_calls: count }, "an object").nullish(),
      },
      "an object",
    )
    .default({}),
});

/** What a dataset says about its run. */
export interface DatasetReport {
  /** The run's config, with defaults for values that the file lacks. */
  config: Config;
  /** All perspectives of the file in their order, including the reference; each is repeated for its replicates. */
  perspectives: { reading: string | null }[];
  renamed: Renamed[];
  /** The first perspective of the file, if it is the one of the references. */
  reference: Record<string, unknown> | null;
  /** The file's values for settings that flags can override. */
  said: { taskType: unknown; provider: unknown; model: unknown; baseUrl: unknown };
  /** Unknown members, and the whole metadata. */
  kept: { members: Record<string, unknown>; metadata: Record<string, unknown> };
  /** The usage of the whole run. */
  usage: { prompt: number; completion: number; cached: number; reasoning: number; estimated: boolean };
  apiCalls: number;
  // A missing or invalid value of the following members is not an error.
  estimated: { prompt: number | null; completion: number | null };
  /** The SHA-256 of the input file, in hex. */
  inputSha256: string | null;
  generationTime: string | null;
  /** Whether datagen wrote the file. */
  isOurs: boolean;
  /** How many of its answers had other parameters than the config. */
  otherParameters: number;
}

/** Values of `datagen import`'s flags, which override the file. */
export type GivenOrigin = Pick<Overrides, "provider" | "model" | "baseUrl"> & { taskType?: string | undefined };

/**
 * The config of the run that made a dataset, and everything else that the file says about it.
 * @param members the members of the file, without the tasks
 * @param source the name of the file in errors
 * @param given overrides the file
 * @throws UsageError that lists all problems
 */
export function configOfDataset(
  members: Record<string, unknown>,
  source: string,
  tasks: number,
  given: GivenOrigin,
): DatasetReport {
  checkSize(members, source);
  const report = reportSchema.safeParse(members);
  const problems = report.success ? [] : problemsOf(report.error, reportSchema, members);
  if (tasks === 0 && !("tasks" in members)) {
    problems.push({ path: ["tasks"], text: "missing or empty; expected an array of at least one task" });
  }
  const metadata = member(members["metadata"]);
  const { reference, perspectives, renamed, replicates, positionOf, ...found } = perspectivesOf(members);
  problems.push(...found.problems);
  const hasReference = reference !== null;
  const model = metadata["model_config"] ?? {};
  const data = member(metadata["data_config"]);
  const said = saidIn(members, metadata);
  const isOurs = textOrNull(metadata["datagen_version"], /./) !== null;
  const baseUrl = given.baseUrl ?? said.baseUrl;
  const { task_description: description } = members;
  const taskType =
    given.taskType ?? said.taskType ?? taskTypeOf(description) ?? taskTypeInName(source, given.model ?? said.model);
  const { config, problems: configProblems } = checkConfig({
    task_type: taskType,
    task_description: members["task_description"],
    model_config: isObject(model)
      ? { ...model, model_name: given.model ?? said.model, ...(baseUrl !== undefined && { base_url: baseUrl }) }
      : model,
    agent_perspectives: perspectives,
    data_config: {
      ...(isOurs && pick(data, CHOICES)),
      input_data_path: data["input_data_path"] ?? source,
      sample_size: sampleSize(data["sample_size"], tasks),
    },
    ...Object.fromEntries(
      Object.keys(promptFields).flatMap((name) => (name in members ? [[name, members[name]]] : [])),
    ),
    add_references: members["add_references"] ?? hasReference,
    api_provider: given.provider ?? said.provider,
    ...(replicates > 1 && { replicates }),
  });
  const placed = configProblems.map(({ path, text }) => ({
    path: placeOf(path, positionOf, metadata),
    text: path[0] === "task_type" && taskType === undefined ? NO_TASK_TYPE : text,
  }));
  // Without perspectives in the file there is one thing to say of them.
  problems.push(...placed.filter(({ path }) => path[0] !== "agent_perspectives" || Array.isArray(members[path[0]])));
  if (!config || !report.success || problems.length > 0) {
    throw new UsageError(
      formatProblems(source, problems),
      "docs/datasets.md shows the format of a dataset; --task-type, --model, --provider and --base-url set values that a file lacks.",
    );
  }
  return {
    config,
    perspectives: [
      ...(hasReference ? [{ reading: null }] : []),
      ...config.agent_perspectives.flatMap((perspective) => Array.from({ length: replicates }, () => perspective)),
    ],
    renamed,
    reference,
    said,
    kept: {
      members: Object.fromEntries(Object.entries(members).filter(([name]) => !KNOWN_MEMBERS.has(name))),
      metadata,
    },
    usage: usageOf(report.data),
    apiCalls: report.data.metadata.api_calls?.total_calls ?? 0,
    estimated: estimateOf(member(metadata["estimated_tokens"])),
    inputSha256: textOrNull(metadata["input_sha256"], /^[0-9a-f]{64}$/),
    generationTime: textOrNull(metadata["generation_time"], /./),
    isOurs,
    otherParameters: answersIn(metadata["asked_with_other_parameters"]),
  };
}

/** The keys of `data_config` that say which rows and columns were read. Files of other programs may mean something else. */
const CHOICES = ["format", "fields", "where", "shuffle", "seed", "offset"];

function pick(object: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
}

/** A file's values for settings that flags can override. */
function saidIn(members: Record<string, unknown>, metadata: Record<string, unknown>): DatasetReport["said"] {
  const model = member(metadata["model_config"]);
  return {
    taskType: members["task_type"] ?? undefined,
    provider: metadata["api_provider"] ?? undefined,
    model: model["model_name"],
    baseUrl: metadata["base_url"] ?? model["base_url"],
  };
}

function usageOf({ metadata: { token_usage: tokens } }: z.infer<typeof reportSchema>): DatasetReport["usage"] {
  return {
    prompt: tokens?.prompt_tokens ?? 0,
    completion: tokens?.completion_tokens ?? 0,
    cached: tokens?.cached_tokens ?? 0,
    reasoning: tokens?.reasoning_tokens ?? 0,
    estimated: tokens?.estimated ?? false,
  };
}

function estimateOf(said: Record<string, unknown>): DatasetReport["estimated"] {
  return {
    prompt: wholeOrNull(said["estimated_prompt_tokens"]),
    completion: wholeOrNull(said["estimated_completion_tokens"]),
  };
}

function answersIn(said: unknown): number {
  const list: unknown[] = Array.isArray(said) ? said : [];
  return list.reduce<number>((sum, item) => sum + (wholeOrNull(member(item)["answers"]) ?? 0), 0);
}

function wholeOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function textOrNull(value: unknown, pattern: RegExp): string | null {
  return typeof value === "string" && pattern.test(value) ? value : null;
}

const NO_TASK_TYPE = "missing, and neither task_description nor the name of the file tells it; set it with --task-type";

/** The first type of task that a description names. */
function taskTypeOf(description: unknown): string | undefined {
  if (typeof description !== "string") return undefined;
  return TASK_TYPES.map(([type, words]) => ({ type, at: description.search(words) }))
    .filter(({ at }) => at !== -1)
    .toSorted((a, b) => a.at - b.at)[0]?.type;
}

/** The type of task in a file name like `[task_type]_[model]_[timestamp].json`. */
function taskTypeInName(path: string, model: unknown): string | undefined {
  const [, stem = ""] = /^(.+)_\d{8}_\d{6}(?:_\w+)?\.json$/.exec(basename(path)) ?? [];
  const ending = typeof model === "string" ? `_${model.replaceAll(/[/-]/g, "_")}` : "";
  if (ending !== "" && stem.endsWith(ending)) return stem.slice(0, -ending.length) || undefined;
  return TASK_TYPES.find(([type]) => stem.startsWith(`${type}_`))?.[0];
}

/** @throws UsageError when a member is nested too deep, or when unknown members are too large to be stored */
function checkSize(members: Record<string, unknown>, source: string): void {
  const problems = Object.entries(members).flatMap(([name, value]): Problem[] => {
    if (isTooDeep(value)) return [{ path: [name], text: TOO_DEEP }];
    const isKept = name === "metadata" || !KNOWN_MEMBERS.has(name);
    const size = isKept ? JSON.stringify(value).length : 0;
    return size > MOST_UNKNOWN
      ? [{ path: [name], text: `has ${size} characters; expected at most ${MOST_UNKNOWN}` }]
      : [];
  });
  if (problems.length > 0) throw new UsageError(formatProblems(source, problems));
}

/** The sample size of the config: at least the number of tasks, so that it covers all. */
function sampleSize(said: unknown, tasks: number): unknown {
  return typeof said === "number" ? Math.max(said, tasks) : (said ?? tasks);
}

/** The place in the dataset of a place in the config. */
function placeOf(
  [first, ...rest]: Path,
  positionOf: (position: number) => number,
  metadata: Record<string, unknown>,
): Path {
  const [position, ...inside] = rest;
  if (first === "agent_perspectives" && typeof position === "number") return [first, positionOf(position), ...inside];
  if (first === "model_config" && rest[0] === "base_url" && metadata["base_url"]) return ["metadata", "base_url"];
  const isMetadata = first === "model_config" || first === "data_config" || first === "api_provider";
  return [...(isMetadata ? ["metadata"] : []), ...(first === undefined ? [] : [first]), ...rest];
}
