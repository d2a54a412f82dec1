import type { Config, Overrides } from "../../config/schema.ts";
import { DeclinedError } from "../../errors.ts";
import type { Estimate } from "../../estimate/estimate.ts";
import { planHash } from "../../plan/plan-hash.ts";
import type { Expected, Part } from "../../plan/shard.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { timeOf } from "../../store/runs/holder.ts";
import { runningWithPlan } from "../../store/runs/leases.ts";
import type { Store } from "../../store/file/store.ts";
import { changed, type InputsRead } from "../../sources/inputs.ts";
import { checkExperimentName } from "../../store/runs/experiments.ts";
import { survey } from "../estimate/survey.ts";
import type { OnEvent } from "../events.ts";
import type { Environment } from "../server/environment.ts";
import type { ReusePolicy } from "../../store/reuse/reuse-policy.ts";
import { batchFolder } from "./batches.ts";
import { inputChanges } from "./input-changes.ts";
import { createBatchProbe } from "./probe-batches.ts";
import { checkAllSendable, type Resolved, resolveAll } from "./resolve.ts";

/** A question to the user before a run is planned. */
export type PlanQuestion =
  /** A run of the same plan is being executed. */
  | { about: "running"; run: string; since: string }
  /** The run will cost more than the amount above which the user wants to be asked, in US dollars. */
  | { about: "cost"; costUsd: number; aboveUsd: number; calls: number; model: string };

export interface CreateRunOptions {
  /** Values that override the config's. */
  overrides?: Overrides | undefined;
  /** Runs only a part of the inputs; `mergeDatabase` joins all parts into one run. */
  shard?: Part | undefined;
  /** Which answers of earlier calls to reuse: by default those with the `same` key. */
  reuse?: ReusePolicy | undefined;
  /** A label for lists; of an experiment, its name. */
  name?: string | undefined;
  /** The URL of the queue, for the executor `queue`. Default: `DATAGEN_QUEUE`. It is not stored. */
  queue?: string | undefined;
  /** Where keys and base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  /** Asks the user. Left out if nobody can be asked, or wants to be: then the run is created. */
  confirm?: ((question: PlanQuestion) => Promise<boolean>) | undefined;
  onEvent?: OnEvent | undefined;
}

/** A run that is checked, estimated and agreed to, and of which nothing is written yet. */
export interface PreparedRun {
  resolved: Resolved;
  /** One for each server. */
  connections: Connection[];
  estimate: Estimate;
  expected: Expected;
  /** What is known of the input files. */
  read: InputsRead;
  planHash: string;
}

/** In US dollars. */
const CONFIRM_ABOVE = 1;

/**
 * Checks a config and all its inputs, estimates the run, and asks the user where that is needed. Writes nothing.
 * @throws UsageError when anything is wrong, DeclinedError when the user said no
 * @internal
 */
export async function prepareRun(store: Store, given: Config, options: CreateRunOptions): Promise<PreparedRun> {
  const [prepared] = await prepareRuns(store, [given], options);
  if (!prepared) throw new Error("no run was prepared");
  return prepared;
}

/**
 * As {@link prepareRun}, for the runs of an experiment. The user is asked once about their cost.
 * @throws UsageError also when two of them are the same
 * @internal
 */
export async function prepareRuns(
  store: Store,
  configs: readonly Config[],
  options: CreateRunOptions,
): Promise<PreparedRun[]> {
  const { reuse = "same", shard: part = null, confirm, name } = options;
  const onEvent = withoutRepeats(options.onEvent);
  const all = await resolveAll(store, configs, options);
  if (all.length > 1 && name !== undefined) checkExperimentName(store, name);
  const connections = checkAllSendable(all, options.queue);
  await probeBatches(store, all, connections);
  const agree = async (question: PlanQuestion) => {
    if (confirm && !(await confirm(question))) throw new DeclinedError("nothing was sent, and no run was created");
  };
  const prepared: PreparedRun[] = [];
  for (const [at, resolved] of all.entries()) {
    const { config, target } = resolved;
    const { estimate, expected, read } = await survey(store, resolved, { reuse, shard: part, onEvent });
    const [first] = prepared;
    if (first && first.read.sha256 !== read.sha256) throw changed(config.data_config);
    const changes = first ? null : await inputChanges(store, config, part, read.sha256);
    if (changes !== null) onEvent({ type: "warning", message: changes });
    const hash = planHash(config, target.settings, read.sha256);
    const twin = runningWithPlan(store, hash).find(({ shard }) => isSamePart(shard, part));
    if (twin) {
      const since = timeOf(twin.holder.acquiredAt);
      const message = `run ${twin.label} has the same plan, and is running since ${since}`;
      if (!confirm) onEvent({ type: "warning", message });
      await agree({ about: "running", run: twin.label, since });
    }
    prepared.push({ resolved, connections: connections[at] ?? [], estimate, expected, read, planHash: hash });
  }
  const question = costQuestion(prepared, onEvent);
  if (question) await agree(question);
  return prepared;
}

/** Finds out whether the servers of the runs that go in batches take them. */
async function probeBatches(
  store: Store,
  all: readonly Resolved[],
  connections: readonly (readonly Connection[])[],
): Promise<void> {
  const probe = createBatchProbe();
  for (const [at, { config, target }] of all.entries()) {
    const [first] = connections[at] ?? [];
    if (config.executor === "batch" && first) await probe(target, first, batchFolder(store.path));
  }
}

/**
 * What prepares or estimates several models says some things for each. They are passed on once.
 * @internal
 */
export function withoutRepeats(onEvent: OnEvent = () => {}): OnEvent {
  const said = new Set<string>();
  return (event) => {
    if (event.type === "warning" && said.size === said.add(event.message).size) return;
    onEvent(event);
  };
}

/** What to ask about the cost of all runs; null if they cost less than what the user wants to be asked about. */
function costQuestion(prepared: readonly PreparedRun[], onEvent: OnEvent): PlanQuestion | null {
  const [first] = prepared;
  if (!first) return null;
  const { config } = first.resolved;
  const costUsd = expectedCost(config, prepared, onEvent);
  const { confirm_above_usd: aboveUsd = CONFIRM_ABOVE } = config;
  if (costUsd === null || costUsd <= aboveUsd) return null;
  const calls = prepared.reduce((sum, { estimate }) => sum + estimate.calls.to_send, 0);
  const model = prepared.map(({ resolved }) => resolved.config.model_config.model_name).join(", ");
  return { about: "cost", costUsd, aboveUsd, calls, model };
}

/** What runs will cost, at most their cap; null if that is unknown. Warns of an estimate above the cap. */
function expectedCost(config: Config, prepared: readonly PreparedRun[], onEvent: OnEvent): number | null {
  const { executor = "live", max_cost_usd: cap } = config;
  const costs = prepared.map(
    ({ estimate }) => estimate.cost_usd[executor === "batch" ? "batch" : "live"]?.expected ?? null,
  );
  const known = costs.filter((cost) => cost !== null);
  const expected = known.length < costs.length ? null : known.reduce((sum, cost) => sum + cost, 0);
  if (expected === null || cap === undefined || expected <= cap) return expected;
  const dollars = (value: number) => `$${Number(value.toPrecision(3))}`;
  const message = `the estimate of ${dollars(expected)} is above the cap of ${dollars(cap)}, where the run will stop`;
  onEvent({ type: "warning", message });
  return cap;
}

function isSamePart(one: Part | null, other: Part | null): boolean {
  return one?.count === other?.count && String(one?.indices) === String(other?.indices);
}
