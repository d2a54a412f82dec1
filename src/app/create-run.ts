import { existsSync } from "node:fs";
import { join } from "node:path";
import { applyOverrides } from "../config/parse.ts";
import type { Config, Overrides } from "../config/schema.ts";
import { type Input, readInputs } from "../dataset/inputs.ts";
import { UsageError } from "../errors.ts";
import { callsPerInput } from "../plan/calls.ts";
import { providers } from "../providers/index.ts";
import { acquireLease, type Lease, releaseLease, renewLease } from "../store/leases.ts";
import { inTransaction, type Store } from "../store/open.ts";
import { insertPerspectives, insertTask, keepSettings } from "../store/plan.ts";
import { finishPlan, insertRun, isDatasetNameTaken, newPublicId, sweep } from "../store/runs.ts";
import { DATASET_FOLDER, datasetName, localTime } from "./paths.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { createEstimator, type Estimate } from "./estimate.ts";
import type { OnEvent } from "./events.ts";
import { connectionOf, resolveTarget } from "./target.ts";
import { toolVersion } from "./version.ts";

/** Calls that one transaction of the plan writes, so that other processes can write in between. */
const PLAN_CHUNK = 5_000;

export interface CreateRunOptions {
  /** Take the place of the config's values. */
  overrides?: Overrides | undefined;
  /** A label for lists. */
  name?: string | undefined;
  /** Where keys and base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  onEvent?: OnEvent | undefined;
}

/**
 * Checks a config and its inputs to the end, and plans the run into the store: every call as a pending row. Nothing is
 * sent; see `executeRun`.
 * @returns the id of the run
 * @throws UsageError when anything is wrong; then no run was made
 */
export async function createRun(store: Store, given: Config, options: CreateRunOptions = {}): Promise<string> {
  const { overrides = {}, name = null, environment = readEnvironment(), onEvent = () => {} } = options;
  const config = applyOverrides(given, overrides);
  const target = resolveTarget(config, overrides.baseUrl !== undefined, environment);
  connectionOf(target, config.model_config.model_name, environment);
  const { estimate, sha256 } = await survey(config, target.settings.endpoint, onEvent);
  sweep(store);

  const publicId = newPublicId();
  const createdAt = Date.now();
  const lease = inTransaction(store, () => {
    const { version, gitCommit } = toolVersion();
    const stem = datasetName(config.task_type, config.model_config.model_name, createdAt);
    const isTaken = isDatasetNameTaken(store, stem) || existsSync(join(DATASET_FOLDER, `${stem}.json`));
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
      inputSha256: sha256,
      toolVersion: version,
      gitCommit,
      createdAt,
      createdLocal: localTime(createdAt),
      datasetName: isTaken ? `${stem}_${publicId}` : stem,
      estimatedPromptTokens: estimate.promptTokens,
      estimatedCompletionTokens: estimate.completionTokens,
    });
    return acquireLease(store, runId, publicId);
  });
  const { provider, baseUrl, settings } = target;
  onEvent({ type: "created", id: publicId, provider, model: config.model_config.model_name, baseUrl, estimate });
  const notSent = providers[provider].refused(settings);
  if (notSent.length > 0) {
    onEvent({ type: "warning", message: `${settings.model} does not take ${notSent.join(", ")}: not sent` });
  }
  try {
    await plan(store, lease, config, sha256, estimate);
  } finally {
    releaseLease(store, lease);
  }
  return publicId;
}

/** Reads the whole input once, before anything is written: checks every row, and counts what the run will send. */
async function survey(
  config: Config,
  endpoint: "chat" | "completions",
  onEvent: OnEvent,
): Promise<{ estimate: Estimate; sha256: string }> {
  const { input_data_path: path, sample_size: size } = config.data_config;
  const estimator = await createEstimator(config, endpoint);
  let withoutReference = 0;
  const sha256 = await eachInput(path, size, (input) => {
    estimator.add(input);
    if (input.reference === null) withoutReference += 1;
  });
  const estimate = estimator.estimate();
  if (estimate.inputs < size) {
    onEvent({
      type: "warning",
      message: `${path} has ${estimate.inputs} inputs; sample_size is ${size}, so all are used`,
    });
  }
  if (config.add_references && withoutReference > 0) {
    const message = `${withoutReference} of ${estimate.inputs} inputs have no reference; theirs is null in the dataset`;
    onEvent({ type: "warning", message });
  }
  return { estimate, sha256 };
}

/** Writes the run's rows in short transactions, of which the last makes it visible. */
async function plan(store: Store, lease: Lease, config: Config, sha256: string, estimate: Estimate): Promise<void> {
  const { input_data_path: path, sample_size: size } = config.data_config;
  const { runId } = lease;
  const calls = callsPerInput(config.agent_perspectives);
  const perspectiveIds = inTransaction(store, () => insertPerspectives(store, runId, config.agent_perspectives));
  const inputsPerChunk = Math.max(1, Math.floor(PLAN_CHUNK / calls.length));
  let chunk: Input[] = [];

  function write(): void {
    inTransaction(store, () => {
      for (const { index, text, reference } of chunk) {
        insertTask(store, { id: runId, perspectiveIds, calls }, { position: index, input: text, reference });
      }
    });
    renewLease(store, lease);
    chunk = [];
  }

  const found = await eachInput(path, size, (input) => {
    if (chunk.push(input) === inputsPerChunk) write();
  });
  if (found !== sha256) {
    throw new UsageError(`${path} changed while it was read`, "Run again once nothing writes to it.");
  }
  write();
  inTransaction(store, () =>
    finishPlan(store, runId, {
      tasks: estimate.inputs,
      perspectives: config.agent_perspectives.length,
      callsTotal: estimate.calls.total,
    }),
  );
}

/** @returns the SHA-256 of the file */
async function eachInput(path: string, limit: number, visit: (input: Input) => void): Promise<string> {
  const inputs = readInputs(path, limit);
  for (let next = await inputs.next(); ; next = await inputs.next()) {
    if (next.done) return next.value;
    visit(next.value);
  }
}
