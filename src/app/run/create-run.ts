import type { Config } from "../../config/schema.ts";
import { callsPerInput } from "../../plan/calls.ts";
import { nanoUsd } from "../../models/cost.ts";
import type { Settings } from "../../plan/settings.ts";
import type { Part } from "../../plan/shard.ts";
import { providers } from "../../providers/index.ts";
import { acquireLease, type Lease, releaseLease, renewLease } from "../../store/runs/leases.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { insertPerspectives, keepEachSettings, keepSettings } from "../../store/runs/plan.ts";
import { createTaskWriter } from "../../store/runs/task-writer.ts";
import { finishPlan, insertRun, newPublicId } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { createReuse, type Reuse } from "../../store/reuse/reuse.ts";
import { pulledSources } from "../data/pulled-sources.ts";
import { freeDatasetName } from "../dataset/dataset-name.ts";
import { localTime } from "../paths.ts";
import { earlierAnswers } from "./earlier-answers.ts";
import { changed, type Input, type InputsRead } from "../../sources/inputs.ts";
import { charactersOf } from "../../sources/fields.ts";
import { eachInput, rowOf } from "../estimate/survey.ts";
import { type CreateRunOptions, type PreparedRun, prepareRun } from "./prepare-run.ts";
import { rememberServers } from "../server/server-of-run.ts";
import { toolVersion } from "../version.ts";

/** About the most that one transaction of the plan writes, so that other processes can write in between. */
const PLAN_CHUNK = { calls: 5_000, characters: 8_000_000 };

/**
 * Checks a config and all its inputs, and plans the run into the store: every call becomes a pending row. Nothing is sent;
 * `executeRun` does that.
 * @returns the id of the run
 * @throws UsageError when anything is wrong, DeclinedError when `confirm` said no; then no run is created
 */
export async function createRun(store: Store, given: Config, options: CreateRunOptions = {}): Promise<string> {
  return await planRun(store, await prepareRun(store, given, options), options);
}

/**
 * Plans a run into the store.
 * @returns the id of the run
 * @throws UsageError when its inputs have changed since it was prepared
 * @internal
 */
export async function planRun(store: Store, prepared: PreparedRun, options: CreateRunOptions): Promise<string> {
  const { reuse: policy = "same", shard: part = null, name = null, onEvent = () => {} } = options;
  const { resolved, connections, estimate, expected, read } = prepared;
  const { config, target, priced } = resolved;
  sweep(store);
  const sources = await pulledSources(read.files, (message) => onEvent({ type: "warning", message }));

  const publicId = newPublicId();
  const createdAt = Date.now();
  // Created before the settings are stored: if they are new, there are no earlier answers to look for.
  using reuse = createReuse(store, target.asked, policy, config.model_config.reasoning_tags ?? null);
  const settingsId = keepSettings(store, target.settings);
  const askedIds = keepEachSettings(store, target.asked);
  const lease = inTransaction(store, () => {
    const { version, gitCommit } = toolVersion();
    const runId = insertRun(store, {
      publicId,
      name,
      taskType: config.task_type,
      provider: target.provider,
      model: config.model_config.model_name,
      settingsId,
      baseUrl: target.baseUrl,
      servers: target.baseUrls.length > 1 ? [...target.baseUrls] : null,
      baseUrlSource: target.baseUrlSource,
      config,
      inputSha256: read.sha256,
      sources,
      shard: part && { ...part, runs: [publicId], expected },
      planHash: prepared.planHash,
      toolVersion: version,
      gitCommit,
      createdAt,
      createdLocal: localTime(createdAt),
      datasetName: freeDatasetName(store, config, createdAt, publicId, part),
      estimatedPromptTokens: Math.round(expected.promptTokens),
      estimatedCompletionTokens: Math.round(expected.completionTokens),
      estimatedCostNanoUsd: expected.costNanoUsd === null ? null : Math.round(expected.costNanoUsd),
      prices: priced.prices,
      maxCostNanoUsd: config.max_cost_usd === undefined ? null : nanoUsd(config.max_cost_usd),
      reuse: policy,
      executor: config.executor ?? "live",
    });
    return acquireLease(store, runId, publicId);
  });
  const { provider, baseUrls, settings } = target;
  onEvent({ type: "created", id: publicId, provider, model: config.model_config.model_name, baseUrls, estimate });
  rememberServers(store, resolved, connections, onEvent);
  const notSent = new Set(target.asked.flatMap((asked) => providers[provider].refused(asked)));
  if (notSent.size > 0) {
    onEvent({ type: "warning", message: `${settings.model} does not take ${[...notSent].join(", ")}: not sent` });
  }
  try {
    await plan(store, lease, config, { reuse, part, read, asked: target.asked, askedIds });
  } finally {
    releaseLease(store, lease);
  }
  return publicId;
}

interface PlanOptions {
  reuse: Reuse;
  part: Part | null;
  /** What is known of the input files since they were checked. */
  read: InputsRead;
  /** The settings of each perspective, and their ids. */
  asked: readonly Settings[];
  askedIds: readonly number[];
}

/** Writes the run's rows in short transactions. The last one makes the run visible. */
async function plan(
  store: Store,
  lease: Lease,
  config: Config,
  { reuse, part, read, asked, askedIds }: PlanOptions,
): Promise<void> {
  const { runId } = lease;
  const calls = callsPerInput(config.agent_perspectives, config.replicates);
  const perspectiveIds = inTransaction(store, () => insertPerspectives(store, runId, config.agent_perspectives));
  const writeTask = createTaskWriter(store, runId, perspectiveIds, calls);
  const settingsIds = calls.map(({ perspective }) => askedIds[perspective]);
  const answersTo = earlierAnswers(config, calls, asked, reuse);
  const totals = { tasks: 0, callsTotal: 0, callsReused: 0, callsTruncated: 0, hasMixedSettings: false };
  let chunk: Input[] = [];
  let characters = 0;

  function write(): void {
    inTransaction(store, () => {
      for (const input of chunk) {
        const row = rowOf(input);
        const answers = answersTo(row);
        writeTask({ position: input.index, id: input.id, ...row, answers });
        totals.tasks += 1;
        totals.callsTotal += calls.length;
        for (const [at, answer] of answers.entries()) {
          if (!answer) continue;
          totals.callsReused += 1;
          if (answer.finishReason === "length") totals.callsTruncated += 1;
          if (answer.settingsId !== settingsIds[at]) totals.hasMixedSettings = true;
        }
      }
    });
    renewLease(store, lease);
    chunk = [];
    characters = 0;
  }

  const visit = (input: Input) => {
    chunk.push(input);
    characters += charactersOf(input);
    if (chunk.length * calls.length >= PLAN_CHUNK.calls || characters >= PLAN_CHUNK.characters) write();
  };
  const { sha256 } = await eachInput(config, part, visit, { withIds: read.hasIds });
  if (sha256 !== read.sha256) throw changed(config.data_config);
  write();
  inTransaction(store, () =>
    finishPlan(store, runId, {
      ...totals,
      perspectives: config.agent_perspectives.length,
      callsSucceeded: totals.callsReused,
      finishedAt: totals.callsReused === totals.callsTotal ? Date.now() : null,
    }),
  );
}
