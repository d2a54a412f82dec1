import { sql } from "drizzle-orm";
import { type AnySQLiteColumn, index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ExecutorName } from "../config/executors.ts";
import type { ProviderName } from "../config/providers.ts";
import type { Config } from "../config/schema.ts";
import type { Prices } from "../models/cost.ts";
import type { Step } from "../plan/calls.ts";
import type { Shard } from "../plan/shard.ts";
import type { Settings } from "../plan/settings.ts";
import { exactText, storedJson } from "./columns.ts";
import { REUSE_POLICIES } from "./reuse/reuse-policy.ts";
import type { ImportedFrom } from "./import/imported-from.ts";

/*
 * Times are milliseconds since 1970 UTC, costs billionths of a US dollar. Integer ids are local to one database file. No foreign key cascades: rows are
 * removed by runs.ts alone, so that rebuilding a table in a migration can never take others with it.
 */

const usage = () => ({
  promptTokens: integer("prompt_tokens").notNull().default(0),
  completionTokens: integer("completion_tokens").notNull().default(0),
  /** A subset of the prompt tokens. */
  cachedTokens: integer("cached_tokens").notNull().default(0),
  /** Written to the provider's cache: another subset of the prompt tokens. */
  cacheWriteTokens: integer("cache_write_tokens").notNull().default(0),
  /** A subset of the completion tokens. */
  reasoningTokens: integer("reasoning_tokens").notNull().default(0),
  /** Whether any of the counts is ours, as the provider reported none. */
  tokensEstimated: integer("tokens_estimated", { mode: "boolean" }).notNull().default(false),
});

/** Given texts, inputs and references alike, each once by its hash and shared by runs. */
export const texts = sqliteTable("texts", {
  id: integer().primaryKey(),
  /** `s256:` and the SHA-256 of the text. */
  hash: text().notNull().unique(),
  text: exactText().notNull(),
});

/** What requests ask for beside their messages, each combination once. */
export const settings = sqliteTable("settings", {
  id: integer().primaryKey(),
  /** `s256:` and the SHA-256 of the canonical JSON in `value`. */
  hash: text().notNull().unique(),
  value: storedJson<Settings>("value").notNull(),
});

export const runs = sqliteTable(
  "runs",
  {
    id: integer().primaryKey(),
    /** Random and short: what users type, and what survives merging databases. */
    publicId: text("public_id").notNull().unique(),
    name: text(),
    taskType: text("task_type").notNull(),
    provider: text().$type<ProviderName>().notNull(),
    model: text().notNull(),
    settingsId: integer("settings_id")
      .notNull()
      .references(() => settings.id),
    /** Where requests go; null for the offline provider. */
    baseUrl: text("base_url"),
    /** Who said so, which decides the API key that may go there. */
    baseUrlSource: text("base_url_source", { enum: ["flag", "config", "environment", "default"] }).notNull(),
    /** The validated config with the flags of `run` in it. */
    config: storedJson<Config>("config").notNull(),
    /** SHA-256 of the input file's bytes, in hex; empty where it is not known, of an imported run. */
    inputSha256: text("input_sha256").notNull(),
    /** Which part of the inputs the run has; null where it has all. */
    shard: storedJson<Shard>("shard"),
    /** `s256:` and the SHA-256 of what the calls of the whole follow from; see `planHash` in plan/plan-hash.ts. */
    planHash: text("plan_hash").notNull().default(""),
    /** Of a run that was taken in from a dataset; null of all others. */
    imported: storedJson<ImportedFrom>("imported"),
    toolVersion: text("tool_version").notNull(),
    gitCommit: text("git_commit"),
    createdAt: integer("created_at").notNull(),
    /** `createdAt` in the local time of the machine that planned the run: ISO 8601 to the second, without a zone. */
    createdLocal: text("created_local").notNull(),
    /** The dataset's file name without its ending. */
    datasetName: text("dataset_name").notNull(),
    /** When the plan was whole. Until then, and once the run is being deleted, nothing shows the run. */
    plannedAt: integer("planned_at"),
    /** When the last call was done; null while any is pending. */
    finishedAt: integer("finished_at"),
    estimatedPromptTokens: integer("estimated_prompt_tokens"),
    estimatedCompletionTokens: integer("estimated_completion_tokens"),
    estimatedCostNanoUsd: integer("estimated_cost_nano_usd"),
    /** What the run's attempts are priced with; null where that is unknown. */
    prices: storedJson<Prices>("prices"),
    /** What the run may cost; null where nothing was said. */
    maxCostNanoUsd: integer("max_cost_nano_usd"),
    /** How calls reach the provider. */
    executor: text().$type<ExecutorName>().notNull().default("live"),
    /** Batches whose results are not in. */
    batchesOpen: integer("batches_open").notNull().default(0),
    /** Which answers of earlier calls do. */
    reuse: text({ enum: REUSE_POLICIES }).notNull().default("same"),
    // Totals of the rows below, changed in the same transactions as those.
    tasks: integer().notNull().default(0),
    perspectives: integer().notNull().default(0),
    callsTotal: integer("calls_total").notNull().default(0),
    /** Includes the reused ones. */
    callsSucceeded: integer("calls_succeeded").notNull().default(0),
    callsFailed: integer("calls_failed").notNull().default(0),
    callsReused: integer("calls_reused").notNull().default(0),
    /** Answers that the token limit cut off. */
    callsTruncated: integer("calls_truncated").notNull().default(0),
    /** Answered calls that are to be answered better. */
    callsReopened: integer("calls_reopened").notNull().default(0),
    /** Attempts that have come to an end. */
    attempts: integer().notNull().default(0),
    /** What the attempts cost, as far as it is known. */
    costNanoUsd: integer("cost_nano_usd").notNull().default(0),
    /** Attempts whose cost is unknown. */
    attemptsUnpriced: integer("attempts_unpriced").notNull().default(0),
    /** Whether an answer was asked with other settings than the run's. */
    hasMixedSettings: integer("has_mixed_settings", { mode: "boolean" }).notNull().default(false),
    ...usage(),
  },
  (table) => [index("runs_created").on(table.createdAt), index("runs_dataset_name").on(table.datasetName)],
);

/** The process that executes a run. It alone commits results; see leases.ts. */
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
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id),
    /** From 0, in the order of the config; the reference perspective is none of them. */
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
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id),
    /** The row of the input file, from 0. */
    position: integer().notNull(),
    inputId: integer("input_id")
      .notNull()
      .references(() => texts.id),
    referenceId: integer("reference_id").references(() => texts.id),
  },
  (table) => [
    uniqueIndex("tasks_position").on(table.runId, table.position),
    index("tasks_input").on(table.inputId),
    index("tasks_reference")
      .on(table.referenceId)
      .where(sql`reference_id is not null`),
  ],
);

/** Texts that were paid for. An answer stands alone: calls point to it, of one run or of several. */
export const answers = sqliteTable(
  "answers",
  {
    id: integer().primaryKey(),
    /** The call's key; see `callKeys` in plan/settings.ts. */
    key: text().notNull(),
    /** What the index has of the key: nearly always all that it takes to tell one from others, in a third of the space. */
    keyPrefix: text("key_prefix").generatedAlwaysAs(sql`substr(key, 6, 16)`, { mode: "virtual" }),
    settingsId: integer("settings_id")
      .notNull()
      .references(() => settings.id),
    origin: text({ enum: ["live", "batch", "imported"] }).notNull(),
    text: exactText().notNull(),
    /** How the answer ended, in words of ours; `length` means truncated. */
    finishReason: text("finish_reason"),
    /** The provider's own word for it; null where that is the same. */
    finishReasonRaw: text("finish_reason_raw"),
    /** CRC-32 of the text's bytes as they are stored; null of answers from before there was one. */
    checksum: integer(),
    /** The model that the provider says has answered, where it is not the one that was asked. */
    servedModel: text("served_model"),
    createdAt: integer("created_at").notNull(),
    ...usage(),
  },
  (table) => [index("answers_key").on(table.keyPrefix)],
);

/** The answers that a run needs: a row for each task, perspective, step and replicate. */
export const calls = sqliteTable(
  "calls",
  {
    id: integer().primaryKey(),
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id),
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
    /** Set where, and only where, the state is `succeeded`. */
    answerId: integer("answer_id").references(() => answers.id),
    /** Why it failed: a reason of providers/provider.ts, or one of calls.ts. */
    failure: text(),
    /** What the call is to be asked with, where not with the run's settings; it keeps its answer until a better comes. */
    wantedSettingsId: integer("wanted_settings_id").references(() => settings.id),
    /** The batch that it is in until its result is. */
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

/**
 * Files of requests that were handed to a provider's batch engine, or are about to be. The requests of one are attempts,
 * and their calls point to it until their results are in.
 */
export const batches = sqliteTable(
  "batches",
  {
    id: integer().primaryKey(),
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id),
    /** Random: the name of its file at the provider, and its mark, by which a lost submission is found again. */
    name: text().notNull().unique(),
    /** How far it has come here; `done` when its results are in. */
    state: text({ enum: ["prepared", "uploaded", "submitted", "done"] })
      .notNull()
      .default("prepared"),
    /** The provider's ids of its file and of itself, as soon as they are known. */
    fileId: text("file_id"),
    batchId: text("batch_id"),
    /** As the provider says it. */
    status: text(),
    requests: integer().notNull(),
    /** The provider's counts. */
    completed: integer().notNull().default(0),
    failed: integer().notNull().default(0),
    /** Why it has failed whole. */
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

/**
 * Requests that were sent. A row is written before its request leaves, as `unanswered`, with what the request may use
 * at most; that stays while it is not known what came of it.
 */
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
    /** What was decided: the answer was kept, the call is tried again, has failed, or the run stops. */
    decision: text({ enum: ["kept", "retry", "fail", "stop"] }).notNull(),
    httpStatus: integer("http_status"),
    /** The provider's id of the request. */
    requestId: text("request_id"),
    /** The provider's code of the error. */
    errorCode: text("error_code"),
    message: text(),
    /** The batch that it was sent in; null of a request of its own. */
    batchId: integer("batch_id").references(() => batches.id),
    /** Null where its price is unknown, or whether it was charged. */
    costNanoUsd: integer("cost_nano_usd"),
    /** The most prompt tokens that it may be charged with; null once that is known. */
    reservedPromptTokens: integer("reserved_prompt_tokens"),
    /** The same of completion tokens; null too where nothing limits them. */
    reservedCompletionTokens: integer("reserved_completion_tokens"),
    ...usage(),
  },
  (table) => [
    index("attempts_call").on(table.callId),
    index("attempts_batch")
      .on(table.batchId, table.id)
      .where(sql`batch_id is not null`),
    index("attempts_reserved")
      .on(table.callId)
      .where(sql`reserved_prompt_tokens is not null`),
  ],
);

/** Prices that the user has set. */
export const userPrices = sqliteTable(
  "user_prices",
  {
    id: integer().primaryKey(),
    model: text().notNull(),
    /** The server that they are for; empty for every server that has none of its own. */
    baseUrl: text("base_url").notNull(),
    value: storedJson<Prices>("value").notNull(),
  },
  (table) => [uniqueIndex("user_prices_model").on(table.model, table.baseUrl)],
);
