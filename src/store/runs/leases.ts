import { hostname } from "node:os";
import { and, eq, sql } from "drizzle-orm";
import { StoppedError, UsageError } from "../../errors.ts";
import { isProcessAlive } from "../file/temporary.ts";
import { inTransaction } from "../file/transaction.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { leases, runs } from "../schema.ts";

/** How often a process says that it still executes its run. */
export const HEARTBEAT_MS = 5_000;

/** A lease without a heartbeat for so long is free: its process is gone, or out of reach. */
const LAPSE_MS = 30_000;

/** The right of this process to commit results of a run. */
export interface Lease {
  runId: number;
  token: string;
}

export type LeaseRow = typeof leases.$inferSelect;

const statements = oncePerStore(({ db }) => ({
  holds: db
    .select({ one: sql`1` })
    .from(leases)
    .where(and(eq(leases.runId, sql.placeholder("runId")), eq(leases.token, sql.placeholder("token"))))
    .prepare(),
}));

/** @throws UsageError that says who holds the run, when a living process does */
export function acquireLease(store: Store, runId: number, label: string): Lease {
  return inTransaction(store, () => {
    const holder = store.db.select().from(leases).where(eq(leases.runId, runId)).get();
    if (holder && isLive(holder)) throw heldBy(label, holder);
    const lease = { runId, token: Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("hex") };
    const now = Date.now();
    const row = { ...lease, host: hostname(), pid: process.pid, acquiredAt: now, heartbeatAt: now };
    store.db.insert(leases).values(row).onConflictDoUpdate({ target: leases.runId, set: row }).run();
    return lease;
  });
}

/** @throws UsageError that says who holds a run, when a living process holds any */
export function checkNoneHeld(store: Store): void {
  const held = store.db
    .select({ label: runs.publicId, holder: leases })
    .from(leases)
    .innerJoin(runs, eq(runs.id, leases.runId))
    .all()
    .find(({ holder }) => isLive(holder));
  if (held) throw heldBy(held.label, held.holder);
}

function heldBy(label: string, { pid, host, acquiredAt }: LeaseRow): UsageError {
  return new UsageError(
    `run ${label} is held by process ${pid} on ${host} since ${new Date(acquiredAt).toISOString()}`,
    "Wait for it or stop it there; after a crash on another machine, a run is free 30 seconds later.",
  );
}

/** @throws StoppedError when another process has taken the run over */
export function checkLease(store: Store, lease: Lease): void {
  if (statements(store).holds.get({ runId: lease.runId, token: lease.token })) return;
  throw new StoppedError(
    "another process has taken this run over, as this one gave no sign of life for a while",
    "What was stored until then is kept; see `datagen runs list`.",
  );
}

/** Says that this process still executes its run. @throws StoppedError as {@link checkLease} does */
export function renewLease(store: Store, lease: Lease): void {
  inTransaction(store, () => {
    checkLease(store, lease);
    store.db.update(leases).set({ heartbeatAt: Date.now() }).where(eq(leases.runId, lease.runId)).run();
  });
}

export function releaseLease(store: Store, lease: Lease): void {
  store.db
    .delete(leases)
    .where(and(eq(leases.runId, lease.runId), eq(leases.token, lease.token)))
    .run();
}

/** Whether the process that took a lease still executes its run, as far as can be known from here. */
export function isLive(lease: LeaseRow): boolean {
  if (Date.now() - lease.heartbeatAt > LAPSE_MS) return false;
  return lease.host !== hostname() || isProcessAlive(lease.pid);
}
