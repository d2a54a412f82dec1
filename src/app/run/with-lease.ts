import { DatagenError, errorCode, StoppedError } from "../../errors.ts";
import { diskError, isDiskError } from "../../store/file/space.ts";
import type { Store } from "../../store/file/store.ts";
import { isLocked } from "../../store/file/transaction.ts";
import { runsOf } from "../../store/runs/experiments.ts";
import { acquireLease, type Lease, releaseLease } from "../../store/runs/leases.ts";
import { getRun, type RunSummaryRow } from "../../store/runs/runs.ts";
import type { OnEvent } from "../events.ts";
import { awaitHolders, freeRuns } from "./await-holders.ts";

interface LeaseOptions {
  takeOver?: boolean | undefined;
  maxCostUsd?: number | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** Runs `body` while this process holds the run's lease. @throws StoppedError when the database can no longer be used */
export async function withLease(
  store: Store,
  runId: number,
  { takeOver = false, maxCostUsd, signal, onEvent = () => {} }: LeaseOptions,
  body: (lease: Lease) => Promise<void>,
): Promise<void> {
  const row = getRun(store, runId);
  const runIds = partnersOf(store, row, maxCostUsd !== undefined);
  if (takeOver) freeRuns(store, runIds, onEvent);
  else await awaitHolders(store, { runIds, signal, onEvent });
  const lease = acquireLease(store, runId, row.publicId);
  try {
    await body(lease);
  } catch (error) {
    throw asStop(store, error);
  } finally {
    releaseIfPossible(store, lease);
  }
}

/**
 * The runs that a run has its cap with, and itself.
 * @param isCapped whether the experiment gets a cap now
 */
export function partnersOf(store: Store, { id, experiment }: RunSummaryRow, isCapped = false): number[] {
  if (!experiment || (experiment.maxCostNanoUsd === null && !isCapped)) return [id];
  return runsOf(store, experiment.id).map((run) => run.id);
}

/** Frees a run. If the database cannot be used, another error says so. */
export function releaseIfPossible(store: Store, lease: Lease): void {
  try {
    releaseLease(store, lease);
  } catch (error) {
    // The lease stays, and ends with this process. The same problem of the database has stopped the run.
    if (!isOfDatabase(error)) throw error;
  }
}

/** Whether the database cannot be used: it is locked or damaged, or its disk is full or fails. */
function isOfDatabase(error: unknown): boolean {
  return isDiskError(error) || /^SQLITE_(BUSY|CORRUPT|NOTADB|READONLY|CANTOPEN|PERM|AUTH)/.test(errorCode(error) ?? "");
}

function asStop(store: Store, error: unknown): unknown {
  if (error instanceof DatagenError || !isOfDatabase(error)) return error;
  if (isDiskError(error)) return diskError(store, error);
  if (isLocked(error)) {
    return new StoppedError(
      `another process keeps the database ${store.path} locked`,
      "Find that process, and end its work on the database.",
      error,
    );
  }
  const code = errorCode(error) ?? "";
  return /^SQLITE_(CORRUPT|NOTADB)/.test(code)
    ? new StoppedError(
        `the database ${store.path} is damaged (${code})`,
        "`datagen db check` says where. Keep a copy of the file, and restore an earlier one.",
        error,
      )
    : new StoppedError(
        `the database ${store.path} cannot be written any more (${code})`,
        "Check the permissions of the file and of its folder, and that its disk is mounted.",
        error,
      );
}
