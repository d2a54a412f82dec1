import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { StoppedError } from "../../errors.ts";
import type { BatchProvider, BatchState, Found } from "../../providers/batch.ts";
import { CallError } from "../../providers/provider.ts";
import {
  type BatchRow,
  dropBatch,
  openBatches,
  prepareBatch,
  unansweredAttempts,
  updateBatch,
} from "../../store/runs/batches.ts";
import { getCall, openCalls } from "../../store/runs/calls.ts";
import type { Reservation } from "../../store/runs/result.ts";
import { checkSpace } from "../../store/file/space.ts";
import { removeTemporary, temporaryPath } from "../../store/file/temporary.ts";
import { type PreparedRequest, questionOf } from "../prepare.ts";
import type { Job } from "../executor.ts";
import { stopped } from "../stops.ts";
import { ask, MISSING_TIMES, NoBatchesError, pause } from "./ask.ts";
import { awaitCandidate } from "./candidate.ts";
import { removeFiles } from "./files.ts";
import type { BatchRun } from "./run.ts";
import { refuse } from "./state.ts";
import { unknownArrival } from "./stops.ts";

/**
 * Sends a batch whose rows are committed. If an earlier submission of it may have arrived, looks for that first.
 * @returns null if the run is stopping, or if only time will tell whether the batch has arrived
 */
export async function submit(run: BatchRun, row: BatchRow, isNew = false): Promise<BatchState | StoppedError | null> {
  try {
    return await submitOnce(run, row, isNew);
  } catch (error) {
    if (error instanceof LimitedError) {
      await refuse(run, { ...row, fileId: fileOfBatch(run, row) }, error.message);
      return null;
    }
    if (error instanceof NoBatchesError) {
      const { store, lease } = run.job;
      const fileId = fileOfBatch(run, row);
      dropBatch(store, lease, row.id);
      await removeFiles(run, [fileId]);
    }
    throw error;
  }
}

/** A limit refuses the creation of a batch. */
class LimitedError extends Error {}

/** The id of a batch's file, as it is stored now. */
function fileOfBatch({ job: { store, runId } }: BatchRun, row: BatchRow): string | null {
  return openBatches(store, runId).find(({ id }) => id === row.id)?.fileId ?? null;
}

async function submitOnce(run: BatchRun, row: BatchRow, isNew: boolean): Promise<BatchState | StoppedError | null> {
  const { job, provider } = run;
  const { store, lease } = job;
  // What was begun before may have arrived.
  const found = isNew
    ? { fileId: null, batch: null }
    : await ask(job, () => provider.find(row, job.drain), {
        missingTimes: MISSING_TIMES.list,
        // Nothing was created of a batch whose file is not known to be there.
        onMissing: (message) => unavailable(job, row, row.state !== "prepared", message),
      });
  if (found === null) return null;
  if (found.batch || found.candidate) return adopt(run, row, found);
  if (provider.upload === null) {
    return await withFile(run, row, (path) => {
      // From here on it may have arrived.
      updateBatch(store, lease, row.id, { state: "uploaded" });
      return createBatch(run, row, path, null);
    });
  }
  const fileId = row.fileId ?? found.fileId ?? (await upload(run, row, provider.upload));
  if (fileId === null) return null;
  updateBatch(store, lease, row.id, { state: "uploaded", fileId });
  return await createBatch(run, row, fileId, fileId);
}

/** Stores that a batch has arrived; a batch of which that is not certain is waited for. */
function adopt(run: BatchRun, row: BatchRow, { batch, fileId, candidate }: Found): BatchState | StoppedError | null {
  if (candidate) return awaitCandidate(run, row, candidate);
  if (!batch) return null;
  const { store, lease } = run.job;
  updateBatch(store, lease, row.id, { state: "submitted", batchId: batch.id, fileId, status: batch.status });
  return batch;
}

/** @param file the id of its file, or its path */
async function createBatch(run: BatchRun, row: BatchRow, file: string, fileId: string | null) {
  const { job, provider } = run;
  const { endpoint } = job.settings;
  let mayHaveArrived = false;
  const create = () =>
    provider.create(file, { endpoint, name: row.name }, job.drain).then(
      (batch): Found => ({ fileId, batch }),
      (error: unknown) => {
        mayHaveArrived ||= !isRefused(error);
        throw error;
      },
    );
  const created = await ask(job, create, {
    lookUp: async () => {
      const found = await provider.find({ ...row, fileId }, job.drain);
      return found.batch || found.candidate ? { ...found, fileId } : null;
    },
    // A file that was sent a moment ago may not be everywhere yet.
    missingTimes: MISSING_TIMES.known,
    onMissing: (message) => unavailable(job, row, mayHaveArrived, message),
    onLimited(message) {
      if (mayHaveArrived) return null;
      throw new LimitedError(message);
    },
  });
  return created && adopt(run, row, created);
}

/** @throws StoppedError that says whether the batch may have arrived, or that the server does not know the model */
function unavailable(job: Job, row: BatchRow, mayHaveArrived: boolean, message: string): never {
  if (mayHaveArrived) throw unknownArrival(job, row, message);
  throw /\bmodels?\b/i.test(message) ? stopped("model_not_found", message, job) : new NoBatchesError(job, message);
}

/** Whether a request has had no effect for certain. */
function isRefused(error: unknown): boolean {
  if (!(error instanceof CallError)) return false;
  const { hasLeft, httpStatus } = error.details;
  return !hasLeft || [400, 401, 402, 403, 404, 405, 413, 422, 429, 501].includes(httpStatus ?? 0);
}

/** Writes the file of a batch from its rows, and sends it. */
function upload(run: BatchRun, row: BatchRow, send: NonNullable<BatchProvider["upload"]>): Promise<string | null> {
  const { job, provider } = run;
  return withFile(run, row, (path) =>
    ask(job, () => send(path, row.name, job.drain), {
      lookUp: async () => (await provider.find(row, job.drain)).fileId,
      missingTimes: MISSING_TIMES.contact,
    }),
  );
}

/** Writes the file of a batch from its rows, for as long as it is used. */
async function withFile<T>(run: BatchRun, row: BatchRow, use: (path: string) => Promise<T>): Promise<T> {
  // The folder of the database can be written, and other users cannot read what a killed process leaves there.
  const folder = temporaryPath(dirname(run.job.store.path));
  await mkdir(folder, { mode: 0o700 });
  try {
    const path = join(folder, "requests.jsonl");
    await pipeline(Readable.from(fileOf(run, row)), createWriteStream(path));
    return await use(path);
  } finally {
    removeTemporary(folder);
  }
}

function* fileOf({ job: { store }, provider, prepare }: BatchRun, row: BatchRow): Generator<string> {
  for (const { callId } of unansweredAttempts(store, row.id)) {
    yield `${lineFor(provider, prepare(getCall(store, callId)), row.name)}\n`;
  }
}

function lineFor(provider: BatchProvider, request: PreparedRequest, name: string): string {
  return provider.line({ customId: String(request.call.id), ...questionOf(request) }, name);
}

/** Puts the calls that can be sent into batches, and submits them. @returns whether there were any */
export async function submitPending(run: BatchRun, open: readonly BatchRow[]): Promise<boolean> {
  const { job, largest } = run;
  // Strategies on notes are sent together, after all notes have arrived.
  if (open.length > 0 && (typeof largest?.refusal !== "string" || open.length >= largest.openBelow)) return false;
  if (open.length === 0 && largest !== null && job.batches.waits) await pause(job, largest.delayMs);
  let count = 0;
  while (!job.drain.aborted) {
    const name = `datagen-${randomBytes(12).toString("hex")}.jsonl`;
    const picked = pickRequests(run, name);
    if (picked.length === 0) break;
    const row = prepareBatch(job.store, job.lease, name, picked);
    run.cap?.count(job.runId, openBatches(job.store, job.runId).length);
    checkSpace(job.store);
    count += 1;
    job.onEvent({ type: "batch", name, requests: row.requests, status: "prepared", completed: 0, failed: 0 });
    await submit(run, row, true);
    // After a refusal for too many enqueued tokens, submit one batch at a time.
    if (typeof run.largest?.refusal === "string") break;
  }
  return count > 0;
}

/** Picks the requests of the next batch: as many as the limits of a file and the cap allow. */
function pickRequests(run: BatchRun, name: string): { callId: number; reserved: Reservation }[] {
  const { job, provider, prepare, cap, reservationOf, earlier, largest } = run;
  const most = Math.min(provider.limits.requests, largest?.requests ?? Number.POSITIVE_INFINITY);
  const picked: { callId: number; reserved: Reservation }[] = [];
  let bytes = 0;
  let after = 0;
  let hasNotes = false;
  for (;;) {
    const page = openCalls(job.store, job.runId, after, 256);
    for (const call of page) {
      after = call.id;
      if (call.isWaiting) continue;
      const request = prepare(call);
      if (earlier.take(request)) {
        hasNotes ||= call.step === "reading";
        continue;
      }
      const size = Buffer.byteLength(lineFor(provider, request, name)) + 1;
      if (picked.length > 0 && bytes + size > provider.limits.bytes) return picked;
      const reserved = reservationOf(request);
      if (cap) {
        const cost = cap.mostOf(reserved);
        if (!cap.reserve(cost)) {
          // With open batches the cap may still get back some of what is set aside for them.
          if (picked.length === 0 && openBatches(job.store, job.runId).length === 0) {
            if (!job.batches.waits || cap.waitForOthers(job.runId) === null) throw cap.reached(cost);
            run.isHeldBack = true;
          }
          return picked;
        }
      }
      picked.push({ callId: call.id, reserved });
      bytes += size;
      if (picked.length >= most) return picked;
    }
    if (page.length === 256) continue;
    // Strategies whose notes were taken a moment ago can be sent now. If others were picked, they are in the next batch.
    if (picked.length > 0 || !hasNotes) return picked;
    hasNotes = false;
    after = 0;
  }
}
