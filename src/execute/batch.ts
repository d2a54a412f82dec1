import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { StoppedError } from "../errors.ts";
import type { BatchProvider, BatchState } from "../providers/batch.ts";
import { CallError, type Completion, type FailureReason } from "../providers/provider.ts";
import {
  attemptOf,
  BATCH_FAILED,
  type BatchRow,
  dropBatch,
  endBatch,
  listBatches,
  openBatches,
  outcomesOf,
  prepareBatch,
  unansweredAttempts,
  updateBatch,
} from "../store/batches.ts";
import { getCall, openCalls } from "../store/calls.ts";
import { commitResults, type Reservation } from "../store/results.ts";
import { checkSpace } from "../store/space.ts";
import { removeTemporary, temporaryPath } from "../store/temporary.ts";
import { Cap, createReservations } from "./cap.ts";
import { type Earlier, createEarlier } from "./earlier.ts";
import type { Executor, Job } from "./executor.ts";
import { createRequests, type PreparedRequest, type Requests, type Sent } from "./request.ts";
import { decide, kindOf, NO_TRIES, type Tries } from "./retry.ts";
import { stopped } from "./stops.ts";

/** What one transaction stores of results at most, one more or less. */
const CHUNK = { results: 5_000, characters: 8_000_000 };

/** A batch is looked at again after a tenth of the time that it has taken so far. */
const POLL_SHARE = 0.1;
const FIRST_POLL_MS = 500;
const LONGEST_POLL_MS = 60_000;

/** After a refusal, by how much the next batch may be larger each time that one has completed. */
const REGROWTH = 1.25;

/** So many batches in a row may fail whole before it counts for their calls: while they get smaller. */
const MAX_FAILED_WHOLE = 8;

/** How often a request about a batch is sent at most. */
const MAX_TRIES = 6;

/**
 * The provider's batch engine: first the readings and the strategies that need none, then, as their notes come back, the
 * others. Every batch is in the database before anything of it is sent, so that a run that was killed at any point
 * attaches to it again.
 */
export const batch: Executor = {
  async execute(job) {
    const provider = await job.batches.connect();
    const requests = createRequests(job);
    const cap = job.cap && job.prices && new Cap(job.prices, job.cap, job.batches.factor ?? 1);
    const reservationOf = await createReservations(job.settings, job.cap !== null && job.isCountExact);
    const run: BatchRun = {
      job,
      provider,
      requests,
      cap,
      reservationOf,
      earlier: createEarlier(job),
      largest: null,
      failedWhole: 0,
      hasAnswers: job.hasAnswers,
    };
    for (let waitedMs = 0; ;) {
      const before = openBatches(job.store, job.runId);
      for (const row of before) await attend(run, row);
      const open = openBatches(job.store, job.runId);
      const hasSubmitted = job.batches.mode === "submit" && !job.drain.aborted && (await submitAll(run, open));
      const now = openBatches(job.store, job.runId);
      if (now.length === 0 && !hasSubmitted) return;
      if (!job.batches.waits) throw openStill(now);
      const hasMoved = hasSubmitted || now.length < before.length;
      const delay = pollDelay(hasMoved ? 0 : waitedMs);
      waitedMs = hasMoved ? 0 : waitedMs + delay;
      if (now.length > 0) await pause(job, delay);
      if (job.drain.aborted) return;
    }
  },
};

interface BatchRun {
  job: Job;
  provider: BatchProvider;
  requests: Requests;
  cap: Cap | null;
  reservationOf: (request: PreparedRequest) => Reservation;
  earlier: Earlier;
  /**
   * After a batch has failed whole: the most requests that the next ones may have. Where that was because too many tokens
   * wait at the provider, also that fewer batches must be open than then, and how long to wait where none is.
   */
  largest: { requests: number; openBelow: number; delayMs: number; isForTokens: boolean } | null;
  /** How many batches in a row have failed whole. */
  failedWhole: number;
  /** Whether a call of the run was ever answered: then what may mean one call or all means one. */
  hasAnswers: boolean;
}

function pollDelay(waitedMs: number): number {
  return Math.min(LONGEST_POLL_MS, Math.max(FIRST_POLL_MS, waitedMs * POLL_SHARE));
}

/** Waits, unless the run is stopping. */
async function pause({ drain }: Job, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: drain }).catch(() => {});
}

function openStill(open: readonly BatchRow[]): StoppedError {
  const requests = open.reduce((sum, row) => sum + row.requests, 0);
  return new StoppedError(
    `${open.length} ${open.length === 1 ? "batch is" : "batches are"} under way at the provider, with ${requests} requests`,
    "They go on without datagen; resume the run to take in what is done.",
  );
}

/** Brings a batch as far as it can be brought now: sends it, asks how it stands, takes in its results. */
async function attend(run: BatchRun, row: BatchRow): Promise<void> {
  const { job } = run;
  const { batchId } = row;
  if (job.batches.mode !== "submit" && batchId === null) {
    await withdraw(run, row);
    return;
  }
  const state =
    batchId === null
      ? await submit(run, row)
      : await ask(run, () => run.provider.get(batchId, job.drain), {
          onMissing: () => givenUp(job, row, { ...NOTHING_DONE, id: batchId }),
        });
  if (state === null) return;
  note(run, row, state);
  if (isOver(state)) await takeIn(run, row, state);
  else if (job.batches.mode === "cancel" && state.status !== "cancelling") {
    const cancelled = await ask(run, () => run.provider.cancel(state.id, job.drain));
    if (cancelled === null) return;
    note(run, row, cancelled);
    if (isOver(cancelled)) await takeIn(run, row, cancelled);
  }
}

/** Stores and reports how a batch stands, where that has changed. */
function note({ job }: BatchRun, row: BatchRow, { status, counts, error }: BatchState): void {
  const known = { status, completed: counts?.completed ?? row.completed, failed: counts?.failed ?? row.failed };
  if (status === row.status && known.completed === row.completed && known.failed === row.failed) return;
  updateBatch(job.store, job.lease, row.id, { ...known, error: error?.message ?? null });
  job.onEvent({ type: "batch", name: row.name, requests: row.requests, ...known });
}

/** Takes back a batch of which it is not known whether it has arrived; one that has goes its way. */
async function withdraw(run: BatchRun, row: BatchRow): Promise<void> {
  const { job, provider } = run;
  const found = await ask(run, () => provider.find(row.name, job.drain), {
    // A server without batches has none.
    onMissing: () => ({ fileId: null, batch: null }),
  });
  if (found === null) return;
  const { batch: arrived } = found;
  if (arrived) {
    updateBatch(job.store, job.lease, row.id, { state: "submitted", batchId: arrived.id, status: arrived.status });
    await attend(run, { ...row, state: "submitted", batchId: arrived.id });
  } else {
    const withdrawn = { ...NOTHING_DONE, id: row.name };
    note(run, row, withdrawn);
    await takeIn(run, row, withdrawn);
  }
}

/** Of a batch of which the provider knows nothing. */
const NOTHING_DONE: Omit<BatchState, "id"> = {
  status: "cancelled",
  counts: null,
  progress: null,
  outputFileId: null,
  errorFileId: null,
  error: null,
  isTokenLimit: false,
};

function isOver({ status }: BatchState): boolean {
  return status === "completed" || status === "failed" || status === "expired" || status === "cancelled";
}

/**
 * Hands a batch over whose rows are committed. A submission of which it is not known whether it has arrived is looked up
 * first. @returns null where the run is stopping
 */
async function submit(run: BatchRun, row: BatchRow, isNew = false): Promise<BatchState | null> {
  try {
    return await handOver(run, row, isNew);
  } catch (error) {
    // A server that knows no files has none of it.
    if (error instanceof NoBatchesError && row.state === "prepared") dropBatch(run.job.store, run.job.lease, row.id);
    throw error;
  }
}

async function handOver(run: BatchRun, row: BatchRow, isNew: boolean): Promise<BatchState | null> {
  const { job, provider } = run;
  const { store, lease } = job;
  // What was begun before may have arrived.
  const found = isNew ? { fileId: null, batch: null } : await ask(run, () => provider.find(row.name, job.drain));
  if (found === null) return null;
  const adopt = (state: BatchState, fileId: string | null) => {
    updateBatch(store, lease, row.id, { state: "submitted", batchId: state.id, fileId, status: state.status });
    return state;
  };
  if (found.batch) return adopt(found.batch, found.fileId);
  const fileId = row.fileId ?? found.fileId ?? (await upload(run, row));
  if (fileId === null) return null;
  updateBatch(store, lease, row.id, { state: "uploaded", fileId });
  const { endpoint } = job.settings;
  const created = await ask(run, () => provider.create(fileId, { endpoint, name: row.name }, job.drain), {
    lookUp: async () => (await provider.find(row.name, job.drain)).batch,
  });
  return created && adopt(created, fileId);
}

/** Writes the file of a batch from its rows, and sends it. */
async function upload(run: BatchRun, row: BatchRow): Promise<string | null> {
  const { job, provider } = run;
  // Beside the database there is a disk that can be written, and a process that is killed leaves nothing for others to read.
  const folder = temporaryPath(dirname(job.store.path));
  await mkdir(folder, { mode: 0o700 });
  try {
    const path = join(folder, "requests.jsonl");
    await pipeline(Readable.from(fileOf(run, row)), createWriteStream(path));
    return await ask(run, () => provider.upload(path, row.name, job.drain), {
      lookUp: async () => (await provider.find(row.name, job.drain)).fileId,
    });
  } finally {
    removeTemporary(folder);
  }
}

function* fileOf({ job: { store }, provider, requests }: BatchRun, row: BatchRow): Generator<string> {
  for (const { callId } of unansweredAttempts(store, row.id)) {
    yield `${lineFor(provider, requests.prepare(getCall(store, callId)))}\n`;
  }
}

function lineFor(provider: BatchProvider, { call, prompt, settings }: PreparedRequest): string {
  const { endpoint, model, parameters } = settings;
  return provider.line({ customId: String(call.id), endpoint, model, parameters, prompt });
}

/** Puts what can be sent into batches, and hands them over. @returns whether there was any */
async function submitAll(run: BatchRun, open: readonly BatchRow[]): Promise<boolean> {
  const { job, largest } = run;
  // Strategies on notes go together, once all notes are there.
  if (open.length > 0 && (!largest?.isForTokens || open.length >= largest.openBelow)) return false;
  if (open.length === 0 && largest !== null && job.batches.waits) await pause(job, largest.delayMs);
  let count = 0;
  while (!job.drain.aborted) {
    const name = `datagen-${randomBytes(12).toString("hex")}.jsonl`;
    const picked = pick(run);
    if (picked.length === 0) break;
    const row = prepareBatch(job.store, job.lease, name, picked);
    checkSpace(job.store);
    count += 1;
    job.onEvent({ type: "batch", name, requests: row.requests, status: "prepared", completed: 0, failed: 0 });
    await submit(run, row, true);
    // After a refusal one at a time.
    if (largest?.isForTokens) break;
  }
  return count > 0;
}

/** The requests of the next batch: as many as its file and the cap allow. */
function pick({
  job,
  provider,
  requests,
  cap,
  reservationOf,
  earlier,
  largest,
}: BatchRun): { callId: number; reserved: Reservation }[] {
  const most = Math.min(provider.limits.requests, largest?.requests ?? Number.POSITIVE_INFINITY);
  const picked: { callId: number; reserved: Reservation }[] = [];
  let bytes = 0;
  let after = 0;
  for (;;) {
    const page = openCalls(job.store, job.runId, after, 256);
    for (const call of page) {
      after = call.id;
      if (call.isWaiting) continue;
      const request = requests.prepare(call);
      if (earlier.take(request)) continue;
      const size = Buffer.byteLength(lineFor(provider, request)) + 1;
      if (picked.length > 0 && bytes + size > provider.limits.bytes) return picked;
      const reserved = reservationOf(request);
      if (cap) {
        const cost = cap.mostOf(reserved);
        if (!cap.reserve(cost)) {
          // What is set aside for open batches may come back.
          if (picked.length === 0 && openBatches(job.store, job.runId).length === 0) throw cap.reached(cost);
          return picked;
        }
      }
      picked.push({ callId: call.id, reserved });
      bytes += size;
      if (picked.length >= most) return picked;
    }
    if (page.length < 256) return picked;
  }
}

/** Stores the results of a batch that has ended, from both of its files; what is in neither is sent again. */
async function takeIn(run: BatchRun, row: BatchRow, state: BatchState): Promise<void> {
  const { job, provider } = run;
  const { store, lease } = job;
  const stops: StoppedError[] = [];
  const results = new Map<number, Completion | CallError>();
  let characters = 0;

  async function add(callId: number, outcome: Completion | CallError): Promise<void> {
    if (results.has(callId)) return;
    results.set(callId, outcome);
    if (!(outcome instanceof CallError)) {
      characters += outcome.text.length;
      run.hasAnswers = true;
    }
    if (results.size >= CHUNK.results || characters >= CHUNK.characters) await flush();
  }

  async function flush(): Promise<void> {
    const settled: { sent: Sent; reserved: Reservation }[] = [];
    // In the order of the rows, which the provider's is not: neighbours are on one page of the database.
    for (const [callId, outcome] of [...results].toSorted(([a], [b]) => a - b)) {
      const attempt = attemptOf(store, row.id, callId);
      // What is in already, before a kill, is not taken in twice.
      if (!attempt) continue;
      const sent = await run.requests.settle(attempt, outcome);
      decideOn(run, sent, state, stops);
      settled.push({ sent, reserved: attempt.reserved });
    }
    results.clear();
    characters = 0;
    if (settled.length === 0) return;
    const stored = settled.map(({ sent }) => sent.result);
    job.onEvent({ type: "stored", delta: commitResults(store, lease, job.settingsId, stored) });
    checkSpace(store);
    if (!run.cap) return;
    for (const { sent, reserved } of settled) {
      run.cap.settle(run.cap.mostOf(reserved), reserved, sent.result.attempt.costNanoUsd);
    }
  }

  for (const fileId of [state.outputFileId, state.errorFileId]) {
    if (fileId === null) continue;
    const isRead = await ask(
      run,
      async () => {
        for await (const line of provider.lines(fileId, job.drain)) {
          const said = provider.result(line);
          const callId = callIdOf(said.customId);
          if (callId === null) continue;
          await add(callId, "completion" in said ? said.completion : ownFault(said.error));
        }
        return true;
      },
      { onMissing: () => givenUp(job, row, true) },
    );
    if (isRead === null) return;
  }
  await flush();
  const why: FailureReason = state.isTokenLimit ? "rate_limited" : "not_processed";
  const message = state.error?.message ?? `the batch is ${state.status}, without a result for this request`;
  run.failedWhole = state.status === "failed" && !state.isTokenLimit ? run.failedWhole + 1 : 0;
  // That is the batch's fault, and not its calls', unless it is so again and again.
  const code = run.failedWhole > 0 && run.failedWhole <= MAX_FAILED_WHOLE ? BATCH_FAILED : null;
  for (const { callId } of unansweredAttempts(store, row.id)) await add(callId, new CallError(why, message, { code }));
  await flush();
  endBatch(store, lease, row.id);
  if (state.isTokenLimit) {
    const requests = Math.max(1, Math.floor(row.requests / 2));
    const delayMs = Math.min(LONGEST_POLL_MS, 2 * (run.largest?.delayMs || FIRST_POLL_MS / 2));
    run.largest = { requests, openBelow: openBatches(store, job.runId).length, delayMs, isForTokens: true };
  } else if (state.status === "failed" && isLarge(run, row)) {
    // Be it for its size: the next ones are smaller, and stay so.
    const requests = Math.max(1, Math.ceil(row.requests / 2));
    run.largest = { requests, openBelow: 0, delayMs: 0, isForTokens: false };
  } else if (state.status === "completed" && run.largest?.isForTokens) {
    const requests = Math.ceil(run.largest.requests * REGROWTH);
    run.largest = { requests, openBelow: Number.POSITIVE_INFINITY, delayMs: 0, isForTokens: true };
  }
  const [stop] = stops;
  if (stop) throw stop;
}

/** The call that an id of ours names, which is written in one way alone: all others are of somebody else. */
function callIdOf(customId: string | null): number | null {
  return customId !== null && /^[1-9]\d{0,15}$/.test(customId) ? Number(customId) : null;
}

/** Whether a batch is one of the larger ones of its run, or of those that are tried now. */
function isLarge({ job, largest }: BatchRun, row: BatchRow): boolean {
  const most = largest?.requests ?? Math.max(...listBatches(job.store, job.runId).map(({ requests }) => requests));
  return row.requests * 2 > most;
}

/** Decides what becomes of a request that failed. @param stops gets the reasons for which the run has to stop */
function decideOn(
  { job, hasAnswers }: BatchRun,
  { result, error }: Sent,
  { status }: BatchState,
  stops: StoppedError[],
): void {
  if (!error) return;
  const tries = triesOf(job.store, result.call.id);
  const { decision } = decide(error.reason, null, tries, job.maxAttempts, 0, hasAnswers ? "fail" : "stop");
  // What was cancelled is no failure.
  const isCancelled = status === "cancelled" && error.reason === "not_processed";
  const action = isCancelled ? "retry" : decision.action;
  result.attempt.decision = action;
  if (action === "stop") stops.push(stopped(error.reason, error.message, job));
  if (action === "retry") job.onEvent({ type: "retrying", reason: error.reason, message: error.message, delayMs: 0 });
}

/** Of a single request a batch cannot say that it came too early: it counts as one that was not worked on. */
function ownFault(error: CallError): CallError {
  return error.reason === "rate_limited" ? new CallError("not_processed", error.message, error.details) : error;
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

/**
 * Asks the provider something, again and again while what goes wrong may pass.
 * @param lookUp what to look for before the same is sent again, where the answer to it may have been lost
 * @param onMissing what it means that the server does not know what it is asked for; that it has no batches, by default
 * @returns null where the run is stopping
 */
async function ask<T>(
  { job }: BatchRun,
  request: () => Promise<T>,
  { lookUp, onMissing = () => hasNone(job) }: { lookUp?: () => Promise<T | null>; onMissing?: () => T } = {},
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
class NoBatchesError extends StoppedError {
  constructor({ server }: Job) {
    super(`${server} has no batches`, "Go on with requests of their own: resume the run with --live.");
  }
}

function hasNone(job: Job): never {
  throw new NoBatchesError(job);
}

/** What becomes of a batch that the provider does not know any more, or its results: that is for the user to say. */
function givenUp<T>({ server, batches: { mode } }: Job, row: BatchRow, nothing: T): T {
  if (mode === "cancel") return nothing;
  throw new StoppedError(
    `${server} does not know batch ${row.batchId}, or has its results no more`,
    "Check that the API key is of the account that sent it. To send its requests again, cancel it with `datagen runs cancel`.",
  );
}
