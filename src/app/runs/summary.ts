import { usd } from "../../models/cost.ts";
import { missingShards, type Part } from "../../plan/shard.ts";
import { callCounts } from "../../store/runs/call-counts.ts";
import type { RunSummaryRow } from "../../store/runs/runs.ts";
import type { RunStatus } from "../../store/runs/status.ts";

/** A run in `datagen runs list --json`. */
export interface RunSummary {
  id: string;
  name: string | null;
  status: RunStatus;
  task_type: string;
  model: string;
  provider: string;
  tasks: number;
  perspectives: number;
  calls: { total: number; succeeded: number; failed: number; pending: number; reused: number; truncated: number };
  tokens: {
    prompt: number;
    completion: number;
    total: number;
    cached: number;
    reasoning: number;
    /** Whether any of the tokens were counted by datagen. */
    estimated: boolean;
  };
  /** The cost of its requests, including failed ones; null if any part is unknown, as for an imported run. */
  cost_usd: number | null;
  /** ISO 8601, UTC. */
  created_at: string;
  /** Null while any call is pending. */
  finished_at: string | null;
  /** The name of the experiment that it is part of; null if it was planned alone. */
  experiment: string | null;
  /** For a run with a part of the inputs: of every `count` inputs in order, those at `indices`, counted from 1. */
  shard?: { indices: number[]; count: number };
  /** Set if the run was imported from a dataset. */
  imported?: true;
}

/** The part of the inputs that a run has. */
function partOf({ indices, count }: Part): Part {
  return { indices, count };
}

/** @internal */
export function summaryOf(run: RunSummaryRow): RunSummary {
  return {
    id: run.publicId,
    name: run.name,
    status: run.status,
    task_type: run.taskType,
    model: run.model,
    provider: run.provider,
    tasks: run.tasks,
    perspectives: run.perspectives,
    calls: callCounts(run),
    tokens: {
      prompt: run.promptTokens,
      completion: run.completionTokens,
      total: run.promptTokens + run.completionTokens,
      cached: run.cachedTokens,
      reasoning: run.reasoningTokens,
      estimated: run.tokensEstimated,
    },
    cost_usd: run.imported !== null || run.attemptsUnpriced > 0 ? null : usd(run.costNanoUsd),
    created_at: new Date(run.createdAt).toISOString(),
    finished_at: run.finishedAt === null ? null : new Date(run.finishedAt).toISOString(),
    experiment: run.experiment?.name ?? null,
    ...(run.imported !== null && { imported: true }),
    ...(run.shard !== null && missingShards(run.shard).length > 0 && { shard: partOf(run.shard) }),
  };
}
