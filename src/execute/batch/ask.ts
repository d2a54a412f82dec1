import { setTimeout as sleep } from "node:timers/promises";
import { StoppedError } from "../../errors.ts";
import { CallError } from "../../providers/provider.ts";
import type { BatchRow } from "../../store/runs/batches.ts";
import type { Job } from "../executor.ts";
import { decide, kindOf, NO_TRIES } from "../retry.ts";
import { stopped } from "../stops.ts";

/** How often to send a request about a batch at most. */
const MAX_TRIES = 6;

/**
 * Sends a request about a batch, and repeats it after failures that may pass.
 * @param lookUp checks, before the request is repeated, whether an earlier one had its effect
 * @param onMissing the result if the server does not know the file or batch; by default, the server has no batches
 * @returns null if the run is stopping
 */
export async function ask<T>(
  job: Job,
  request: () => Promise<T>,
  { lookUp, onMissing = () => noBatches(job) }: { lookUp?: () => Promise<T | null>; onMissing?: () => T } = {},
): Promise<T | null> {
  for (let tries = NO_TRIES, sent = 1; ; sent += 1) {
    try {
      const known = sent > 1 && lookUp ? await lookUp() : null;
      return known ?? (await request());
    } catch (error) {
      if (job.drain.aborted) return null;
      if (!(error instanceof CallError)) throw error;
      if (MISSING.has(error.details.httpStatus ?? 0)) return onMissing();
      const kind = kindOf(error.reason);
      if (kind === "stop" || kind === "doubtful" || kind === "fail") throw stopped(error.reason, error.message, job);
      const { decision, tries: counted } = decide(
        error.reason,
        error.details.retryAfterMs,
        tries,
        MAX_TRIES,
        Math.random(),
      );
      if (decision.action !== "retry") throw stopped(error.reason, error.message, job);
      tries = counted;
      job.onEvent({ type: "retrying", reason: error.reason, message: error.message, delayMs: decision.delayMs });
      await pause(job, decision.delayMs);
      if (job.drain.aborted) return null;
    }
  }
}

/** Statuses of a missing file or batch, or of an address that does not take such requests. */
const MISSING = new Set([404, 405, 501]);

/** The server has no addresses for batches or files. */
export class NoBatchesError extends StoppedError {
  constructor({ server }: Job) {
    super(`${server} has no batch API`, "Resume the run with --live, which sends each call in its own request.");
  }
}

function noBatches(job: Job): never {
  throw new NoBatchesError(job);
}

/** The provider no longer knows a batch or its results. The user has to decide what to do. */
export function givenUp<T>({ server, batches: { mode } }: Job, row: BatchRow, nothing: T): T {
  if (mode === "cancel") return nothing;
  throw new StoppedError(
    `${server} no longer knows batch ${row.batchId} or its results`,
    "Check that the API key belongs to the account that sent it. To send its requests again, cancel it with `datagen runs cancel`.",
  );
}

/** Waits, but no longer when the run is stopping. */
export async function pause({ drain }: Job, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: drain }).catch(() => {});
}
