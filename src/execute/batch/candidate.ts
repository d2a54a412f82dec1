import type { StoppedError } from "../../errors.ts";
import type { BatchState } from "../../providers/batch.ts";
import type { BatchRow } from "../../store/runs/batches.ts";
import { isOverdue } from "./polls.ts";
import type { BatchRun } from "./run.ts";
import { unknownArrival } from "./stops.ts";

/**
 * Leaves a batch as it is until another one has ended, whose results will tell whether it is the same. Until then nothing
 * is sent, because that could be paid twice.
 * @returns why it may never be known; null while it may
 */
export function awaitCandidate(
  { job, sightings }: BatchRun,
  row: BatchRow,
  candidate: BatchState,
): StoppedError | null {
  const message = `batch ${candidate.id} may be it, and only its results will tell`;
  if (isOverdue(row, candidate)) return unknownArrival(job, row, message);
  if (sightings.lasting(row, "candidate") === 0) {
    const what = `it is not known yet whether batch ${row.name} has arrived at ${job.server}: ${message}. Waiting for them.`;
    job.onEvent({ type: "warning", message: what });
  }
  return null;
}
