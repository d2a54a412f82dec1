import { setTimeout as sleep } from "node:timers/promises";
import { StoppedError } from "../../errors.ts";
import { CallError } from "../../providers/provider.ts";
import type { Job } from "../executor.ts";
import { decide, kindOf, NO_TRIES } from "../retry.ts";
import { stopped } from "../stops.ts";
import { hopeless } from "./stops.ts";

/** Statuses of a missing file or batch, or of an address that does not take such requests. */
const MISSING = new Set([404, 405, 501]);

/** How long to wait after the first answer that something is missing; twice as long each time. */
const MISSING_DELAY_MS = 1_000;

/** How many equal answers in a row it takes to believe that something is missing. */
export const MISSING_TIMES = { contact: 1, list: 2, known: 4 } as const;

interface AskOptions<T> {
  /** Checks, before the request is repeated, whether an earlier one had its effect. */
  lookUp?: () => Promise<T | null>;
  /** One of `MISSING_TIMES`. */
  missingTimes: number;
  /** The result if the server does not know the file or batch; by default, the server has no batches. */
  onMissing?: (message: string) => T;
}

/**
 * Sends a request about a batch. Repeats it after failures that may pass, as long as live requests are repeated.
 * @returns null if the run is stopping
 */
export async function ask<T>(job: Job, request: () => Promise<T>, options: AskOptions<T>): Promise<T | null> {
  const { lookUp, missingTimes, onMissing = () => noBatches(job) } = options;
  let failingSince: number | null = null;
  let missing = { what: "", times: 0 };
  for (let tries = NO_TRIES, sent = 1; ; sent += 1) {
    try {
      const known = sent > 1 && lookUp ? await lookUp() : null;
      return known ?? (await request());
    } catch (error) {
      if (job.drain.aborted) return null;
      if (!(error instanceof CallError)) throw error;
      const { message } = error;
      const now = performance.now();
      failingSince ??= now;
      const isHopeless = now - failingSince >= job.giveUpAfterMs;
      let delayMs: number;
      if (MISSING.has(error.details.httpStatus ?? 0)) {
        const what = `${error.details.httpStatus} ${message}`;
        missing = { what, times: missing.what === what ? missing.times + 1 : 1 };
        if (missing.times >= missingTimes || isHopeless) return onMissing(message);
        delayMs = MISSING_DELAY_MS * 2 ** (missing.times - 1);
      } else {
        // Such an answer is paid if a model made it. An answer about a batch costs nothing.
        const reason = error.reason === "broken" ? "malformed" : error.reason;
        const kind = kindOf(reason);
        if (kind !== "transient" && kind !== "rateLimited") throw stopped(reason, message, job);
        if (isHopeless) throw hopeless(job, reason, message);
        const next = decide(reason, error.details.retryAfterMs, tries, Number.POSITIVE_INFINITY, Math.random());
        if (next.decision.action !== "retry") throw stopped(reason, message, job);
        ({ delayMs } = next.decision);
        tries = next.tries;
      }
      job.onEvent({ type: "retrying", reason: error.reason, message, delayMs });
      await pause(job, delayMs);
      if (job.drain.aborted) return null;
    }
  }
}

function noBatches(job: Job): never {
  throw new NoBatchesError(job);
}

/** The server has no addresses for batches or files. */
export class NoBatchesError extends StoppedError {
  constructor({ server }: Job) {
    const hint = "With --live each call is sent in its own request.";
    super(`${server} has no batch API`, hint, undefined, { resumeFlags: "--live" });
  }
}

/** Waits, and returns early if the run is stopping. */
export async function pause({ drain }: Job, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: drain }).catch(() => {});
}
