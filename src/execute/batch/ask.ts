import { setTimeout as sleep } from "node:timers/promises";
import { StoppedError } from "../../errors.ts";
import { CallError } from "../../providers/provider.ts";
import type { BatchRow } from "../../store/runs/batches.ts";
import type { Job } from "../executor.ts";
import { decide, kindOf, NO_TRIES } from "../retry.ts";
import { stopped } from "../stops.ts";

/** How often a request about a batch is sent at most. */
const MAX_TRIES = 6;

/**
 * Asks the provider something, again and again while what goes wrong may pass.
 * @param lookUp what to look for before the same is sent again, where the answer to it may have been lost
 * @param onMissing what it means that the server does not know what it is asked for; that it has no batches, by default
 * @returns null where the run is stopping
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

/** Statuses of what is not there, or of an address that takes no such request. */
const MISSING = new Set([404, 405, 501]);

/** The server does not know the address of batches or of files. */
export class NoBatchesError extends StoppedError {
  constructor({ server }: Job) {
    super(`${server} has no batches`, "Go on with requests of their own: resume the run with --live.");
  }
}

function noBatches(job: Job): never {
  throw new NoBatchesError(job);
}

/** What becomes of a batch that the provider does not know any more, or its results: that is for the user to say. */
export function givenUp<T>({ server, batches: { mode } }: Job, row: BatchRow, nothing: T): T {
  if (mode === "cancel") return nothing;
  throw new StoppedError(
    `${server} does not know batch ${row.batchId}, or has its results no more`,
    "Check that the API key is of the account that sent it. To send its requests again, cancel it with `datagen runs cancel`.",
  );
}

/** Waits, unless the run is stopping. */
export async function pause({ drain }: Job, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: drain }).catch(() => {});
}
