import { usedText } from "../../plan/reasoning.ts";
import { InputGroups } from "../../stats/bootstrap.ts";
import type { Collector } from "../../stats/collector.ts";
import { kindsOf } from "../../stats/kinds.ts";
import { PARTS, type Part } from "../../stats/parts.ts";
import { answerSample, MOST_SIMILAR, similaritySample } from "../../stats/sample.ts";
import { commonSignatures } from "../../stats/signature.ts";
import type { Difference, GroupStatistics } from "../../stats/statistics.ts";
import { MOST_COMPARED, type Summarized, Summary } from "../../stats/summarize.ts";
import { readAtOneMoment } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { answerText } from "../../store/runs/calls.ts";
import { runNamed, type RunRow, runsNamed } from "../../store/runs/runs.ts";
import type { OnEvent } from "../events.ts";
import { collectRun } from "./collect-run.ts";
import { openKnownStatistics } from "./known-statistics.ts";
import { withScores } from "./score-spreads.ts";
import { type Turn, turnsFor } from "./turns.ts";

export interface StatisticsOptions {
  /** The groups that are compared with each other. Default: conditions. */
  by?: "condition" | "kind" | undefined;
  /** The parts of the work. Default: all; the figures of others are null. */
  parts?: readonly Part[] | undefined;
  /** Gets warnings. */
  onEvent?: OnEvent | undefined;
  /** Ends the work. While it goes on, other code of the process may run, which must not use the store. */
  signal?: AbortSignal | undefined;
}

/** The figures of a run. */
export interface RunStatistics {
  /** The id of the run. */
  run: string;
  conditions: GroupStatistics[];
  kinds: GroupStatistics[];
  /** Between conditions, or between kinds. */
  differences: Difference[];
  /** chrF of the answers of each condition (a row) against those of each other on the same inputs; null if none has both. */
  similarity: { conditions: string[]; chrf: (number | null)[][] };
  /** How the figures were made that have no signature of their own. */
  signatures: Record<string, string>;
}

/** The figures of all runs of each model. */
export interface ModelStatistics {
  runs: string[];
  models: GroupStatistics[];
  differences: Difference[];
  signatures: Record<string, string>;
}

/**
 * Figures of a run's answers, computed here: no model is asked. What is computed of single answers is kept beside the
 * database, in `DATABASE.features`.
 * @param run the id of the run, a unique prefix of it, or `latest`
 * @throws UsageError when there is no such run
 */
export async function runStatistics(
  store: Store,
  run: string,
  options: StatisticsOptions = {},
): Promise<RunStatistics> {
  const { by = "condition" } = options;
  const { figures, compare } = await measureRun(store, run, { ...options, compared: [by] });
  const { similarity, signatures, ...groups } = figures;
  return { ...groups, differences: compare(by), similarity, signatures };
}

/**
 * How far the figures of a run are.
 * @internal
 */
export interface StatisticsProgress {
  /** Inputs are read; conditions and kinds are measured. */
  step: "reading" | "measuring";
  done: number;
  total: number;
}

/**
 * The figures of a run, whose groups can be compared in several ways.
 * @internal
 */
export interface MeasuredRun {
  figures: Omit<RunStatistics, "differences">;
  compare: (by: "condition" | "kind") => Difference[];
}

/**
 * As {@link runStatistics}, for those who compare the groups themselves.
 * @internal
 */
export async function measureRun(
  store: Store,
  run: string,
  options: Omit<StatisticsOptions, "by"> & {
    /** In which ways the groups will be compared. */
    compared: readonly ("condition" | "kind")[];
    onProgress?: (progress: StatisticsProgress) => void;
  },
): Promise<MeasuredRun> {
  const { compared, parts = PARTS, onEvent = () => {}, onProgress = () => {}, signal } = options;
  const turn = turnsFor(signal);
  return await readAtOneMoment(store, async () => {
    const row = runNamed(store, run);
    let read = 0;
    const onInput = () => {
      read += 1;
      onProgress({ step: "reading", done: read, total: row.tasks });
    };
    const collected = await collect(store, [row], new Set(parts), { onEvent, turn, onInput });
    const names = conditionsOf(row);
    const kindsOfRun = kindsOf(names, row.config.kinds);
    const areKindsCompared = compared.includes("kind") && kindsOfRun.length <= MOST_COMPARED;
    const areConditionsCompared = compared.includes("condition") && names.length <= MOST_COMPARED;
    const alone = new Set(kindsOfRun.flatMap(({ conditions: all }) => (all.length === 1 ? all : [])));
    const total = names.length + kindsOfRun.length;
    const conditions: Summarized[] = [];
    for (const [at, condition] of names.entries()) {
      onProgress({ step: "measuring", done: at, total });
      const isCompared = areConditionsCompared || (areKindsCompared && alone.has(at));
      conditions.push(await collected.summary.of({ label: { condition }, members: [at] }, isCompared));
      await turn();
    }
    const kinds: Summarized[] = [];
    for (const { name, conditions: members } of kindsOfRun) {
      onProgress({ step: "measuring", done: conditions.length + kinds.length, total });
      const [only] = members;
      const same = members.length === 1 && only !== undefined ? conditions[only] : undefined;
      const label = { kind: name };
      kinds.push(same ? asKind(same, name) : await collected.summary.of({ label, members }, areKindsCompared));
    }
    const [similarity] = collected.collectors.map((collector) => collector.similarity);
    const groups = [
      ...conditions.map(({ statistics }, at) => ({ statistics, members: [at] })),
      ...kinds.map(({ statistics }, at) => ({ statistics, members: kindsOfRun[at]?.conditions ?? [] })),
    ];
    const scored = withScores(store, [row], [0], groups);
    return {
      figures: {
        run: row.publicId,
        conditions: scored.slice(0, conditions.length),
        kinds: scored.slice(conditions.length),
        similarity: { conditions: names.slice(0, MOST_SIMILAR), chrf: similarity?.matrix() ?? [] },
        signatures: collected.signatures,
      },
      compare: (by) => differences(collected.summary, by === "kind" ? kinds : conditions, by, onEvent),
    };
  });
}

/**
 * Figures of several runs, each by itself.
 * @throws UsageError when there is no such run, or one is given twice
 */
export async function statisticsOf(
  store: Store,
  runs: readonly string[],
  options: StatisticsOptions = {},
): Promise<RunStatistics[]> {
  const found: RunStatistics[] = [];
  for (const { publicId } of runsNamed(store, runs)) found.push(await runStatistics(store, publicId, options));
  return found;
}

/**
 * Figures of runs by their models: all answers of all runs of a model together.
 * @throws UsageError when there is no such run, or one is given twice
 */
export async function modelStatistics(
  store: Store,
  runs: readonly string[],
  { parts = PARTS, onEvent = () => {}, signal }: Omit<StatisticsOptions, "by"> = {},
): Promise<ModelStatistics> {
  return await readAtOneMoment(store, async () => {
    const rows = runsNamed(store, runs);
    const turn = turnsFor(signal);
    const { summary, offsets, signatures } = await collect(store, rows, new Set(parts), { onEvent, turn });
    const models: Summarized[] = [];
    const ofModels: number[][] = [];
    for (const [model, own] of Map.groupBy(rows.keys(), (at) => rows[at]?.model ?? "")) {
      const members = own.flatMap((at) =>
        conditionsOf(rows[at] as RunRow).map((_, place) => (offsets[at] ?? 0) + place),
      );
      ofModels.push(members);
      models.push(await summary.of({ label: { model }, members }, true));
    }
    return {
      runs: rows.map(({ publicId }) => publicId),
      models: withScores(
        store,
        rows,
        offsets,
        models.map(({ statistics }, at) => ({ statistics, members: ofModels[at] ?? [] })),
      ),
      differences: differences(summary, models, "model", onEvent),
      signatures,
    };
  });
}

interface Collected {
  collectors: Collector[];
  summary: Summary;
  /** Where the conditions of each run begin among all. */
  offsets: number[];
  signatures: Record<string, string>;
}

/** Reads runs once. */
async function collect(
  store: Store,
  rows: readonly RunRow[],
  parts: ReadonlySet<Part>,
  { onEvent, turn, onInput }: { onEvent: OnEvent; turn: Turn; onInput?: () => void },
): Promise<Collected> {
  const offsets: number[] = [];
  let conditions = 0;
  for (const row of rows) {
    offsets.push(conditions);
    conditions += conditionsOf(row).length;
  }
  const inputs = Math.max(0, ...rows.map(({ tasks }) => tasks));
  const replicates = Math.max(1, ...rows.map(({ config }) => config.replicates ?? 1));
  const all = rows.reduce((sum, { tasks }) => sum + tasks, 0);
  const groups = new InputGroups(all, conditions);
  const sample = answerSample(inputs, conditions, replicates);
  const similar = similaritySample(inputs, conditions);
  using known = openKnownStatistics(store);
  const collectors: Collector[] = [];
  for (const row of rows) {
    const options = { groups, sample, similar, known, parts, turn };
    const collector = await collectRun(store, row, conditionsOf(row).length, options, onInput);
    warnOfPending(row, collector, onEvent);
    collectors.push(collector);
  }
  const tallies = collectors.flatMap((collector) => collector.tallies);
  const owners = rows.flatMap((row) => conditionsOf(row).map(() => row));
  const textOf = (tally: number, answerId: number) =>
    usedText(answerText(store, answerId), owners[tally]?.config.model_config.reasoning_tags);
  return {
    collectors,
    summary: new Summary({ tallies, inputs: groups, sample, parts, textOf }),
    offsets,
    signatures: commonSignatures(sample.toString(), similar.toString()),
  };
}

function warnOfPending({ publicId }: RunRow, { tallies }: Collector, onEvent: OnEvent): void {
  const pending = tallies.reduce((sum, tally) => sum + tally.pending, 0);
  if (pending === 0) return;
  onEvent({
    type: "warning",
    message: `${pending} answers of run ${publicId} are pending; the statistics are of the others`,
  });
}

function conditionsOf({ config }: RunRow): string[] {
  return config.agent_perspectives.map(({ condition }) => condition);
}

/** The figures of a kind with one condition. */
function asKind({ statistics, ...rest }: Summarized, kind: string): Summarized {
  const { condition: _, ...figures } = statistics;
  return { ...rest, name: kind, statistics: { kind, ...figures } };
}

function differences(summary: Summary, groups: readonly Summarized[], by: string, onEvent: OnEvent): Difference[] {
  if (groups.length > MOST_COMPARED) {
    onEvent({
      type: "warning",
      message: `differences between more than ${MOST_COMPARED} ${by}s are left out; --by kind compares kinds`,
    });
  }
  return summary.differences(groups);
}
