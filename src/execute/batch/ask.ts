import { setTimeout as sleep } from "node:timers/promises";
import { StoppedError } from "../../errors.ts";
import type { CallError } from "../../providers/provider.ts";
import type { Job } from "../executor.ts";
import { type Backoff, repeat } from "../repeat.ts";
import { stopped } from "../stops.ts";
import { hopeless } from "./stops.ts";

/** Statuses of a missing file or batch, or of an address that does not take such requests. */
const MISSING = new Set([404, 405, 501]);

/** How long to wait after the first answer that something is missing; twice as long each time. */
const MISSING_DELAY_MS = 1_000;

/** Limits of requests a minute are free again by then. */
const LIMIT_WINDOW_MS = 60_000;

/** How many equal answers in a row it takes to believe that something is missing. */
export const MISSING_TIMES = { contact: 1, list: 2, known: 4 } as const;

interface AskOptions<T> {
  /** Checks, before the request is repeated, whether an earlier one had its effect. */
  lookUp?: () => Promise<T | null>;
  /** One of `MISSING_TIMES`. */
  missingTimes: number;
  /** The result if the server does not know the file or batch; by default, the server has no batches. */
  onMissing?: (message: string) => T;
  /** The result if a rate limit refuses the request for longer than a minute; null to repeat it nevertheless. */
  onLimited?: (message: string) => T | null;
}

/**
 * Sends a request about a batch. Repeats it after failures that may pass, as long as live requests are repeated.
 * @returns null if the run is stopping
 */
export async function ask<T>(job: Job, request: () => Promise<T>, options: AskOptions<T>): Promise<T | null> {
  const { lookUp, missingTimes, onMissing = (message) => noBatches(job, message), onLimited } = options;
  let failingSince: number | null = null;
  let missing = { what: "", times: 0 };

  /** @returns the delay in milliseconds, or the result */
  function afterFailure({ reason, message, details }: CallError, backoff: Backoff): number | { result: T } {
    const now = performance.now();
    failingSince ??= now;
    const failingMs = now - failingSince;
    const isHopeless = failingMs >= job.giveUpAfterMs;
    if (MISSING.has(details.httpStatus ?? 0)) {
      const what = `${details.httpStatus} ${message}`;
      missing = { what, times: missing.what === what ? missing.times + 1 : 1 };
      if (missing.times >= missingTimes || isHopeless) return { result: onMissing(message) };
      return MISSING_DELAY_MS * 2 ** (missing.times - 1);
    }
    if (reason === "rate_limited" && failingMs >= Math.min(LIMIT_WINDOW_MS, job.giveUpAfterMs)) {
      const result = onLimited?.(message) ?? null;
      if (result !== null) return { result };
    }
    const delayMs = backoff();
    if (delayMs === null) throw stopped(reason, message, job);
    if (isHopeless) throw hopeless(job, reason, message);
    return delayMs;
  }

  return await repeat<T | null>(
    async (sent) => {
      try {
        return (sent > 1 && lookUp ? await lookUp() : null) ?? (await request());
      } catch (error) {
        // A run that stops aborts some of its requests, which is no failure.
        if (job.drain.aborted) return null;
        throw error;
      }
    },
    async (error, backoff) => {
      const next = afterFailure(error, backoff);
      if (typeof next !== "number") return next;
      job.onEvent({ type: "retrying", reason: error.reason, message: error.message, delayMs: next });
      await pause(job, next);
      return job.drain.aborted ? { result: null } : undefined;
    },
  );
}

function noBatches(job: Job, message: string): never {
  throw new NoBatchesError(job, message);
}

/** The server has no addresses for batches or files. */
export class NoBatchesError extends StoppedError {
  constructor({ server }: Job, message: string) {
    const hint = "With --live each call is sent in its own request.";
    super(`${server} has no batch API: ${message}`, hint, undefined, { resumeFlags: "--live" });
  }
}

/** Waits, and returns early if the run is stopping. */
export async function pause({ drain }: Job, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: drain }).catch(() => {});
}
