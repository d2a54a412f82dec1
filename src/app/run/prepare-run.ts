import type { Config, Overrides } from "../../config/schema.ts";
import { DeclinedError } from "../../errors.ts";
import type { Estimate } from "../../estimate/estimate.ts";
import { planHash } from "../../plan/plan-hash.ts";
import type { Expected, Part } from "../../plan/shard.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { timeOf } from "../../store/runs/holder.ts";
import { runningWithPlan } from "../../store/runs/leases.ts";
import type { Store } from "../../store/file/store.ts";
import type { InputsRead } from "../../sources/inputs.ts";
import { survey } from "../estimate/survey.ts";
import type { OnEvent } from "../events.ts";
import type { Environment } from "../server/environment.ts";
import type { ReusePolicy } from "../../store/reuse/reuse-policy.ts";
import { inputChanges } from "./input-changes.ts";
import { checkSendable, type Resolved, resolve } from "./resolve.ts";

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
  /** A label for lists. */
  name?: string | undefined;
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
  const { reuse = "same", shard: part = null, confirm, onEvent = () => {} } = options;
  const resolved = await resolve(store, given, options);
  const { config, target } = resolved;
  const connections = checkSendable(resolved);
  const { estimate, expected, read } = await survey(store, resolved, { reuse, shard: part, onEvent });
  const changes = await inputChanges(store, config, part, read.sha256);
  if (changes !== null) onEvent({ type: "warning", message: changes });
  const hash = planHash(config, target.settings, read.sha256);
  const twin = runningWithPlan(store, hash).find(({ shard }) => isSamePart(shard, part));
  const agree = async (question: PlanQuestion) => {
    if (confirm && !(await confirm(question))) throw new DeclinedError("nothing was sent, and no run was created");
  };
  if (twin) {
    const since = timeOf(twin.holder.acquiredAt);
    if (!confirm) {
      const message = `run ${twin.label} has the same plan, and is running since ${since}`;
      onEvent({ type: "warning", message });
    }
    await agree({ about: "running", run: twin.label, since });
  }
  const cost = expectedCost(config, estimate, onEvent);
  const { confirm_above_usd: aboveUsd = CONFIRM_ABOVE } = config;
  if (cost !== null && cost > aboveUsd) {
    const { to_send: calls } = estimate.calls;
    await agree({ about: "cost", costUsd: cost, aboveUsd, calls, model: config.model_config.model_name });
  }
  return { resolved, connections, estimate, expected, read, planHash: hash };
}

/** What a run will cost, at most its cap; null if that is unknown. Warns of an estimate above the cap. */
function expectedCost(config: Config, { cost_usd: cost }: Estimate, onEvent: OnEvent): number | null {
  const { executor = "live", max_cost_usd: cap } = config;
  const expected = cost[executor]?.expected ?? null;
  if (expected === null || cap === undefined || expected <= cap) return expected;
  const dollars = (value: number) => `$${Number(value.toPrecision(3))}`;
  const message = `the estimate of ${dollars(expected)} is above the cap of ${dollars(cap)}, where the run will stop`;
  onEvent({ type: "warning", message });
  return cap;
}

function isSamePart(one: Part | null, other: Part | null): boolean {
  return one?.count === other?.count && String(one?.indices) === String(other?.indices);
}
