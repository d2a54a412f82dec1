import { and, eq, inArray, sql } from "drizzle-orm";
import { StoppedError, UsageError } from "../../errors.ts";
import { inTransaction } from "../file/transaction.ts";
import type { Shard } from "../../plan/shard.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { leases, runs } from "../schema.ts";
import {
  describeHolder,
  isGone,
  isThisProcess,
  type LeaseRow,
  marksOfProcess,
  monotonicMs,
  seemsLive,
  timeOf,
} from "./holder.ts";

/** How often a process renews its lease. */
export const HEARTBEAT_MS = 5_000;

/** The right of this process to commit results of a run. */
export interface Lease {
  runId: number;
  token: string;
}

/** A run that a process holds. */
export interface HeldRun {
  label: string;
  holder: LeaseRow;
}

const statements = oncePerStore(({ db }) => ({
  holds: db
    .select({ one: sql`1` })
    .from(leases)
    .where(and(eq(leases.runId, sql.placeholder("runId")), eq(leases.token, sql.placeholder("token"))))
    .prepare(),
}));

/** @throws UsageError that says who holds the run, unless its holder is gone */
export function acquireLease(store: Store, runId: number, label: string): Lease {
  return inTransaction(store, () => {
    const holder = store.db.select().from(leases).where(eq(leases.runId, runId)).get();
    if (holder && !isGone(holder)) throw heldBy({ label, holder });
    const lease = { runId, token: Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("hex") };
    const row = { ...lease, ...marksOfProcess(), acquiredAt: Date.now(), ...heartbeat() };
    store.db.insert(leases).values(row).onConflictDoUpdate({ target: leases.runId, set: row }).run();
    return lease;
  });
}

/** The runs that processes hold, living or not. @param runIds the only ones that are of interest */
export function heldRuns(store: Store, runIds?: readonly number[]): HeldRun[] {
  return store.db
    .select({ label: runs.publicId, holder: leases })
    .from(leases)
    .innerJoin(runs, eq(runs.id, leases.runId))
    .where(runIds && inArray(leases.runId, [...runIds]))
    .all();
}

/**
 * Checks that no other process executes any of these runs, which have a cap together.
 * @throws UsageError that says who holds one
 */
export function checkHeldHereOnly(store: Store, runIds: readonly number[]): void {
  const other = heldRuns(store, runIds).find(({ holder }) => !isThisProcess(holder) && !isGone(holder));
  if (!other) return;
  const { pid, host } = other.holder;
  throw new UsageError(
    `run ${other.label} of the same experiment is executed by process ${pid} on ${host}, and all its runs share one cap`,
    `The process is ${describeHolder(other.holder)}. Wait until it ends, or stop it; then resume the experiment.`,
  );
}

/** The runs of a plan that processes seem to execute now. @param hash see `planHash` */
export function runningWithPlan(store: Store, hash: string): (HeldRun & { shard: Shard | null })[] {
  return store.db
    .select({ label: runs.publicId, shard: runs.shard, holder: leases })
    .from(leases)
    .innerJoin(runs, eq(runs.id, leases.runId))
    .where(eq(runs.planHash, hash))
    .all()
    .filter(({ holder }) => seemsLive(holder));
}

/** @throws UsageError that says who holds a run, when a process holds any that may live */
export function checkNoneHeld(store: Store): void {
  const held = heldRuns(store).find(({ holder }) => !isGone(holder));
  if (held) throw heldBy(held);
}

function heldBy({ label, holder }: HeldRun): UsageError {
  const { pid, host, acquiredAt } = holder;
  return new UsageError(
    `run ${label} is executed by process ${pid} on ${host} since ${timeOf(acquiredAt)}`,
    `The process is ${describeHolder(holder)}. Wait until it ends, or stop it. If it is stuck, \`datagen resume ${label} --take-over\` takes the run from it.`,
  );
}

function heartbeat(): Pick<LeaseRow, "heartbeatAt" | "heartbeatMonotonic"> {
  return { heartbeatAt: Date.now(), heartbeatMonotonic: monotonicMs() };
}

/** @throws StoppedError when another process has taken the run over */
export function checkLease(store: Store, lease: Lease): void {
  if (statements(store).holds.get({ runId: lease.runId, token: lease.token })) return;
  throw new StoppedError(
    "another process has taken this run over: this one gave no sign of life for a while, or --take-over was given",
    "Everything that was stored until then is kept; see `datagen runs list`.",
  );
}

/** Renews the lease of this process. @throws StoppedError as {@link checkLease} does */
export function renewLease(store: Store, lease: Lease): void {
  inTransaction(store, () => {
    checkLease(store, lease);
    store.db.update(leases).set(heartbeat()).where(eq(leases.runId, lease.runId)).run();
  });
}

/** Frees a run: who held it stores nothing from then on. */
export function releaseLease(store: Store, lease: Lease): void {
  store.db
    .delete(leases)
    .where(and(eq(leases.runId, lease.runId), eq(leases.token, lease.token)))
    .run();
}
