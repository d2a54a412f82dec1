import { and, asc, desc, eq, getTableColumns, inArray, isNotNull, isNull, like, type SQL, sql } from "drizzle-orm";
import { UsageError } from "../../errors.ts";
import { isLongGone, type LeaseRow, seemsLive } from "./holder.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { experiments, leases, runs, tasks, texts } from "../schema.ts";
import type { RunStatus } from "./status.ts";

export type RunRow = typeof runs.$inferSelect;
export type NewRun = Omit<typeof runs.$inferInsert, "id">;

/** A run for lists, without the columns of JSON that would have to be parsed. */
export type RunSummaryRow = Omit<RunRow, "config" | "prices"> & {
  status: RunStatus;
  /** The experiment that it is part of. */
  experiment: typeof experiments.$inferSelect | null;
};

/** No letters that look like digits. Without `l`, no id can be `latest`. */
export const ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
export const ID_LENGTH = 8;

const { config: _config, prices: _prices, ...summaryColumns } = getTableColumns(runs);

/** A random id for a run, for users to type. */
export function newPublicId(): string {
  // 256 is a multiple of the alphabet's length, so all letters are equally likely.
  const bytes = crypto.getRandomValues(new Uint8Array(ID_LENGTH));
  return Array.from(bytes, (byte) => ID_ALPHABET[byte % ID_ALPHABET.length]).join("");
}

/**
 * Checks an id from somebody else's database, because ids appear in commands that users copy.
 * @throws UsageError when {@link newPublicId} cannot have made it
 */
export function checkPublicId(id: string, path: string): void {
  if (id.length === ID_LENGTH && [...id].every((letter) => ID_ALPHABET.includes(letter))) return;
  throw new UsageError(
    `a run in ${path} has the id ${JSON.stringify(id.slice(0, 100))}, which datagen cannot have created`,
    "The database was changed by something else. Restore a copy of it.",
  );
}

export function insertRun(store: Store, run: NewRun): number {
  return store.db.insert(runs).values(run).returning({ id: runs.id }).get().id;
}

/** Makes a planned run visible, in the transaction that writes its totals. */
export function finishPlan(store: Store, runId: number, totals: Partial<NewRun>): void {
  store.db
    .update(runs)
    .set({ ...totals, plannedAt: Date.now() })
    .where(eq(runs.id, runId))
    .run();
}

export function isDatasetNameTaken(store: Store, datasetName: string): boolean {
  return store.db.select({ id: runs.id }).from(runs).where(eq(runs.datasetName, datasetName)).get() !== undefined;
}

/** Gives a run another name for its dataset. */
export function renameDataset(store: Store, runId: number, datasetName: string): void {
  store.db.update(runs).set({ datasetName }).where(eq(runs.id, runId)).run();
}

const inputPathOf = sql`${runs.config} ->> '$.data_config.input_data_path'`;

/** Sorts by id, not by time: imports, merges and clocks can give a new run any time. */
const newestFirst = desc(runs.id);

/** The newest run that read its inputs from a path, or from the JSON of a list of paths. */
export function lastRunOf(
  store: Store,
  inputPath: string,
): { id: number; publicId: string; inputSha256: string } | undefined {
  return store.db
    .select({ id: runs.id, publicId: runs.publicId, inputSha256: runs.inputSha256 })
    .from(runs)
    .where(and(isNotNull(runs.plannedAt), isNull(runs.imported), eq(inputPathOf, inputPath)))
    .orderBy(newestFirst)
    .limit(1)
    .get();
}

const inputs = oncePerStore(({ db }) => ({
  at: db
    .select({ hash: texts.hash, columns: tasks.columns })
    .from(tasks)
    .innerJoin(texts, eq(texts.id, tasks.inputId))
    .where(and(eq(tasks.runId, sql.placeholder("runId")), eq(tasks.position, sql.placeholder("position"))))
    .prepare(),
  has: db
    .select({ id: tasks.id })
    .from(tasks)
    .innerJoin(texts, eq(texts.id, tasks.inputId))
    .where(and(eq(tasks.runId, sql.placeholder("runId")), eq(texts.hash, sql.placeholder("hash"))))
    .limit(1)
    .prepare(),
}));

/** Whether a run has an input. @param hash `s256:` and the SHA-256 of its text */
export function hasInput(store: Store, runId: number, hash: string): boolean {
  return inputs(store).has.get({ runId, hash }) !== undefined;
}

/** The hash of a run's input at a position, and the columns that its prompts use; undefined if it has none there. */
export function inputAt(
  store: Store,
  runId: number,
  position: number,
): { hash: string; columns: Record<string, unknown> | null } | undefined {
  return inputs(store).at.get({ runId, position });
}

/** The runs that were imported from a dataset of these bytes, the oldest first. */
export function runsImportedFrom(store: Store, sha256: string): string[] {
  return store.db
    .select({ publicId: runs.publicId })
    .from(runs)
    .where(and(isNotNull(runs.plannedAt), eq(sql`${runs.imported} ->> '$.sha256'`, sha256)))
    .orderBy(asc(runs.id))
    .all()
    .map(({ publicId }) => publicId);
}

/** All runs; the one that was added last to this database comes first. */
export function listRuns(store: Store): RunSummaryRow[] {
  return summaryRows(store, undefined);
}

/** Some runs, by their whole ids, without those that are not in the database. */
export function someRuns(store: Store, publicIds: readonly string[]): RunSummaryRow[] {
  return summaryRows(store, inArray(runs.publicId, [...publicIds]));
}

function summaryRows(store: Store, which: SQL | undefined): RunSummaryRow[] {
  return store.db
    .select({ run: summaryColumns, lease: leases, experiment: experiments })
    .from(runs)
    .leftJoin(leases, eq(leases.runId, runs.id))
    .leftJoin(experiments, eq(experiments.id, runs.experimentId))
    .where(and(isNotNull(runs.plannedAt), which))
    .orderBy(newestFirst)
    .all()
    .map(({ run, lease, experiment }) => ({ ...run, experiment, status: statusOf(run, lease) }));
}

export function getRun(store: Store, runId: number): RunRow & RunSummaryRow {
  const row = store.db
    .select({ run: runs, lease: leases, experiment: experiments })
    .from(runs)
    .leftJoin(leases, eq(leases.runId, runs.id))
    .leftJoin(experiments, eq(experiments.id, runs.experimentId))
    .where(eq(runs.id, runId))
    .get();
  if (!row) throw new Error(`the run ${runId} is not in ${store.path}`);
  checkPublicId(row.run.publicId, store.path);
  return { ...row.run, experiment: row.experiment, status: statusOf(row.run, row.lease) };
}

/**
 * Finds a run by its id, by a prefix that no other run has, or by `latest`.
 * @throws UsageError when there is no such run, or more than one
 */
export function findRun(store: Store, wanted: string): number {
  const select = store.db.select({ id: runs.id, publicId: runs.publicId }).from(runs);
  if (wanted === "latest") {
    const [newest] = select.where(isNotNull(runs.plannedAt)).orderBy(newestFirst).limit(1).all();
    if (newest) return newest.id;
    throw new UsageError(`there are no runs in ${store.path}`, "Start one with `datagen run CONFIG`.");
  }
  const isId = wanted !== "" && [...wanted.toLowerCase()].every((letter) => ID_ALPHABET.includes(letter));
  const found = isId
    ? select
        .where(and(isNotNull(runs.plannedAt), like(runs.publicId, `${wanted.toLowerCase()}%`)))
        .limit(6)
        .all()
    : [];
  const [only, ...others] = found;
  if (only && others.length === 0) return only.id;
  if (!only) {
    const ofExperiment = store.db
      .select({ publicId: runs.publicId })
      .from(runs)
      .innerJoin(experiments, eq(experiments.id, runs.experimentId))
      .where(and(isNotNull(runs.plannedAt), eq(experiments.name, wanted)))
      .orderBy(asc(runs.id))
      .all();
    if (ofExperiment.length > 0) {
      throw new UsageError(
        `${JSON.stringify(wanted)} is an experiment of ${ofExperiment.length} runs: ${ofExperiment.map(({ publicId }) => publicId).join(", ")}`,
        "This command takes one run: name one of them.",
      );
    }
    throw new UsageError(
      `there is no run ${JSON.stringify(wanted)} in ${store.path}`,
      "`datagen runs list` shows all runs; --db or DATAGEN_DB names another database.",
    );
  }
  throw new UsageError(
    `${JSON.stringify(wanted)} is the beginning of several runs: ${found.map(({ publicId }) => publicId).join(", ")}`,
    "Type more of the id.",
  );
}

/** Finds a run as {@link findRun} does, and reads it. @throws UsageError when there is no such run, or more than one */
export function runNamed(store: Store, wanted: string): RunRow & RunSummaryRow {
  return getRun(store, findRun(store, wanted));
}

/** Finds and reads several runs. @throws UsageError also when one is given twice */
export function runsNamed(store: Store, wanted: readonly string[]): (RunRow & RunSummaryRow)[] {
  const runIds = wanted.map((run) => findRun(store, run));
  const twice = runIds.find((runId, at) => runIds.indexOf(runId) < at);
  if (twice === undefined) return runIds.map((runId) => getRun(store, runId));
  throw new UsageError(`run ${getRun(store, twice).publicId} is given twice`, "Give each run once.");
}

// The status is derived and never stored, because a crashed process could not correct a stored one.
function statusOf(run: Omit<RunSummaryRow, "status" | "experiment">, lease: LeaseRow | null): RunStatus {
  if (lease && seemsLive(lease)) return "running";
  if (run.batchesOpen > 0) return "waiting";
  if (run.callsSucceeded + run.callsFailed < run.callsTotal || run.callsReopened > 0) return "interrupted";
  return run.callsFailed > 0 ? "failed" : "completed";
}

/** Hides a run at once. `sweep` removes its rows later. */
export function hideRun(store: Store, runId: number): void {
  store.db.update(runs).set({ plannedAt: null }).where(eq(runs.id, runId)).run();
}

/** Hidden runs: runs that were deleted, and interrupted plans whose process has ended. */
export function abandonedRuns(store: Store): number[] {
  return store.db
    .select({ id: runs.id, lease: leases })
    .from(runs)
    .leftJoin(leases, eq(leases.runId, runs.id))
    .where(isNull(runs.plannedAt))
    .all()
    .filter(({ lease }) => !lease || isLongGone(lease))
    .map(({ id }) => id);
}
