import type { Config } from "../../config/schema.ts";
import { callsPerInput } from "../../plan/calls.ts";
import { nanoUsd } from "../../models/cost.ts";
import type { Part } from "../../plan/shard.ts";
import { providers } from "../../providers/index.ts";
import { acquireLease, type Lease, renewLease } from "../../store/runs/leases.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { insertPerspectives, keepEachSettings, keepSettings } from "../../store/runs/plan.ts";
import { createTaskWriter } from "../../store/runs/task-writer.ts";
import type { DataSource } from "../../store/runs/data-source.ts";
import { insertExperiment, madeName } from "../../store/runs/experiments.ts";
import { finishPlan, getRun, insertRun, newPublicId } from "../../store/runs/runs.ts";
import { sweep } from "../../store/runs/sweep.ts";
import { createReuse, type Reuse } from "../../store/reuse/reuse.ts";
import { pulledSources } from "../data/pulled-sources.ts";
import { freeDatasetName } from "../dataset/dataset-name.ts";
import { localTime } from "../paths.ts";
import { earlierAnswers } from "./earlier-answers.ts";
import { changed, type Input } from "../../sources/inputs.ts";
import { charactersOf } from "../../sources/fields.ts";
import { eachInput, rowOf } from "../estimate/survey.ts";
import { type CreateRunOptions, type PreparedRun, prepareRun, prepareRuns } from "./prepare-run.ts";
import type { OnEvent } from "../events.ts";
import { type NamedRuns, namedRuns } from "../runs/named-runs.ts";
import { releaseIfPossible } from "./with-lease.ts";
import { rememberServers } from "../server/server-of-run.ts";
import { toolVersion } from "../version.ts";

/** About the most that one transaction of the plan writes, so that other processes can write in between. */
const PLAN_CHUNK = { calls: 5_000, characters: 8_000_000 };

/** An experiment in the store. */
export interface CreatedExperiment {
  name: string;
  /** The ids of its runs, in the order of its models. */
  runs: string[];
}

/**
 * Checks a config and all its inputs, and plans the run into the store: every call becomes a pending row. Nothing is sent;
 * `executeRun` does that.
 * @returns the id of the run
 * @throws UsageError when anything is wrong, DeclinedError when `confirm` said no; then no run is created
 */
export async function createRun(store: Store, given: Config, options: CreateRunOptions = {}): Promise<string> {
  const { name } = await planRuns(store, [await prepareRun(store, given, options)], options);
  return name;
}

/**
 * As {@link createRun}, for several models over the same inputs and perspectives: a run for each, or none. Their configs
 * differ in the model only. The cap is that of all runs together; the name is that of the experiment.
 * @param configs as `loadConfigs` returns them
 * @throws UsageError also when two models are the same, or when the name is taken
 */
export async function createExperiment(
  store: Store,
  configs: readonly Config[],
  options: CreateRunOptions = {},
): Promise<CreatedExperiment> {
  const prepared = await prepareRuns(store, configs, options);
  const { name, runs } = await planRuns(store, prepared, options, true);
  return { name, runs: runs.map(({ id }) => id) };
}

/** A run whose rows are being written. Nobody sees it yet. */
interface Draft {
  prepared: PreparedRun;
  publicId: string;
  lease: Lease;
  reuse: Reuse;
  askedIds: readonly number[];
}

/**
 * Plans runs into the store, where all become visible at once.
 * @param isExperiment whether they are the runs of an experiment, which a single run may be, too
 * @throws UsageError when their inputs have changed since they were prepared, or the name of the experiment is taken
 * @internal
 */
export async function planRuns(
  store: Store,
  all: readonly PreparedRun[],
  options: CreateRunOptions,
  isExperiment = all.length > 1,
): Promise<NamedRuns> {
  const { onEvent = () => {} } = options;
  sweep(store);
  const onWarning = (message: string) => onEvent({ type: "warning", message });
  const sources = await pulledSources(all[0]?.read.files ?? [], onWarning);
  const reuses: Reuse[] = [];
  let drafts: Draft[] = [];
  try {
    // Created before the settings are stored: if they are new, there are no earlier answers to look for.
    for (const { resolved } of all) {
      const { target, config } = resolved;
      const tags = config.model_config.reasoning_tags ?? null;
      reuses.push(createReuse(store, target.asked, options.reuse ?? "same", tags));
    }
    drafts = insertRuns(store, all, { ...options, isExperiment, sources, reuses });
    for (const draft of drafts) announce(store, draft, onEvent);
    const renew = () => drafts.forEach(({ lease }) => renewLease(store, lease));
    const totals: Totals[] = [];
    for (const draft of drafts) totals.push(await plan(store, draft, options.shard ?? null, renew));
    inTransaction(store, () => drafts.forEach(({ lease }, at) => finish(store, lease.runId, totals[at])));
  } finally {
    for (const { lease } of drafts) releaseIfPossible(store, lease);
    for (const reuse of reuses) reuse[Symbol.dispose]();
  }
  const [first] = drafts;
  if (!first) throw new Error("no run was planned");
  const { publicId, experiment } = getRun(store, first.lease.runId);
  return namedRuns(store, experiment?.name ?? publicId);
}

interface InsertOptions extends CreateRunOptions {
  isExperiment: boolean;
  sources: DataSource[] | null;
  reuses: readonly Reuse[];
}

/** Stores the rows of runs, in one transaction, and takes their leases. */
function insertRuns(store: Store, all: readonly PreparedRun[], options: InsertOptions): Draft[] {
  const { name = null, isExperiment, reuses } = options;
  const createdAt = Date.now();
  const createdLocal = localTime(createdAt);
  return inTransaction(store, () => {
    const { task_type: taskType, max_cost_usd: capUsd } = all[0]!.resolved.config;
    const maxCostNanoUsd = capUsd === undefined ? null : nanoUsd(capUsd);
    const experimentId = isExperiment
      ? insertExperiment(store, { name: name ?? madeName(store, taskType, createdLocal), createdAt, maxCostNanoUsd })
      : null;
    const common = {
      name: isExperiment ? null : name,
      experimentId,
      maxCostNanoUsd: isExperiment ? null : maxCostNanoUsd,
      createdAt,
      createdLocal,
    };
    return all.map((prepared, at): Draft => {
      const publicId = newPublicId();
      const run = rowFor(store, prepared, publicId, { ...options, createdAt });
      const runId = insertRun(store, { ...run, ...common });
      const askedIds = keepEachSettings(store, prepared.resolved.target.asked);
      return { prepared, publicId, lease: acquireLease(store, runId, publicId), reuse: reuses[at]!, askedIds };
    });
  });
}

function rowFor(
  store: Store,
  { resolved, expected, read, planHash }: PreparedRun,
  publicId: string,
  { shard, reuse = "same", sources, createdAt }: InsertOptions & { createdAt: number },
) {
  const part = shard ?? null;
  const { config, target, priced } = resolved;
  const { version, gitCommit } = toolVersion();
  const { costNanoUsd } = expected;
  return {
    publicId,
    taskType: config.task_type,
    provider: target.provider,
    model: config.model_config.model_name,
    settingsId: keepSettings(store, target.settings),
    baseUrl: target.baseUrl,
    servers: target.baseUrls.length > 1 ? [...target.baseUrls] : null,
    baseUrlSource: target.baseUrlSource,
    config,
    inputSha256: read.sha256,
    sources,
    shard: part && { ...part, runs: [publicId], expected },
    planHash,
    toolVersion: version,
    gitCommit,
    datasetName: freeDatasetName(store, config, createdAt, publicId, part),
    estimatedPromptTokens: Math.round(expected.promptTokens),
    estimatedCompletionTokens: Math.round(expected.completionTokens),
    estimatedCostNanoUsd: costNanoUsd === null ? null : Math.round(costNanoUsd),
    prices: priced.prices,
    reuse,
    executor: config.executor ?? "live",
  };
}

/** Says that a run is in the store, and what its provider does not take. */
function announce(store: Store, { prepared, publicId: id }: Draft, onEvent: OnEvent): void {
  const { resolved, connections, estimate } = prepared;
  const { config, target } = resolved;
  const { provider, baseUrls, settings } = target;
  onEvent({ type: "created", id, provider, model: config.model_config.model_name, baseUrls, estimate });
  // With a queue, no key is used here.
  const variables = config.executor === "queue" ? { shell: {}, file: {} } : resolved.variables;
  rememberServers(store, { target, variables }, connections, onEvent);
  const added = target.asked.map((asked) => providers[provider].addition?.(asked)).find((text) => text);
  if (added) onEvent({ type: "warning", message: added });
  const notSent = new Set(target.asked.flatMap((asked) => providers[provider].refused(asked)));
  if (notSent.size === 0) return;
  onEvent({ type: "warning", message: `${settings.model} does not take ${[...notSent].join(", ")}: not sent` });
}

/** What the rows of a run add up to. */
interface Totals {
  tasks: number;
  perspectives: number;
  callsTotal: number;
  callsReused: number;
  callsTruncated: number;
  hasMixedSettings: boolean;
}

/** Writes a run's rows in short transactions. @param renew renews the leases of all runs that are planned */
async function plan(
  store: Store,
  { prepared, lease, reuse, askedIds }: Draft,
  part: Part | null,
  renew: () => void,
): Promise<Totals> {
  const { resolved, read } = prepared;
  const { config, target } = resolved;
  const { runId } = lease;
  const calls = callsPerInput(config.agent_perspectives, config.replicates);
  const perspectiveIds = inTransaction(store, () => insertPerspectives(store, runId, config.agent_perspectives));
  const writeTask = createTaskWriter(store, runId, perspectiveIds, calls);
  const settingsIds = calls.map(({ perspective }) => askedIds[perspective]);
  const answersTo = earlierAnswers(config, calls, target.asked, reuse);
  const perspectives = config.agent_perspectives.length;
  const totals: Totals = {
    tasks: 0,
    perspectives,
    callsTotal: 0,
    callsReused: 0,
    callsTruncated: 0,
    hasMixedSettings: false,
  };
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
    renew();
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
  return totals;
}

/** Makes a planned run visible. */
function finish(store: Store, runId: number, totals: Totals | undefined): void {
  if (totals === undefined) throw new Error("a run was not planned");
  const finishedAt = totals.callsReused === totals.callsTotal ? Date.now() : null;
  finishPlan(store, runId, { ...totals, callsSucceeded: totals.callsReused, finishedAt });
}
