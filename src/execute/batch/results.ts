import type { StoppedError } from "../../errors.ts";
import type { BatchState } from "../../providers/batch.ts";
import { CallError, type Completion, type FailureReason } from "../../providers/provider.ts";
import {
  attemptOf,
  BATCH_FAILED,
  type BatchedAttempt,
  type BatchRow,
  endBatch,
  listBatches,
  openBatches,
  outcomesOf,
  unansweredAttempts,
} from "../../store/runs/batches.ts";
import { getCall } from "../../store/runs/calls.ts";
import { commitResults } from "../../store/runs/results.ts";
import type { Reservation } from "../../store/runs/result.ts";
import { checkSpace } from "../../store/file/space.ts";
import type { Job } from "../executor.ts";
import type { Sent } from "../outcome.ts";
import { decide, kindOf, NO_TRIES, type Tries } from "../retry.ts";
import { stopped } from "../stops.ts";
import { ask, givenUp } from "./ask.ts";
import { FIRST_POLL_MS, LONGEST_POLL_MS } from "./polls.ts";
import type { BatchRun } from "./run.ts";

/** About the most results that one transaction stores. */
const CHUNK = { results: 5_000, characters: 8_000_000 };

/** After a refusal batches are smaller. This is how fast they may grow again, with each completed batch. */
const REGROWTH = 1.25;

/** How many batches in a row may fail as a whole, while they get smaller, before a failure counts for their calls. */
const MAX_FAILED_WHOLE = 8;

/** Stores the results of a batch that has ended, from both of its files. A request that is in neither is sent again. */
export async function collectResults(run: BatchRun, row: BatchRow, state: BatchState): Promise<void> {
  const { job, provider } = run;
  const collector = new Collector(run, row, state);
  for (const fileId of [state.outputFileId, state.errorFileId]) {
    if (fileId === null) continue;
    const read = async () => {
      for await (const line of provider.lines(fileId, job.drain)) {
        const { customId, ...said } = provider.result(line);
        const callId = callIdOf(customId);
        if (callId === null) continue;
        await collector.add(callId, "completion" in said ? said.completion : ownFault(said.error));
      }
      return true;
    };
    const isRead = await ask(job, read, { onMissing: () => givenUp(job, row, true) });
    if (isRead === null) return;
  }
  await collector.flush();
  await collector.addMissing();
  endBatch(job.store, job.lease, row.id);
  resize(run, row, state);
  collector.throwIfStopped();
}

/** Collects the results of a batch, and commits them in chunks. */
class Collector {
  readonly #run: BatchRun;
  readonly #row: BatchRow;
  readonly #state: BatchState;
  readonly #results = new Map<number, Completion | CallError>();
  #characters = 0;
  /** How many requests have a result. */
  #taken = 0;
  /** Why the run has to stop after all results are stored. */
  #stop: StoppedError | undefined;

  constructor(run: BatchRun, row: BatchRow, state: BatchState) {
    this.#run = run;
    this.#row = row;
    this.#state = state;
  }

  async add(callId: number, outcome: Completion | CallError): Promise<void> {
    if (this.#results.has(callId)) return;
    this.#results.set(callId, outcome);
    this.#taken += 1;
    if (!(outcome instanceof CallError)) {
      this.#characters += outcome.text.length;
      this.#run.hasAnswers = true;
    }
    if (this.#results.size >= CHUNK.results || this.#characters >= CHUNK.characters) await this.flush();
  }

  /** Adds requests without a result: they were not processed, unless the batch counts more answers than its files have. */
  async addMissing(): Promise<void> {
    const { job, failedWhole } = this.#run;
    const { status, isTokenLimit, error, counts } = this.#state;
    const isLost = counts !== null && counts.completed > this.#taken;
    const why: FailureReason = isLost ? "malformed" : isTokenLimit ? "rate_limited" : "not_processed";
    const lost = isLost ? `; it counts ${counts.completed} answers, but has ${this.#taken} results` : "";
    const message = error?.message ?? `the batch is ${status}, without a result for this request${lost}`;
    const times = status === "failed" && !isTokenLimit ? failedWhole + 1 : 0;
    this.#run.failedWhole = times;
    // The batch is at fault, not its calls, unless this happens again and again.
    const code = times > 0 && times <= MAX_FAILED_WHOLE ? BATCH_FAILED : null;
    for (const { callId } of unansweredAttempts(job.store, this.#row.id)) {
      await this.add(callId, new CallError(why, message, { code }));
    }
    await this.flush();
  }

  async flush(): Promise<void> {
    const { job, cap } = this.#run;
    const settled: { sent: Sent; reserved: Reservation }[] = [];
    // Store in the order of the rows, not of the file: neighbouring rows are on one page of the database.
    for (const [callId, outcome] of [...this.#results].toSorted(([a], [b]) => a - b)) {
      const attempt = attemptOf(job.store, this.#row.id, callId);
      // A result that was stored before a kill has no open attempt, and is skipped.
      if (attempt) settled.push({ sent: await this.#settle(attempt, outcome), reserved: attempt.reserved });
    }
    this.#results.clear();
    this.#characters = 0;
    if (settled.length === 0) return;
    const stored = settled.map(({ sent }) => sent.result);
    job.onEvent({ type: "stored", delta: commitResults(job.store, job.lease, job.settingsId, stored) });
    checkSpace(job.store);
    if (!cap) return;
    for (const { sent, reserved } of settled) {
      cap.settle(cap.mostOf(reserved), reserved, sent.result.attempt.costNanoUsd);
    }
  }

  async #settle({ id, callId, startedAt, reserved }: BatchedAttempt, outcome: Completion | CallError): Promise<Sent> {
    const { job, prepare, outcomes } = this.#run;
    const request = prepare(getCall(job.store, callId));
    // The clock may have been set back since then.
    const attempt = { id, request, reserved, durationMs: Math.max(0, Date.now() - startedAt), isBatched: true };
    const isFailure = outcome instanceof CallError;
    const sent = isFailure ? outcomes.failed(attempt, outcome) : await outcomes.answered(attempt, outcome);
    this.#decide(sent);
    return sent;
  }

  /** Decides what happens to a failed request. */
  #decide({ result, error }: Sent): void {
    if (!error) return;
    const { job, hasAnswers } = this.#run;
    const { reason, message } = error;
    const tries = triesOf(job.store, result.call.id);
    const { decision } = decide(reason, null, tries, job.maxAttempts, 0, hasAnswers ? "fail" : "stop");
    // A cancelled request is not a failure.
    const isCancelled = this.#state.status === "cancelled" && reason === "not_processed";
    const action = isCancelled ? "retry" : decision.action;
    result.attempt.decision = action;
    if (action === "stop") this.#stop ??= stopped(reason, message, job);
    if (action === "retry") job.onEvent({ type: "retrying", reason, message, delayMs: 0 });
  }

  throwIfStopped(): void {
    if (this.#stop) throw this.#stop;
  }
}

/** Decides, by the end of a batch, how large the next ones may be. */
function resize(run: BatchRun, row: BatchRow, state: BatchState): void {
  const { job } = run;
  if (state.isTokenLimit) {
    const requests = Math.max(1, Math.floor(row.requests / 2));
    const delayMs = Math.min(LONGEST_POLL_MS, 2 * (run.largest?.delayMs || FIRST_POLL_MS / 2));
    run.largest = { requests, openBelow: openBatches(job.store, job.runId).length, delayMs, isForTokens: true };
  } else if (state.status === "failed" && isLarge(run, row)) {
    // Its size may be the cause. The next batches are smaller, and do not grow again.
    const requests = Math.max(1, Math.ceil(row.requests / 2));
    run.largest = { requests, openBelow: 0, delayMs: 0, isForTokens: false };
  } else if (state.status === "completed" && run.largest?.isForTokens) {
    const requests = Math.ceil(run.largest.requests * REGROWTH);
    run.largest = { requests, openBelow: Number.POSITIVE_INFINITY, delayMs: 0, isForTokens: true };
  }
}

/** The call that a custom id names; null if datagen did not write the id, which has only one form. */
function callIdOf(customId: string | null): number | null {
  return customId !== null && /^[1-9]\d{0,15}$/.test(customId) ? Number(customId) : null;
}

/** Whether a batch is one of the larger ones of its run, or of those that are sent at the present limit. */
function isLarge({ job, largest }: BatchRun, row: BatchRow): boolean {
  const most = largest?.requests ?? Math.max(...listBatches(job.store, job.runId).map(({ requests }) => requests));
  return row.requests * 2 > most;
}

/** A rate limit for one request of a batch does not slow the run: it counts as a request that was not processed. */
function ownFault(error: CallError): CallError {
  return error.reason === "rate_limited" ? new CallError("not_processed", error.message, error.details) : error;
}

/** How often the attempts of a call have failed, by kind. */
function triesOf(store: Job["store"], callId: number): Tries {
  const tries = { ...NO_TRIES };
  for (const { outcome, times } of outcomesOf(store, callId)) {
    const kind = outcome === "succeeded" ? null : kindOf(outcome as FailureReason);
    if (kind === "transient" || kind === "empty" || kind === "rateLimited") tries[kind] += times;
  }
  return tries;
}
