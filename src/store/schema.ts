import { sql } from "drizzle-orm";
import { type AnySQLiteColumn, index, integer, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ExecutorName } from "../config/executors.ts";
import type { ProviderName } from "../config/providers.ts";
import type { Config } from "../config/schema.ts";
import type { Prices } from "../models/cost.ts";
import type { Step } from "../plan/calls.ts";
import type { Shard } from "../plan/shard.ts";
import { exactText, requestUsage, storedJson, textOrInteger, usage } from "./columns.ts";
import { experiments } from "./money-schema.ts";
import { settings, texts } from "./shared-schema.ts";
import { REUSE_POLICIES } from "./reuse/reuse-policy.ts";
import type { ImportedFrom } from "./import/imported-from.ts";
import type { DataSource } from "./runs/data-source.ts";

export { deletedRuns, experiments, userPrices } from "./money-schema.ts";
export { settings, texts } from "./shared-schema.ts";

/*
 * Times are milliseconds since 1970 UTC, costs are billionths of a US dollar. Integer ids are local to one database file.
 * No foreign key cascades: runs/sweep.ts removes the rows of a run one table after the other, so that a migration that
 * rebuilds a table cannot remove rows of another.
 */

export const runs = sqliteTable(
  "runs",
  {
    id: integer().primaryKey(),
    /** A short random id, for users to type. It stays the same when databases are merged. */
    publicId: text("public_id").notNull().unique(),
    name: text(),
    /** The experiment that it is part of; null if it was planned alone. */
    experimentId: integer("experiment_id").references(() => experiments.id),
    taskType: text("task_type").notNull(),
    provider: text().$type<ProviderName>().notNull(),
    model: text().notNull(),
    settingsId: integer("settings_id")
      .notNull()
      .references(() => settings.id),
    /** The server of the requests; null for the offline provider. */
    baseUrl: text("base_url"),
    /** The base URLs of several servers of the same model, of which `baseUrl` is the first; null for one or none. */
    servers: storedJson<string[]>("servers"),
    /** Where the base URL came from. This decides which API key may go there. */
    baseUrlSource: text("base_url_source", { enum: ["flag", "config", "environment", "default"] }).notNull(),
    /** The validated config, including the flags of `run`. */
    config: storedJson<Config>("config").notNull(),
    /** The SHA-256 of the input file's bytes, in hex, or of all files; empty if unknown, for an imported run. */
    inputSha256: text("input_sha256").notNull(),
    /** The published datasets that the input files belong to; null if none is known. */
    sources: storedJson<DataSource[]>("sources"),
    /** The part of the inputs that the run has; null if it has all. */
    shard: storedJson<Shard>("shard"),
    /** `s256:` and the SHA-256 of everything that determines the dataset; see `planHash` in plan/plan-hash.ts. */
    planHash: text("plan_hash").notNull().default(""),
    /** For a run that was imported from a dataset; else null. */
    imported: storedJson<ImportedFrom>("imported"),
    toolVersion: text("tool_version").notNull(),
    gitCommit: text("git_commit"),
    createdAt: integer("created_at").notNull(),
    /** `createdAt` in the local time of the machine that planned the run: ISO 8601 to the second, without a zone. */
    createdLocal: text("created_local").notNull(),
    /** The dataset's file name without its extension. */
    datasetName: text("dataset_name").notNull(),
    /** When the plan was complete. Before that, and during its deletion, the run is hidden. */
    plannedAt: integer("planned_at"),
    /** When the last call was done; null while any is pending. */
    finishedAt: integer("finished_at"),
    estimatedPromptTokens: integer("estimated_prompt_tokens"),
    estimatedCompletionTokens: integer("estimated_completion_tokens"),
    estimatedCostNanoUsd: integer("estimated_cost_nano_usd"),
    /** The prices of the run's attempts; null if unknown. */
    prices: storedJson<Prices>("prices"),
    /** The cap of the run; null if it has none, or if it is part of an experiment. */
    maxCostNanoUsd: integer("max_cost_nano_usd"),
    /** How calls reach the provider. */
    executor: text().$type<ExecutorName>().notNull().default("live"),
    /** Batches without all their results. */
    batchesOpen: integer("batches_open").notNull().default(0),
    /** Which answers of earlier calls the run may reuse. */
    reuse: text({ enum: REUSE_POLICIES }).notNull().default("same"),
    // Totals of the rows below. They change in the same transactions as these rows.
    tasks: integer().notNull().default(0),
    perspectives: integer().notNull().default(0),
    callsTotal: integer("calls_total").notNull().default(0),
    /** Includes calls that reuse an answer. */
    callsSucceeded: integer("calls_succeeded").notNull().default(0),
    callsFailed: integer("calls_failed").notNull().default(0),
    callsReused: integer("calls_reused").notNull().default(0),
    /** Answers that the token limit cut off. */
    callsTruncated: integer("calls_truncated").notNull().default(0),
    /** Answered calls that wait for a better answer. */
    callsReopened: integer("calls_reopened").notNull().default(0),
    /** Attempts that have ended. */
    attempts: integer().notNull().default(0),
    /** The cost of the attempts, as far as it is known. */
    costNanoUsd: integer("cost_nano_usd").notNull().default(0),
    /** Attempts whose cost is unknown. */
    attemptsUnpriced: integer("attempts_unpriced").notNull().default(0),
    /** Whether any answer had other settings than the run's. */
    hasMixedSettings: integer("has_mixed_settings", { mode: "boolean" }).notNull().default(false),
    ...usage(),
  },
  (table) => [
    index("runs_created").on(table.createdAt),
    index("runs_dataset_name").on(table.datasetName),
    index("runs_experiment").on(table.experimentId),
  ],
);

const ofRun = () =>
  integer("run_id")
    .notNull()
    .references(() => runs.id);

/** The process that executes a run. Only this process commits results; see leases.ts. */
export const leases = sqliteTable("leases", {
  runId: integer("run_id")
    .primaryKey()
    .references(() => runs.id),
  token: text().notNull(),
  host: text().notNull(),
  pid: integer().notNull(),
  acquiredAt: integer("acquired_at").notNull(),
  heartbeatAt: integer("heartbeat_at").notNull(),
  // These four are null in rows of older versions.
  /** Within which `heartbeatMonotonic` and process ids can be compared: a boot of a machine. See holder.ts. */
  boot: text(),
  /** The namespace that `pid` is of, where there are such. */
  pidNamespace: text("pid_namespace"),
  /** When the process began, in the kernel's unit, where it says so: another process with its id began later. */
  pidStarted: text("pid_started"),
  /** The last heartbeat by the machine's monotonic clock, in milliseconds. */
  heartbeatMonotonic: integer("heartbeat_monotonic"),
});

export const perspectives = sqliteTable(
  "perspectives",
  {
    id: integer().primaryKey(),
    runId: ofRun(),
    /** From 0, in the order of the config. The reference perspective has no row. */
    position: integer().notNull(),
    condition: text().notNull(),
    reading: exactText(),
    strategy: exactText().notNull(),
  },
  (table) => [uniqueIndex("perspectives_position").on(table.runId, table.position)],
);

/** An occurrence of an input in a run's file; inputs may repeat. */
export const tasks = sqliteTable(
  "tasks",
  {
    id: integer().primaryKey(),
    runId: ofRun(),
    /** From 0, in the order of the sample: the row of the file, unless the config draws or leaves out rows. */
    position: integer().notNull(),
    inputId: integer("input_id")
      .notNull()
      .references(() => texts.id),
    referenceId: integer("reference_id").references(() => texts.id),
    /** The input's own id in its file; null if the file has none. */
    sourceId: textOrInteger("source_id"),
    /** The values of the other columns that prompts use; null if they use none. */
    columns: storedJson<Record<string, unknown>>("columns"),
  },
  (table) => [
    uniqueIndex("tasks_position").on(table.runId, table.position),
    index("tasks_input").on(table.inputId),
    index("tasks_reference")
      .on(table.referenceId)
      .where(sql`reference_id is not null`),
  ],
);

/** Texts that a model returned. An answer does not belong to a run: calls of one or more runs point to it. */
export const answers = sqliteTable(
  "answers",
  {
    id: integer().primaryKey(),
    /** The call's key; see `callKeys` in plan/settings.ts. */
    key: text().notNull(),
    /** The part of the key in the index: enough to tell nearly all keys apart, in a third of the space. */
    keyPrefix: text("key_prefix").generatedAlwaysAs(sql`substr(key, 6, 16)`, { mode: "virtual" }),
    settingsId: integer("settings_id")
      .notNull()
      .references(() => settings.id),
    origin: text({ enum: ["live", "batch", "imported"] }).notNull(),
    text: exactText().notNull(),
    /** How the answer ended, in datagen's words; `length` means truncated. */
    finishReason: text("finish_reason"),
    /** The provider's own word for it; null if it is the same. */
    finishReasonRaw: text("finish_reason_raw"),
    /** The CRC-32 of the text's stored bytes; null for answers from before this column existed. */
    checksum: integer(),
    /** The model that answered, by the provider; null if it has the requested name. */
    servedModel: text("served_model"),
    createdAt: integer("created_at").notNull(),
    ...requestUsage(),
  },
  (table) => [index("answers_key").on(table.keyPrefix)],
);

/** The answers that a run needs: a row for each task, perspective, step and replicate. */
export const calls = sqliteTable(
  "calls",
  {
    id: integer().primaryKey(),
    runId: ofRun(),
    taskId: integer("task_id")
      .notNull()
      .references(() => tasks.id),
    perspectiveId: integer("perspective_id")
      .notNull()
      .references(() => perspectives.id),
    step: text().$type<Step>().notNull(),
    replicate: integer().notNull().default(1),
    state: text({ enum: ["pending", "succeeded", "failed"] })
      .notNull()
      .default("pending"),
    /** Set if and only if the state is `succeeded`. */
    answerId: integer("answer_id").references(() => answers.id),
    /** Why it failed: a reason from providers/provider.ts or calls.ts. */
    failure: text(),
    /** The settings to send the call with, if not the run's. The call keeps its answer until a better one arrives. */
    wantedSettingsId: integer("wanted_settings_id").references(() => settings.id),
    /** The batch that the call is in, until its result is stored. */
    batchId: integer("batch_id").references((): AnySQLiteColumn => batches.id),
  },
  (table) => [
    uniqueIndex("calls_cell").on(table.taskId, table.perspectiveId, table.step, table.replicate),
    index("calls_open")
      .on(table.runId, table.id)
      .where(sql`state = 'pending' or wanted_settings_id is not null`),
    index("calls_failed")
      .on(table.runId, table.id)
      .where(sql`state = 'failed'`),
    index("calls_answer")
      .on(table.answerId)
      .where(sql`answer_id is not null`),
  ],
);

/** Figures that were computed elsewhere. A score counts only while the call has the answer that it is of. */
export const scores = sqliteTable(
  "scores",
  {
    id: integer().primaryKey(),
    runId: ofRun(),
    callId: integer("call_id")
      .notNull()
      .references(() => calls.id),
    answerId: integer("answer_id")
      .notNull()
      .references(() => answers.id),
    name: text().notNull(),
    value: real().notNull(),
  },
  (table) => [
    uniqueIndex("scores_cell").on(table.callId, table.name),
    index("scores_name").on(table.runId, table.name, table.callId, table.answerId),
  ],
);

/**
 * Files of requests for a provider's batch API, submitted or about to be. Each request of a batch is an attempt. Its call
 * points to the batch until the result is stored.
 */
export const batches = sqliteTable(
  "batches",
  {
    id: integer().primaryKey(),
    runId: ofRun(),
    /** A random name for its file at the provider. It also marks the batch there, so that a lost submission can be found. */
    name: text().notNull().unique(),
    /** Its progress in datagen; `cancelling` once datagen has asked for its end, `done` when all its results are stored. */
    state: text({ enum: ["prepared", "uploaded", "submitted", "cancelling", "done"] })
      .notNull()
      .default("prepared"),
    /** The provider's ids of the file and of the batch, once they are known. */
    fileId: text("file_id"),
    batchId: text("batch_id"),
    /** The provider's status. */
    status: text(),
    requests: integer().notNull(),
    /** The provider's counts. */
    completed: integer().notNull().default(0),
    failed: integer().notNull().default(0),
    /** Why the whole batch failed, or was given up. */
    error: text(),
    createdAt: integer("created_at").notNull(),
    endedAt: integer("ended_at"),
  },
  (table) => [
    index("batches_open")
      .on(table.runId, table.id)
      .where(sql`state <> 'done'`),
  ],
);

/** Requests. A row is written before its request is sent, as `unanswered`, and changes when the result is known. */
export const attempts = sqliteTable(
  "attempts",
  {
    id: integer().primaryKey(),
    callId: integer("call_id")
      .notNull()
      .references(() => calls.id),
    startedAt: integer("started_at").notNull(),
    durationMs: integer("duration_ms").notNull(),
    /** `succeeded`, the reason of the failure, or `unanswered`. */
    outcome: text().notNull(),
    /** The decision: keep the answer, try the call again, fail the call, or stop the run. */
    decision: text({ enum: ["kept", "retry", "fail", "stop"] }).notNull(),
    /** The base URL of the server, if the run has several. */
    server: text(),
    httpStatus: integer("http_status"),
    /** The provider's id of the request. */
    requestId: text("request_id"),
    /** The provider's code of the error. */
    errorCode: text("error_code"),
    message: text(),
    /** The words with which the model refused, whole; null if it did not. */
    refusal: text(),
    /** The batch that it was sent in; null for a live request. */
    batchId: integer("batch_id").references(() => batches.id),
    /** Its token in a queue, until its result is stored: a result may come after the worker was given up. Else null. */
    jobToken: text("job_token"),
    /** Null if its price is unknown, or if it is unknown whether it was charged. */
    costNanoUsd: integer("cost_nano_usd"),
    /** The most prompt tokens that it may be charged for; null once its charge is known. */
    reservedPromptTokens: integer("reserved_prompt_tokens"),
    /** The same for completion tokens; also null if they have no limit. */
    reservedCompletionTokens: integer("reserved_completion_tokens"),
    ...requestUsage(),
  },
  (table) => [
    index("attempts_call").on(table.callId),
    index("attempts_batch")
      .on(table.batchId, table.id)
      .where(sql`batch_id is not null`),
    index("attempts_reserved")
      .on(table.callId)
      .where(sql`reserved_prompt_tokens is not null`),
    index("attempts_job")
      .on(table.jobToken)
      .where(sql`job_token is not null`),
  ],
);
