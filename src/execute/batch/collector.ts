import type { StoppedError } from "../../errors.ts";
import type { BatchState } from "../../providers/batch.ts";
import { CallError, type Completion, type FailureReason } from "../../providers/provider.ts";
import {
  attemptOf,
  BATCH_FAILED,
  type BatchedAttempt,
  type BatchRow,
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
import type { BatchRun, Taken } from "./run.ts";

/** What one transaction stores of results at most, one more or less. */
const CHUNK = { results: 5_000, characters: 8_000_000 };

/** So many batches in a row may fail whole before it counts for their calls: while they get smaller. */
const MAX_FAILED_WHOLE = 8;

/** Takes the results of a batch, and commits them in pieces. */
export class Collector {
  readonly #run: BatchRun;
  readonly #row: BatchRow;
  readonly #state: BatchState;
  readonly #results = new Map<number, Completion | CallError>();
  readonly taken: Taken;
  #characters = 0;
  /** Why the run has to stop once all is stored. */
  stop: StoppedError | null = null;

  constructor(run: BatchRun, row: BatchRow, state: BatchState) {
    this.#run = run;
    this.#row = row;
    this.#state = state;
    this.taken = run.taken.get(row.id) ?? { output: new Set(), error: new Set(), files: new Set() };
    run.taken.set(row.id, this.taken);
  }

  async add(callId: number, outcome: Completion | CallError, file: "output" | "error" | null): Promise<void> {
    const { output, error } = this.taken;
    const isAnswer = !(outcome instanceof CallError);
    // The first of two counts, but an answer that is paid is not dropped for an error.
    const replaces = isAnswer && this.#results.get(callId) instanceof CallError;
    if ((output.has(callId) || error.has(callId)) && !replaces) return;
    if (file !== null) this.taken[file].add(callId);
    this.#results.set(callId, outcome);
    if (isAnswer) {
      this.#characters += outcome.text.length;
      this.#run.hasAnswers = true;
    }
    if (this.#results.size >= CHUNK.results || this.#characters >= CHUNK.characters) await this.flush();
  }

  /**
   * What the batch says that it has done, and its files do not give, once these are read; null where nothing is missing.
   * `isPaid` says whether some of that may be charged.
   * @param unread why one of the files could not be read; empty where none is
   */
  missing(unread: string): { what: string; isPaid: boolean } | null {
    const { counts, status, outputFileId, errorFileId } = this.#state;
    if (!this.#hasUnanswered()) return null;
    const { output, error } = this.taken;
    // Some servers have errors in the file of answers, and count them as such.
    if (counts !== null && counts.completed > output.size) {
      return { what: `it counts ${counts.completed} answers, and gives ${output.size}`, isPaid: true };
    }
    const isCounted = counts !== null && counts.total > 0;
    if (status === "completed" && outputFileId === null && errorFileId === null && !isCounted) {
      return { what: "it is completed, and gives no file", isPaid: true };
    }
    if (unread !== "") return { what: unread, isPaid: !isCounted };
    const isShort = counts !== null && counts.completed + counts.failed > output.size + error.size;
    if (isShort && counts.failed > 0 && errorFileId === null) {
      return { what: `it counts ${counts.failed} failures, and gives no file of them`, isPaid: false };
    }
    return null;
  }

  #hasUnanswered(): boolean {
    return unansweredAttempts(this.#run.job.store, this.#row.id).next().done === false;
  }

  /** Adds the requests that are in no file: they were not worked on. */
  async addMissing(): Promise<void> {
    const { job, failedWhole } = this.#run;
    const { status, isTokenLimit, error } = this.#state;
    const why: FailureReason = isTokenLimit ? "rate_limited" : "not_processed";
    const message = error?.message ?? `the batch is ${status}, without a result for this request`;
    const times = status === "failed" && !isTokenLimit ? failedWhole + 1 : 0;
    this.#run.failedWhole = times;
    // That is the batch's fault and not its calls', unless it is so again and again.
    const code = times > 0 && times <= MAX_FAILED_WHOLE ? BATCH_FAILED : null;
    for (const { callId } of unansweredAttempts(job.store, this.#row.id)) {
      await this.add(callId, new CallError(why, message, { code }), null);
    }
    await this.flush();
  }

  async flush(): Promise<void> {
    const { job, cap } = this.#run;
    const settled: { sent: Sent; reserved: Reservation }[] = [];
    // In the order of the rows, which the provider's is not: neighbours are on one page of the database.
    for (const [callId, outcome] of [...this.#results].toSorted(([a], [b]) => a - b)) {
      const attempt = attemptOf(job.store, this.#row.id, callId);
      // What is in already, before a kill, is not taken in twice.
      if (attempt) settled.push({ sent: await this.#settle(attempt, outcome), reserved: attempt.reserved });
    }
    this.#results.clear();
    this.#characters = 0;
    if (settled.length === 0) return;
    const stored = settled.map(({ sent }) => sent.result);
    job.onEvent({ type: "stored", delta: commitResults(job.store, job.lease, job.asked, stored) });
    checkSpace(job.store);
    if (!cap) return;
    for (const { sent, reserved } of settled) {
      cap.settle(cap.mostOf(reserved), reserved, sent.result.attempt.costNanoUsd);
    }
  }

  async #settle({ id, callId, startedAt, reserved }: BatchedAttempt, outcome: Completion | CallError): Promise<Sent> {
    const { job, prepare, outcomes } = this.#run;
    const request = prepare(getCall(job.store, callId));
    // The clock may have been set back since.
    const attempt = { id, request, reserved, durationMs: Math.max(0, Date.now() - startedAt), isBatched: true };
    const isFailure = outcome instanceof CallError;
    const sent = isFailure ? outcomes.failed(attempt, outcome) : await outcomes.answered(attempt, outcome);
    this.#decide(sent);
    return sent;
  }

  /** Decides what becomes of a request that failed. */
  #decide({ result, error }: Sent): void {
    if (!error) return;
    const { job, hasAnswers } = this.#run;
    const { reason, message } = error;
    const tries = triesOf(job.store, result.call.id);
    const { decision } = decide(reason, null, tries, job.maxAttempts, 0, hasAnswers ? "fail" : "stop");
    // What was cancelled is no failure.
    const isCancelled = this.#state.status === "cancelled" && reason === "not_processed";
    const action = isCancelled ? "retry" : decision.action;
    result.attempt.decision = action;
    if (action === "stop") this.stop ??= stopped(reason, message, job);
    if (action === "retry") job.onEvent({ type: "retrying", reason, message, delayMs: 0 });
  }
}

/** How often the attempts of a call have failed, by how they count. */
function triesOf(store: Job["store"], callId: number): Tries {
  const tries = { ...NO_TRIES };
  for (const { outcome, times } of outcomesOf(store, callId)) {
    const kind = outcome === "succeeded" ? null : kindOf(outcome as FailureReason);
    if (kind === "transient" || kind === "empty" || kind === "rateLimited") tries[kind] += times;
  }
  return tries;
}
