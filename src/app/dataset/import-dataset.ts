import { checkOverrides } from "../../config/parse.ts";
import { configOfDataset, type DatasetReport } from "../../config/from-dataset.ts";
import { type RowUse, rowUseOf } from "../../config/prompt-parts.ts";
import type { Overrides } from "../../config/schema.ts";
import { type DatasetHead, type DatasetTask, readHead, readTasks } from "../../dataset/dataset.ts";
import { UsageError } from "../../errors.ts";
import { type ImportedCall, type ImportedTask, insertImportedTask } from "../../store/import/import.ts";
import type { PromptRow } from "../../plan/prompt.ts";
import { acquireLease, type Lease, releaseLease, renewLease } from "../../store/runs/leases.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { insertPerspectives, keepEachSettings, keepSettings } from "../../store/runs/plan.ts";
import { finishPlan, insertRun, newPublicId, runsImportedFrom } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { freeDatasetName } from "./dataset-name.ts";
import { type Environment, readVariables } from "../server/environment.ts";
import type { OnEvent } from "../events.ts";
import { importedCalls } from "./imported-calls.ts";
import { localTime } from "../paths.ts";
import { resolvePrices } from "../prices.ts";
import { createSurvey, type DatasetSurvey, warningsOf } from "./survey-dataset.ts";
import { bindTarget } from "../server/server-of-run.ts";
import { resolveTarget } from "../server/target.ts";
import { toolVersion } from "../version.ts";

/** About the most that one transaction writes, so that other processes can write in between. */
const CHUNK = { calls: 1_000, characters: 4_000_000 };

export interface ImportDatasetOptions {
  /** Where the answers came from; overrides the file. */
  provider?: Overrides["provider"];
  model?: string | undefined;
  baseUrl?: string | undefined;
  /** The type of the task; overrides the file. */
  taskType?: string | undefined;
  /** A label for lists. */
  name?: string | undefined;
  /** Where base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  onEvent?: OnEvent | undefined;
}

/**
 * Imports a dataset of the documented format as a run whose calls are all done: answered, or failed if the file has no
 * answer. Later runs reuse its answers like those of any other run. The file is read as a stream. All of it is checked
 * before anything is written.
 * @param path a file written by `exportRun` or by the reference pipeline
 * @returns the id of the run
 * @throws UsageError that says what is wrong with the file and where; then no run is created
 */
export async function importDataset(store: Store, path: string, options: ImportDatasetOptions = {}): Promise<string> {
  return await writeImport(store, await checkImport(store, path, options), options);
}

/** A dataset that is checked, and of which nothing is written yet. */
type CheckedImport = Awaited<ReturnType<typeof checkImport>>;

/**
 * Checks a dataset. Writes nothing.
 * @throws UsageError as {@link importDataset} does
 * @internal
 */
export async function checkImport(store: Store, path: string, options: ImportDatasetOptions) {
  const { provider, model, baseUrl, taskType, environment, onEvent = () => {} } = options;
  const given = { ...checkOverrides({ provider, model, baseUrl }), taskType };
  const head = await readHead(path);
  const report = configOfDataset(head.members, path, head.tasks, given);
  const { config } = report;
  // A file of datagen names every base URL except the provider's own, so the environment must not add one.
  const target = resolveTarget(config, given.baseUrl !== undefined, readVariables(report.isOurs ? {} : environment));
  const offset = report.reference === null ? 0 : 1;
  const callsOf = importedCalls(config, offset, target.asked);
  const { survey, add } = createSurvey(offset);
  await eachTask(path, head, report, (task, _position, row) => add(task, callsOf(task, row)));
  for (const message of warningsOf(report, target, given, survey, runsImportedFrom(store, head.sha256))) {
    onEvent({ type: "warning", message });
  }
  const { prices } = await resolvePrices(store, config, target);
  return { path, head, report, target, prices, survey, callsOf };
}

/**
 * Writes a dataset as a run.
 * @returns the id of the run
 * @throws UsageError when the file has changed since it was checked
 * @internal
 */
export async function writeImport(
  store: Store,
  { path, head, report, target, prices, survey, callsOf }: CheckedImport,
  options: ImportDatasetOptions,
): Promise<string> {
  const { name = null, onEvent = () => {} } = options;
  const { config } = report;
  sweep(store);

  const publicId = newPublicId();
  const { createdAt, createdLocal } = creationOf(report.generationTime);
  const { lease, settingsIds } = inTransaction(store, () => {
    const { version, gitCommit } = toolVersion();
    const { estimated: tokensEstimated, ...tokens } = report.usage;
    const runId = insertRun(store, {
      publicId,
      name,
      taskType: config.task_type,
      provider: target.provider,
      model: config.model_config.model_name,
      settingsId: keepSettings(store, target.settings),
      baseUrl: target.baseUrl,
      baseUrlSource: target.baseUrlSource,
      config,
      inputSha256: report.inputSha256 ?? "",
      imported: {
        file: path,
        sha256: head.sha256,
        tokens,
        api_calls: report.apiCalls,
        ...(report.reference !== null && { reference: report.reference }),
        ...report.kept,
      },
      // An imported run reuses no earlier answers.
      reuse: "none",
      toolVersion: version,
      gitCommit,
      createdAt,
      createdLocal,
      datasetName: freeDatasetName(store, config, createdAt, publicId),
      estimatedPromptTokens: report.estimated.prompt,
      estimatedCompletionTokens: report.estimated.completion,
      promptTokens: tokens.prompt,
      completionTokens: tokens.completion,
      cachedTokens: tokens.cached,
      reasoningTokens: tokens.reasoning,
      tokensEstimated,
      // For requests that `resume` sends later for its failed calls.
      prices,
    });
    const kept = keepEachSettings(store, target.asked);
    return { lease: acquireLease(store, runId, publicId), settingsIds: kept };
  });
  bindTarget(store, target, false, onEvent);
  try {
    await write(store, lease, survey, { path, head, report, settingsIds, createdAt, callsOf });
  } finally {
    releaseLease(store, lease);
  }
  return publicId;
}

interface Source {
  path: string;
  head: DatasetHead;
  report: DatasetReport;
  /** Those of each perspective. */
  settingsIds: readonly number[];
  createdAt: number;
  callsOf: (task: DatasetTask, row: PromptRow) => ImportedCall[];
}

/** Writes the run's rows in short transactions. The last one makes the run visible. */
async function write(store: Store, lease: Lease, survey: DatasetSurvey, source: Source): Promise<void> {
  const { config } = source.report;
  const { runId: id } = lease;
  const perspectiveIds = inTransaction(store, () => insertPerspectives(store, id, config.agent_perspectives));
  const { settingsIds, createdAt } = source;
  const tags = config.model_config.reasoning_tags;
  const run = { id, perspectiveIds, settingsIds, createdAt, tags };
  let chunk: ImportedTask[] = [];
  let size = { calls: 0, characters: 0 };

  function flush(): void {
    inTransaction(store, () => {
      for (const task of chunk) insertImportedTask(store, run, task);
    });
    renewLease(store, lease);
    chunk = [];
    size = { calls: 0, characters: 0 };
  }

  await eachTask(source.path, source.head, source.report, (task, position, row) => {
    const calls = source.callsOf(task, row);
    chunk.push({ position, id: task.id, ...row, calls });
    size.calls += calls.length;
    for (const text of [task.context, ...task.responses, ...task.preparations]) size.characters += text?.length ?? 0;
    if (size.calls >= CHUNK.calls || size.characters >= CHUNK.characters) flush();
  });
  flush();
  const { tasks, calls, failed } = survey;
  inTransaction(store, () =>
    finishPlan(store, id, {
      tasks,
      perspectives: perspectiveIds.length,
      callsTotal: calls,
      callsSucceeded: calls - failed,
      callsFailed: failed,
      finishedAt: source.createdAt,
    }),
  );
}

/** @throws UsageError also when the file has changed since `head` was read */
async function eachTask(
  path: string,
  head: DatasetHead,
  { config, perspectives, reference }: DatasetReport,
  visit: (task: DatasetTask, position: number, row: PromptRow) => void,
): Promise<void> {
  const used = rowUseOf(config);
  const tasks = readTasks(path, perspectives);
  let position = 0;
  for (let next = await tasks.next(); ; next = await tasks.next()) {
    if (next.done) {
      if (next.value === head.sha256) return;
      throw new UsageError(`${path} changed while it was read`, "Import it again once nothing writes to it.");
    }
    const { context: input, columns, ...task } = next.value;
    const row = { input, reference: reference === null ? task.reference : (task.responses[0] ?? null), columns };
    checkRow(path, position, row, used);
    visit(next.value, position, row);
    position += 1;
  }
}

/** @throws UsageError when a task lacks a value that the templates of the dataset use */
function checkRow(path: string, position: number, { reference, columns }: PromptRow, used: RowUse): void {
  const missing = used.columns.filter((name) => !Object.hasOwn(columns, name) || columns[name] === null);
  if (used.reference && reference === null) missing.push("reference");
  if (missing.length === 0) return;
  throw new UsageError(
    `${path}: tasks[${position}] has no value of ${missing.map((name) => JSON.stringify(name)).join(", ")}, which prompt_template uses`,
    'A task has the values of such columns in "columns".',
  );
}

/** When a dataset was created, if it says so. A time without a zone is the local time of an unknown machine. */
function creationOf(said: string | null): { createdAt: number; createdLocal: string } {
  const [, day, time, fraction = "", zone] =
    /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$/.exec(said ?? "") ?? [];
  const at = Date.parse(`${day}T${time}${zone ?? ""}`);
  const createdAt = Number.isNaN(at) ? Date.now() : at;
  const isLocal = !Number.isNaN(at) && zone === undefined;
  return { createdAt, createdLocal: isLocal ? `${day}T${time}${fraction}` : localTime(createdAt) };
}
