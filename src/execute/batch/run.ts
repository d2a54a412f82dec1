import type { StoppedError } from "../../errors.ts";
import type { BatchProvider } from "../../providers/batch.ts";
import type { OpenCall } from "../../store/runs/calls.ts";
import type { Reservation } from "../../store/runs/result.ts";
import type { Cap } from "../cap.ts";
import type { Earlier } from "../earlier.ts";
import type { Job } from "../executor.ts";
import type { Outcomes } from "../outcome.ts";
import type { PreparedRequest } from "../prepare.ts";
import type { Sightings } from "./sightings.ts";

/** What was read of the results of a batch. It may be read more than once. */
export interface Taken {
  /** The calls that have a line in the file of answers, or in that of errors. */
  output: Set<number>;
  error: Set<number>;
  /** The ids of the files that were read whole. */
  files: Set<string>;
}

/** The parts of a run in batches, and what it has learned about the provider. */
export interface BatchRun {
  job: Job;
  provider: BatchProvider;
  prepare: (call: OpenCall) => PreparedRequest;
  outcomes: Outcomes;
  cap: Cap | null;
  /** Whether nothing can be submitted until a part of what is set aside for other runs comes back to the cap. */
  isHeldBack: boolean;
  reservationOf: (request: PreparedRequest) => Reservation;
  earlier: Earlier;
  sightings: Sightings;
  /** What was read of batches that have ended, by their ids. */
  taken: Map<number, Taken>;
  /**
   * The limits for batches after a whole batch has failed: the most requests of each. If too many tokens were enqueued, the
   * next batch is sent only while fewer than `openBelow` batches are open. If none is open, it is sent after `delayMs`;
   * `refusal` is what the provider has said. It is null if the cause may be the size.
   */
  largest: { requests: number; openBelow: number; delayMs: number; refusal: string | null } | null;
  /** Since when a limit has refused even single requests, while no other batch of the run is open; null if none does. */
  refusedSince: number | null;
  /** How many batches in a row have failed as a whole. */
  failedWhole: number;
  /** Whether any call of the run was answered. If so, a doubtful refusal concerns one call, not all. */
  hasAnswers: boolean;
  /** Why the run has to stop once all that has come is stored. */
  stop: StoppedError | null;
  /** Whether the user was told that a file could not be deleted. */
  hasWarnedOfFiles: boolean;
}
