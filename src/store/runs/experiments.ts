import { and, eq, isNotNull, sql } from "drizzle-orm";
import { UsageError } from "../../errors.ts";
import type { Store } from "../file/store.ts";
import { deletedRuns, experiments, runs } from "../schema.ts";
import { abandonedRuns, findRun, ID_ALPHABET, ID_LENGTH, type RunRow } from "./runs.ts";

export type ExperimentRow = typeof experiments.$inferSelect;

/** What a user named: a run, or the runs of an experiment in the order of its models. */
export interface Found {
  /** Null for a run. */
  experiment: ExperimentRow | null;
  runIds: number[];
}

const LONGEST_NAME = 100;

/**
 * Finds a run as `findRun` does, or all runs of an experiment by its name.
 * @throws UsageError when there is neither
 */
export function findRuns(store: Store, wanted: string): Found {
  const experiment = store.db.select().from(experiments).where(eq(experiments.name, wanted)).get();
  const runIds = experiment ? runsOf(store, experiment.id).map(({ id }) => id) : [];
  return experiment && runIds.length > 0
    ? { experiment, runIds }
    : { experiment: null, runIds: [findRun(store, wanted)] };
}

/** The runs of an experiment, in the order of its models. */
export function runsOf(store: Store, experimentId: number): RunRow[] {
  return store.db
    .select()
    .from(runs)
    .where(and(eq(runs.experimentId, experimentId), isNotNull(runs.plannedAt)))
    .orderBy(runs.id)
    .all();
}

/**
 * Stores a new experiment, in the transaction that stores its runs.
 * @throws UsageError when another experiment has its name
 */
export function insertExperiment(store: Store, experiment: Omit<ExperimentRow, "id">): number {
  const { name } = experiment;
  if (store.db.select().from(experiments).where(eq(experiments.name, name)).get()) throw isTaken(name);
  return store.db.insert(experiments).values(experiment).returning({ id: experiments.id }).get().id;
}

/** @throws UsageError when a name cannot be that of a new experiment */
export function checkExperimentName(store: Store, name: string): void {
  const wrong = problemOf(name);
  if (wrong !== null) {
    throw new UsageError(
      `${JSON.stringify(name)} cannot be the name of an experiment: ${wrong}`,
      "Give another --name, such as models-1.",
    );
  }
  if (isInUse(store, name)) throw isTaken(name);
}

/** Whether an experiment has a name. One whose plan was interrupted does not count: the next plan removes it. */
function isInUse(store: Store, name: string): boolean {
  const abandoned = new Set(abandonedRuns(store));
  return store.db
    .select({ id: runs.id })
    .from(runs)
    .innerJoin(experiments, eq(experiments.id, runs.experimentId))
    .where(eq(experiments.name, name))
    .all()
    .some(({ id }) => !abandoned.has(id));
}

/** Whether a name from somebody else's database may be that of an experiment. */
export function isExperimentName(name: unknown): name is string {
  return typeof name === "string" && problemOf(name) === null;
}

function isTaken(name: string): UsageError {
  return new UsageError(
    `there is an experiment ${JSON.stringify(name)} already`,
    `Go on with it by \`datagen resume\`, or give another --name: a new experiment reuses the answers of earlier ones.`,
  );
}

function problemOf(name: string): string | null {
  if (name === "") return "it is empty";
  if (name.trim() !== name) return "it begins or ends with white space";
  if (name.startsWith("-")) return "it begins with a dash";
  if (name.length > LONGEST_NAME) return `it has more than ${LONGEST_NAME} characters`;
  if (/\p{C}/u.test(name)) return "it has characters that cannot be seen";
  if (name.toLowerCase() === "latest") return "it means the newest run";
  const isBeginning =
    name.length <= ID_LENGTH && [...name.toLowerCase()].every((letter) => ID_ALPHABET.includes(letter));
  return isBeginning ? "it could be the beginning of a run's id" : null;
}

/** The name of an experiment that the user did not name. It has a dash, which no run's id has. */
export function madeName(store: Store, taskType: string, created: string): string {
  const words = taskType.replaceAll(/[^\p{L}\p{N}]+/gu, "_").slice(0, LONGEST_NAME / 2);
  const stem = `${words.replace(/^_/, "") || "runs"}-${created.slice(0, 10)}`;
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? stem : `${stem}-${number}`;
    if (!store.db.select().from(experiments).where(eq(experiments.name, name)).get()) return name;
  }
}

/** What the deleted runs of an experiment have cost, or may have. */
export function deletedOf(
  store: Store,
  experimentId: number,
): { costNanoUsd: number; possiblyNanoUsd: number | null; attemptsUnpriced: number }[] {
  const { costNanoUsd, possiblyNanoUsd, attemptsUnpriced } = deletedRuns;
  return store.db
    .select({ costNanoUsd, possiblyNanoUsd, attemptsUnpriced })
    .from(deletedRuns)
    .where(eq(deletedRuns.experimentId, experimentId))
    .all();
}

/** Removes experiments without runs. */
export function removeEmptyExperiments(store: Store): void {
  const isEmpty = sql`not exists (select 1 from ${runs} where ${runs.experimentId} = ${experiments.id})`;
  for (const { id } of store.db.select({ id: experiments.id }).from(experiments).where(isEmpty).all()) {
    store.db.update(deletedRuns).set({ experimentId: null }).where(eq(deletedRuns.experimentId, id)).run();
    store.db.delete(experiments).where(eq(experiments.id, id)).run();
  }
}
