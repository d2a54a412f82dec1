import { setTimeout as sleep } from "node:timers/promises";
import { InterruptedError } from "../../errors.ts";
import { inTransaction } from "../../store/file/transaction.ts";
import type { Store } from "../../store/file/store.ts";
import { describeHolder, isThisProcess, LAPSE_MS, signOf, timeOf } from "../../store/runs/holder.ts";
import { type HeldRun, heldRuns, releaseLease } from "../../store/runs/leases.ts";
import type { OnEvent } from "../events.ts";

/** How often a holder is looked at. */
const LOOK_MS = 500;

interface AwaitHoldersOptions {
  /** The only runs that matter; all otherwise. */
  runIds?: readonly number[] | undefined;
  signal?: AbortSignal | undefined;
  onEvent: OnEvent;
}

/**
 * Watches the holders of runs of which it cannot be told at once whether they live. A run whose holder gives no sign of
 * life for 30 seconds, by the clock of this process, is free then.
 * @throws InterruptedError when `signal` stopped it
 */
export async function awaitHolders(store: Store, { runIds, signal, onEvent }: AwaitHoldersOptions): Promise<void> {
  /** By run: the heartbeat that was seen, and since when. */
  const seen = new Map<number, { beat: string; since: number }>();
  const living = new Set<number>();

  /** @returns whether it has to be looked at again */
  function isInDoubt({ label, holder }: HeldRun, isLate: boolean): boolean {
    const sign = signOf(holder);
    if (typeof sign === "string" || living.has(holder.runId)) return false;
    const now = performance.now();
    const beat = [holder.token, holder.heartbeatAt, holder.heartbeatMonotonic].join(" ");
    const last = seen.get(holder.runId);
    if (last && last.beat !== beat) {
      living.add(holder.runId);
      return false;
    }
    const since = isLate ? now : (last?.since ?? now - (sign.silentMs ?? 0));
    if (now - since > LAPSE_MS) {
      releaseLease(store, holder);
      return false;
    }
    seen.set(holder.runId, { beat, since });
    if (!last) onEvent({ type: "warning", message: waitingFor({ label, holder }, LAPSE_MS - (now - since)) });
    return true;
  }

  // Most often no run is held, and nothing needs to be locked.
  if (heldRuns(store, runIds).length === 0) return;
  for (;;) {
    const before = performance.now();
    const isWaiting = inTransaction(store, () => {
      // Where another program kept the database locked, the holder could not write a heartbeat either.
      const isLate = performance.now() - before > LOOK_MS;
      return heldRuns(store, runIds).filter((held) => isInDoubt(held, isLate)).length > 0;
    });
    if (!isWaiting) return;
    try {
      await sleep(LOOK_MS, undefined, { signal });
    } catch {
      throw new InterruptedError("nothing was done: it was not known yet whether another process executes the run");
    }
  }
}

function waitingFor({ label, holder }: HeldRun, ms: number): string {
  return (
    `run ${label} was executed by process ${holder.pid} on ${holder.host}, ${describeHolder(holder)}. ` +
    `Waiting up to ${Math.ceil(ms / 1_000)} s to see whether it still lives; if not, the run is free.`
  );
}

/** Frees runs whose process is stuck, after saying what is known of it. Runs that this process executes stay with it. */
export function freeRuns(store: Store, runIds: readonly number[], onEvent: OnEvent): void {
  inTransaction(store, () => {
    for (const { label, holder } of heldRuns(store, runIds)) {
      if (isThisProcess(holder)) continue;
      onEvent({
        type: "warning",
        message:
          `taking run ${label} over from process ${holder.pid} on ${holder.host}, which executes it since ` +
          `${timeOf(holder.acquiredAt)}. That process is ${describeHolder(holder)}. It stops when it next stores ` +
          `something; its requests in flight are sent again.`,
      });
      releaseLease(store, holder);
    }
  });
}
