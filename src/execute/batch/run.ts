import type { BatchProvider } from "../../providers/batch.ts";
import type { OpenCall } from "../../store/runs/calls.ts";
import type { Reservation } from "../../store/runs/result.ts";
import type { Cap } from "../cap.ts";
import type { Earlier } from "../earlier.ts";
import type { Job } from "../executor.ts";
import type { Outcomes } from "../outcome.ts";
import type { PreparedRequest } from "../prepare.ts";

/** The parts of a run in batches, and what it has learned about the provider. */
export interface BatchRun {
  job: Job;
  provider: BatchProvider;
  prepare: (call: OpenCall) => PreparedRequest;
  outcomes: Outcomes;
  cap: Cap | null;
  reservationOf: (request: PreparedRequest) => Reservation;
  earlier: Earlier;
  /**
   * After a whole batch has failed: the most requests of the next ones. If too many tokens were enqueued, also the number
   * below which open batches must fall before the next one, and how long to wait if none is open.
   */
  largest: { requests: number; openBelow: number; delayMs: number; isForTokens: boolean } | null;
  /** How many batches in a row have failed as a whole. */
  failedWhole: number;
  /** Whether any call of the run was answered. If so, a refusal that may concern one call or all concerns one. */
  hasAnswers: boolean;
}
