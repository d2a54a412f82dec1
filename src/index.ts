/**
 * datagen as a library: a config goes in, a dataset comes out, and everything in between is in a SQLite database.
 *
 * {@link DataGenerationPipeline} does everything in one call. The other functions are its steps, and take an open
 * database: {@link openStore}, {@link createRun}, {@link executeRun}, {@link exportRun}.
 */
import { isTooOld, tooOld } from "./node-version.ts";

export { createPilot } from "./app/estimate/create-pilot.ts";
export { type Backup, backUpDatabase } from "./app/database/back-up-database.ts";
export { compactDatabase, type Compaction } from "./app/database/compact-database.ts";
export type { ConfigValues } from "./app/diff/config-differences.ts";
export {
  type CheckConfigOptions,
  checkConfigs,
  type CheckEvent,
  type ConfigCheck,
  type ModelCheck,
  type ServerCheck,
} from "./app/check/check-config.ts";
export { createExperiment, type CreatedExperiment, createRun } from "./app/run/create-run.ts";
export { type ExecutedRun, executeExperiment, type ExecuteExperimentOptions } from "./app/run/execute-runs.ts";
export type { CreateRunOptions, PlanQuestion } from "./app/run/prepare-run.ts";
export { deleteRun } from "./app/runs/delete-run.ts";
export {
  type ConditionDiff,
  type ConfigDifference,
  type DifferentPair,
  diffRuns,
  type RunDiff,
} from "./app/diff/diff-runs.ts";
export {
  type ConditionComparison,
  type ConditionSide,
  type DifferentResponses,
  type DiffRunsOptions,
  diffSeveralRuns,
  type LoneInputs,
  type RunFigures,
  type RunInputs,
  type SeveralRunsDiff,
} from "./app/diff/diff-several-runs.ts";
export type { Environment } from "./app/server/environment.ts";
export type { EstimateOptions } from "./app/estimate/survey.ts";
export type { Estimate } from "./estimate/estimate.ts";
export { type Preview, type PreviewedCall, previewRun, type PreviewRunOptions } from "./app/estimate/preview-run.ts";
export { estimateRun, type EstimateRunOptions } from "./app/estimate/estimate-run.ts";
export type { OnEvent, RunEvent } from "./app/events.ts";
export { cancelRun, type CancelRunOptions } from "./app/run/cancel-run.ts";
export { executeRun, type ExecuteRunOptions } from "./app/run/execute-run.ts";
export { exportFolder, type ExportFolderOptions } from "./app/dataset/export-folder.ts";
export { exportRun, type ExportRunOptions, renderRun, type RenderOptions } from "./app/dataset/export-run.ts";
export { type ImportedScores, importScores } from "./app/scores/import-scores.ts";
export { importDataset, type ImportDatasetOptions } from "./app/dataset/import-dataset.ts";
export { deletedRuns, type DeletedRuns, listRuns } from "./app/runs/list-runs.ts";
export { type Merge, mergeDatabase } from "./app/database/merge-database.ts";
export { listModels, type ListModelsEvent, type ListModelsOptions, type ModelRow } from "./app/models/list-models.ts";
export { DataGenerationPipeline, type PipelineOptions } from "./app/run/pipeline.ts";
export { repriceRun, type Repricing } from "./app/runs/reprice-run.ts";
export { runConfig, type RunConfigOptions } from "./app/runs/run-config.ts";
export { type InputFileRow, runInputs } from "./app/runs/run-inputs.ts";
export {
  showAnswers,
  type ShowAnswersOptions,
  type ShownAnswer,
  type ShownAttempt,
  type ShownInput,
  type ShownPrompt,
} from "./app/runs/show-answers.ts";
export { showRun, type RunDetails } from "./app/runs/show-run.ts";
export type { RunSummary } from "./app/runs/summary.ts";
export { findSuspects, type SuspectAnswer } from "./app/stats/find-suspects.ts";
export {
  modelStatistics,
  type ModelStatistics,
  runStatistics,
  type RunStatistics,
  type StatisticsOptions,
} from "./app/stats/run-statistics.ts";
export { loadConfig, loadConfigs } from "./config/load.ts";
export { parseConfig, parseConfigs } from "./config/parse.ts";
export type { Config, ConfigInput, Overrides } from "./config/schema.ts";
export { DatagenError, DeclinedError, InterruptedError, StoppedError, UsageError } from "./errors.ts";
export type { Format } from "./export/formats.ts";
export type { Part as StatisticsPart } from "./stats/parts.ts";
export type { Difference, Figure, GroupStatistics } from "./stats/statistics.ts";
export { openStore } from "./store/file/open.ts";
export type { Store } from "./store/file/store.ts";

// An older Node would fail later, and not say why.
if (isTooOld(process.versions.node)) {
  throw new Error(tooOld("`npx node@24 PROGRAM.js` starts your program with a newer one"));
}
